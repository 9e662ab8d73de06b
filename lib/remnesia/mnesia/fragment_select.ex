defmodule Remnesia.Mnesia.FragmentSelect do
  @moduledoc false

  # Searches through the fragments that a specification may find something in, all locked before. A continuation has Mnesia's form:
  #
  #     {:frag_cont, continuation of a fragment, fragments to come, {spec, lock, limit}}

  alias Remnesia.Engine.Local.{Fragments, Signal}
  alias Remnesia.Native

  @end_of_table :"$end_of_table"

  @doc "All that is found."
  @spec all(tuple, term, term, term, term) :: [term] | no_return
  def all(id, store, table, spec, lock) do
    case Fragments.state(table) do
      nil ->
        :remnesia.select(id, store, table, spec, lock)

      state ->
        names = locked(id, store, table, state, spec, lock)
        if not is_list(spec), do: Signal.abort({:bad_type, hd(names), spec})

        if ordered?(table) and Enum.any?(names, &written?(id, store, &1)),
          do: sorted(names, id, store, spec),
          else: Enum.flat_map(names, &:remnesia.select(id, store, &1, spec, :read))
    end
  end

  defp locked(id, store, table, state, spec, lock) do
    for n <- Fragments.numbers(state, spec) do
      name = Fragments.name(table, n)
      :remnesia.lock(id, store, {:table, name}, lock)
      name
    end
  end

  defp ordered?(table), do: match?({:ok, %{type: :ordered_set}}, Native.table_props(table))

  defp written?({:tid, _, _}, store, name), do: not Native.txn_untouched(elem(store, 1), name)
  defp written?(_dirty, _store, _name), do: false

  # In the order of all fragments, as Mnesia answers where the transaction has written; else it is that of each fragment.
  defp sorted(names, id, store, spec) do
    whole = for {head, _guards, _body} <- spec, do: {head, [], [:"$_"]}
    records = Enum.flat_map(names, &:remnesia.select(id, store, &1, whole, :read))

    try do
      :ets.match_spec_compile(spec)
    rescue
      ArgumentError -> Signal.abort({:badarg, [hd(names), spec]})
    else
      compiled -> :ets.match_spec_run(Enum.sort(records), compiled)
    end
  end

  @doc "The first chunk."
  @spec first(tuple, term, term, term, term, term) :: {[term], tuple} | :"$end_of_table"
  def first(id, store, table, spec, limit, lock) do
    case Fragments.state(table) do
      nil ->
        :remnesia.select(id, store, table, spec, limit, lock)

      state ->
        [name | names] = locked(id, store, table, state, spec, lock)
        chunk(id, store, name, names, {spec, lock, limit})
    end
  end

  @doc "The chunk after a continuation."
  @spec next(tuple, term, term) :: {[term], tuple} | :"$end_of_table"
  def next(_id, _store, {:frag_cont, @end_of_table, [], _arguments}), do: @end_of_table

  def next(id, store, {:frag_cont, @end_of_table, [name | names], arguments}),
    do: chunk(id, store, name, names, arguments)

  def next(id, store, {:frag_cont, continuation, names, arguments}),
    do: id |> :remnesia.select_cont(store, continuation) |> continuation(names, arguments)

  def next(id, store, continuation), do: :remnesia.select_cont(id, store, continuation)

  defp chunk(id, store, name, names, {spec, lock, limit} = arguments) do
    id
    |> :remnesia.select(store, name, spec, limit, lock)
    |> continuation(names, arguments)
  end

  defp continuation(@end_of_table, [], _arguments), do: @end_of_table

  defp continuation(@end_of_table, names, arguments),
    do: {[], {:frag_cont, @end_of_table, names, arguments}}

  defp continuation({found, continuation}, names, arguments),
    do: {found, {:frag_cont, continuation, names, arguments}}
end
