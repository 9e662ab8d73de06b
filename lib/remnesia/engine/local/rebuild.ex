defmodule Remnesia.Engine.Local.Rebuild do
  @moduledoc false

  # A table made anew by a function of its records, in the transaction of a schema change.
  #
  # The new one is filled beside the old one, which stays as it is until the last record is done, so nothing has happened when the function
  # fails or the process dies. Readers without a transaction see the old one meanwhile, writers without one wait; transactions wait for the
  # table's lock, and begin again when it is another table.

  alias Remnesia.Engine.Cstruct
  alias Remnesia.Engine.Local.Signal
  alias Remnesia.Native

  @everything [{:_, [], [:"$_"]}]
  @chunk 500

  @doc "Rebuilds the table as this definition says. `:ignore` leaves the records as they are."
  @spec run(reference, Cstruct.t(), (tuple -> tuple) | :ignore) :: :ok | no_return
  def run(txn, cstruct, fun) do
    %{name: table, type: type, record_name: record_name} = cstruct
    positions = Cstruct.positions(cstruct)
    definition = [txn, table, type, Cstruct.arity(cstruct), record_name, positions]
    :ok = Signal.settle(apply(Native, :shadow_create, definition), :shadow_create, definition)

    try do
      copy(table, cstruct, fun)
      swap = [txn, table, cstruct]
      :ok = Signal.settle(apply(Native, :shadow_swap, swap), :shadow_swap, swap)
    after
      Native.shadow_drop(table)
    end

    :ok
  end

  defp copy(table, cstruct, fun) do
    nil |> Native.select(table, @everything, :read, @chunk) |> copy(table, cstruct, fun, [])
  end

  # Nothing is lost where a chunk fails: what was copied is dropped with the shadow.
  defp copy({:done, records}, table, cstruct, fun, _),
    do: Enum.each(records, &one(&1, table, cstruct, fun))

  defp copy({_slice_or_limit, records, continuation}, table, cstruct, fun, _) do
    Enum.each(records, &one(&1, table, cstruct, fun))
    nil |> Native.select_next(continuation) |> copy(table, cstruct, fun, [])
  end

  defp copy({:"$error", reason}, _table, _cstruct, _fun, _),
    do: Signal.abort(Signal.reason(reason))

  defp one(record, table, cstruct, fun) do
    case changed(record, cstruct, fun) do
      :delete ->
        :ok

      changed ->
        with refused when refused != :ok <- Native.shadow_write(table, changed),
             do: failed(table, fun, {~c"Bad arity", record, changed})
    end
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
