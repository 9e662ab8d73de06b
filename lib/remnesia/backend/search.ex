defmodule Remnesia.Backend.Search do
  @moduledoc false

  # Searches, in slices as everywhere. What is wrong with one leaves as `badarg`, which Mnesia turns into its own reasons.

  alias Remnesia.Backend.{Kept, Loose}
  alias Remnesia.Native

  @end_of_table :"$end_of_table"

  # --- match specs ---

  @spec select(term, list) :: [term]
  def select(name, spec), do: all(Native.select(nil, name, spec, :read, 0), [])

  defp all({:done, list}, []), do: list
  defp all({:done, list}, lists), do: [list | lists] |> :lists.reverse() |> :lists.append()

  defp all({:slice, list, continuation}, lists),
    do: all(Native.select_next(nil, continuation), [list | lists])

  defp all(_refused, _lists), do: :erlang.error(:badarg)

  @spec select(term, list, pos_integer) :: {[term], term} | :"$end_of_table"
  def select(name, spec, limit), do: chunk(Native.select(nil, name, spec, :read, limit), [])

  defp chunk({:slice, list, continuation}, lists),
    do: chunk(Native.select_next(nil, continuation), [list | lists])

  defp chunk({:limit, list, continuation}, lists), do: {join(list, lists), continuation}

  defp chunk({:done, list}, lists) do
    case join(list, lists) do
      [] -> @end_of_table
      found -> {found, @end_of_table}
    end
  end

  defp chunk(_refused, _lists), do: :erlang.error(:badarg)

  defp join(list, []), do: list
  defp join(list, lists), do: [list | lists] |> :lists.reverse() |> :lists.append()

  @doc "The same for whoever asks, who may be on another node."
  @spec search(term, list, pos_integer) :: {[term], term} | :"$end_of_table"
  def search(name, spec, limit), do: name |> select(spec, limit) |> kept(nil, Kept.wanted?())

  defp kept({_list, @end_of_table} = answer, _former, _wanted?), do: answer
  defp kept({list, next}, former, true), do: {list, Kept.keep(next, former)}
  defp kept(answer, _former, _wanted?), do: answer

  @spec continue(term) :: {[term], term} | :"$end_of_table"
  def continue(@end_of_table), do: @end_of_table

  def continue({:kept, name}) do
    case Kept.fetch(name) do
      nil -> :erlang.error(:badarg)
      continuation -> continuation |> continue() |> kept(name, true)
    end
  end

  def continue(continuation), do: chunk(Native.select_next(nil, continuation), [])

  @doc "All answers as the only chunk."
  @spec whole([term]) :: {[term], term} | :"$end_of_table"
  def whole([]), do: @end_of_table
  def whole(list), do: {list, @end_of_table}

  # --- keys ---

  # Tables that this process goes through: their keys may go meanwhile.
  @fixed :"$remnesia_fixed"

  @doc "As ETS: within it `next` of a key that is gone goes on."
  @spec fix(term, boolean) :: true
  def fix(table, fix?) do
    fixed = with :undefined <- :erlang.get(@fixed), do: []
    fixed = if fix?, do: [table | fixed], else: List.delete(fixed, table)
    if fixed == [], do: :erlang.erase(@fixed), else: :erlang.put(@fixed, fixed)
    true
  end

  @spec first(term) :: term
  def first(table), do: answer(Native.first(nil, name(table)))

  # As ETS: without an order the two are one.
  @spec last(term) :: term
  def last(table),
    do: if(ordered?(table), do: answer(Native.last(nil, name(table))), else: first(table))

  @spec next(term, term) :: term
  def next(table, key) do
    case Native.next(nil, name(table), key) do
      {:"$error", {:badarg, _}} ->
        fixed = with :undefined <- :erlang.get(@fixed), do: []

        if table in fixed,
          do: answer(Native.next_of_gone(name(table), key)),
          else: :erlang.error(:badarg)

      found ->
        answer(found)
    end
  end

  @spec prev(term, term) :: term
  def prev(table, key) do
    if ordered?(table), do: answer(Native.prev(nil, name(table), key)), else: next(table, key)
  end

  defp ordered?(table), do: match?({:ok, %{type: :ordered_set}}, Native.table_props(name(table)))

  defp answer({:ok, key}), do: key
  defp answer(@end_of_table), do: @end_of_table
  defp answer(_refused), do: :erlang.error(:badarg)

  defp name(table) when is_atom(table), do: {:mnesia, table}
  defp name(table), do: Loose.name(table)

  # --- slots ---

  @slots :"$remnesia_backend_slot"
  @everything [{:_, [], [:"$_"]}]
  @size 8

  @doc """
  The records of a slot. A slot is the next few records of a scan, and the process remembers where it was, so slots in order cost what
  one scan costs.
  """
  @spec slot(atom, non_neg_integer) :: [tuple] | :"$end_of_table"
  def slot(table, 0), do: slots(table, 0, select({:mnesia, table}, @everything, @size))

  def slot(table, position) when is_integer(position) and position > 0 do
    before = position - 1

    case :erlang.get(@slots) do
      {^table, ^before, continuation} when continuation != :over ->
        slots(table, position, continue(continuation))

      {^table, ^before, :over} ->
        :erlang.error(:badarg)

      _other ->
        reach(table, 0, position)
    end
  end

  def slot(_table, _position), do: :erlang.error(:badarg)

  defp reach(table, position, position), do: slot(table, position)

  defp reach(table, at, position) do
    if slot(table, at) == @end_of_table,
      do: :erlang.error(:badarg),
      else: reach(table, at + 1, position)
  end

  defp slots(table, position, {records, continuation}) do
    :erlang.put(@slots, {table, position, continuation})
    records
  end

  # Slot 0 is there in an empty table, too.
  defp slots(table, 0, @end_of_table), do: slots(table, 0, {[], @end_of_table})

  defp slots(table, position, @end_of_table) do
    :erlang.put(@slots, {table, position, :over})
    @end_of_table
  end
end
