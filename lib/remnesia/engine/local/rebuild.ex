defmodule Remnesia.Engine.Local.Rebuild do
  @moduledoc false

  # A table made anew by a function of its records, in the transaction of a schema change.
  #
  # The new one is filled beside the old one (`Successor`), so nothing has happened when the function fails or the process dies.

  alias Remnesia.Engine.Cstruct
  alias Remnesia.Engine.Local.{Activity, Disc, Signal, Successor, Watch}
  alias Remnesia.{Events, Native}

  @everything [{:_, [], [:"$_"]}]
  @chunk 500

  @doc """
  Rebuilds the table as this definition says. `:ignore` leaves the records as they are. Answers what subscribers are to be told of the records,
  once they know of the definition.
  """
  @spec run(reference, Cstruct.t(), (tuple -> tuple) | :ignore) ::
          [{[pid], tuple}] | no_return
  def run(txn, cstruct, fun) do
    table = cstruct.name
    # On disc it is another table too, which is there when it is defined.
    number = Disc.begin(cstruct)
    :ok = Successor.begin(txn, cstruct, number)

    try do
      told? = Events.subscribers(table) != {[], []}
      changes = table |> first_chunk() |> copy(cstruct, fun, if(told?, do: [], else: nil))
      messages = messages(changes, cstruct, Activity.id(txn))
      definitions = Successor.definitions(cstruct, number)
      Successor.swap(txn, [{table, cstruct}], definitions)
      messages
    catch
      kind, reason ->
        Disc.give_up(List.wrap(number))
        :erlang.raise(kind, reason, __STACKTRACE__)
    after
      Native.shadow_drop(table)
    end
  end

  defp first_chunk(table), do: Native.select(nil, table, @everything, :read, @chunk)

  # Nothing is lost where a record fails: what was copied is dropped with the shadow. `changes` are kept for subscribers, newest first.
  defp copy({:done, records}, cstruct, fun, changes), do: each(records, cstruct, fun, changes)

  defp copy({_slice_or_limit, records, continuation}, cstruct, fun, changes) do
    changes = each(records, cstruct, fun, changes)
    nil |> Native.select_next(continuation) |> copy(cstruct, fun, changes)
  end

  defp copy({:"$error", reason}, _cstruct, _fun, _changes),
    do: Signal.abort(Signal.reason(reason))

  defp each(records, cstruct, fun, changes),
    do: Enum.reduce(records, changes, &one(&1, cstruct, fun, &2))

  defp one(record, cstruct, fun, changes) do
    case changed(record, cstruct, fun) do
      :delete ->
        note(changes, record, :delete)

      changed ->
        case Successor.write(cstruct.name, changed) do
          :ok -> :ok
          {:"$error", {:unique, _, _, _} = reason} -> Signal.abort(Signal.reason(reason))
          _refused -> failed(cstruct.name, fun, {~c"Bad arity", record, changed})
        end

        if changed === record or fun == :ignore,
          do: changes,
          else: note(changes, record, changed)
    end
  end

  defp note(nil, _record, _changed), do: nil
  defp note(changes, record, changed), do: [{elem(record, 1), changed} | changes]

  # A changed record is a write; those of a bag's key are deleted and written.
  defp messages(nil, _cstruct, _id), do: []

  defp messages(changes, %{name: table, type: type}, id) do
    changes
    |> Enum.reverse()
    |> Enum.chunk_by(&elem(&1, 0))
    |> Enum.flat_map(fn [{key, _} | _] = changes ->
      writes = for {_key, changed} <- changes, changed != :delete, do: {:write, table, changed}
      delete = {:delete, table, key}
      all = if type in [:bag, :duplicate_bag] or writes == [], do: [delete | writes], else: writes
      Watch.messages({{table, key}, type, all}, id)
    end)
  end

  # Records that are left as they are get the new name, and have to fit the new definition.
  defp changed(record, cstruct, :ignore), do: put_elem(record, 0, cstruct.record_name)

  defp changed(record, cstruct, fun) do
    try do
      fun.(record)
    catch
      _kind, reason -> failed(cstruct.name, fun, reason)
    else
      changed -> check(changed, record, cstruct, fun)
    end
  end

  # Mnesia deletes a record for which the function answers `delete`.
  defp check(:delete, _record, _cstruct, _fun), do: :delete

  defp check(changed, record, cstruct, fun) do
    cond do
      is_tuple(changed) and tuple_size(changed) != Cstruct.arity(cstruct) ->
        failed(cstruct.name, fun, {~c"Bad arity", record, changed})

      changed === record ->
        put_elem(record, 0, cstruct.record_name)

      is_tuple(changed) and elem(changed, 0) == cstruct.record_name and
          elem(changed, 1) === elem(record, 1) ->
        changed

      true ->
        failed(cstruct.name, fun, {~c"Bad key or Record Name", record, changed})
    end
  end

  @spec failed(atom, term, term) :: no_return
  defp failed(table, fun, reason),
    do: Signal.abort({~c"Bad transform function", table, fun, node(), reason})
end
