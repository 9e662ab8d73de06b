defmodule Remnesia.Engine.Local.Bulk do
  @moduledoc false

  # Searches that answer more than rows: in an order, a number, or what they have changed. What is changed is found first and
  # changed then, so no change is found again.

  import Remnesia.Engine.Local.Transaction, only: [current: 0]

  alias Remnesia.Engine.Local
  alias Remnesia.Engine.Local.{Scan, Signal}
  alias Remnesia.Native

  @doc """
  Up to `limit` results (0 for all) from number `offset` on, in the order of these positions, negative ones from the greatest to the
  smallest.
  """
  @spec select_in_order(term, list, [integer], non_neg_integer, non_neg_integer, :read | :write) ::
          [term]
  def select_in_order(table, spec, order, limit, offset, kind) do
    arguments = [context(), table, spec, kind, order, limit, offset]
    Scan.all(apply(Native, :select_in_order, arguments), :select_in_order, arguments)
  end

  @doc "How many records match."
  @spec count(term, list, :read | :write) :: non_neg_integer
  def count(table, spec, kind) do
    arguments = [context(), table, spec, kind]

    [{_visited, matched}] =
      Scan.all(apply(Native, :select_count, arguments), :select_count, arguments)

    matched
  end

  @doc "Deletes the records that match; `head` and `guards` are of one clause whose first variable is the key."
  @spec delete_all(term, list) :: non_neg_integer
  def delete_all(table, [{head, guards, _body}]) do
    if bag?(table) do
      records = Local.select(table, [{head, guards, [:"$_"]}], :write)
      each(records, &delete_object(table, &1))
    else
      keys = Local.select(table, [{head, guards, [elem(head, 1)]}], :write)
      each(keys, &Local.delete(table, &1, :write))
    end
  end

  @doc "Writes what `fun` makes of the records that match. It must leave the key as it is."
  @spec update_all(term, list, (tuple -> tuple)) :: non_neg_integer
  def update_all(table, [{head, guards, _body}], fun) do
    found = Local.select(table, [{head, guards, [:"$_"]}], :write)
    changed = Enum.map(found, fun)

    # All go before the first comes: of two equal records of a bag one may be the new form of another.
    if bag?(table), do: each(found, &delete_object(table, &1))
    each(changed, &Local.write(table, &1, :write))
  end

  defp each(list, fun) do
    Enum.each(list, fun)
    length(list)
  end

  # Not by Local, which refuses what could be taken for a pattern: these records have been found.
  defp delete_object(table, record) do
    case context() do
      nil ->
        Local.delete_object(table, record, :write)

      txn ->
        arguments = [txn, table, record]
        Signal.settle(apply(Native, :delete_object, arguments), :delete_object, arguments)
    end
  end

  defp bag?(table) do
    case Native.table_props(table) do
      {:ok, %{type: type}} -> type in [:bag, :duplicate_bag]
      _gone -> Signal.abort({:no_exists, table})
    end
  end

  # The process's transaction, or none within an activity that has none.
  defp context do
    case current() do
      txn when is_reference(txn) ->
        if Native.txn_depth(txn) > 0, do: txn, else: Signal.no_transaction()

      {_module, {:tid, _serial, _pid}, store, _txn} ->
        elem(store, 1)

      {_module, _id, _store, _txn} ->
        nil

      :undefined ->
        Signal.no_transaction()
    end
  end
end
