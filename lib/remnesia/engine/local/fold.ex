defmodule Remnesia.Engine.Local.Fold do
  @moduledoc false

  # Folding over a table while the function may change it. What Mnesia promises, and so do we: the function sees every key that
  # is committed and every key that the transaction had written when the fold began, each once, with the records it has when its
  # turn comes; keys that the function itself adds are not visited.
  #
  # So committed records come in chunks from a scan, the transaction's own keys as a list that is taken at the beginning. As long
  # as the transaction has not touched the table a record of the scan is what a read would answer, and is not read again.

  alias Remnesia.Engine.Local.{Activity, Dirty, Signal}
  alias Remnesia.Native

  # Each chunk costs a continuation of its own.
  @chunk 500
  @everything [{:_, [], [:"$_"]}]

  @type direction :: :left | :right

  @doc "Folds in the activity of the process."
  @spec run(direction, (tuple, acc -> acc), acc, term, term) :: acc | no_return when acc: term
  def run(direction, fun, acc, table, kind) do
    case Activity.get_id() do
      {:remnesia, id, store} ->
        run(id, store, direction, fun, acc, table, kind)

      {module, id, store} ->
        operation = if direction == :left, do: :foldl, else: :foldr
        apply(Activity.handler(module), operation, [id, store, fun, acc, table, kind])

      :undefined ->
        Signal.no_transaction()
    end
  end

  @doc "Folds in the activity of this id."
  @spec run(tuple, term, direction, (tuple, acc -> acc), acc, term, term) :: acc | no_return
        when acc: term
  def run(id, store, direction, fun, acc, table, kind) do
    if elem(id, 0) == :tid, do: Activity.explicit(id, store, :lock, [{:table, table}, kind])
    if table == :schema, do: Signal.abort({:bad_type, :schema})
    type = type!(table)
    txn = if elem(id, 0) == :tid, do: elem(store, 1)

    fold = %{
      fun: if(is_function(fun, 2), do: fun, else: fn _, _ -> :erlang.error(:function_clause) end),
      table: table,
      txn: txn,
      type: type,
      direction: direction,
      read: reader(id, store, table)
    }

    caught(fn -> fold(fold, acc) end)
  end

  defp type!(table) do
    case Native.table_props(table) do
      {:ok, %{type: type}} ->
        type

      :error ->
        if Native.running(),
          do: Signal.abort({:no_exists, {table, :setorbag}}),
          else: Signal.abort({:node_not_running, node()})
    end
  end

  defp reader({:tid, _, _} = id, store, table),
    do: fn key -> Activity.explicit(id, store, :read, [table, key, :read]) end

  defp reader(_dirty, _store, table), do: fn key -> Dirty.read(table, key) end

  # Whatever ends the function ends the fold with its bare reason, as in Mnesia; so does a result that looks like a caught exit.
  defp caught(fold) do
    fold.()
  catch
    _kind, {:aborted, _} = reason -> exit(reason)
    _kind, reason -> Signal.abort(reason)
  else
    {:EXIT, {:aborted, reason}} -> Signal.abort(reason)
    {:EXIT, reason} -> Signal.abort(reason)
    acc -> acc
  end

  defp fold(%{type: :ordered_set, direction: :right} = fold, acc) do
    written = fold |> written() |> Enum.reverse()
    backward(Dirty.last(fold.table), fold, acc, written)
  end

  defp fold(fold, acc) do
    arguments = [nil, fold.table, @everything, :read, @chunk]
    forward(apply(Native, :select, arguments), fold, acc, pending(fold, written(fold)), nil)
  end

  defp written(%{txn: nil}), do: []

  defp written(fold) do
    if Native.txn_untouched(fold.txn, fold.table),
      do: [],
      else: Native.txn_written_keys(fold.txn, fold.table)
  end

  # Where order matters a list, else a map, from which keys are taken as the scan meets them.
  defp pending(%{type: :ordered_set}, keys), do: keys
  defp pending(_fold, keys), do: Map.new(keys, &{&1, []})

  defp rest(%{type: :ordered_set}, keys), do: keys
  defp rest(_fold, pending), do: pending |> Map.keys() |> Enum.sort()

  # --- in the order of the scan ---

  defp forward({:done, records}, fold, acc, pending, last) do
    {acc, pending, _last} = records(records, fold, acc, pending, last)
    Enum.reduce(rest(fold, pending), acc, fn key, acc -> apply_read(key, fold, acc) end)
  end

  defp forward({_limit_or_slice, records, continuation}, fold, acc, pending, last) do
    {acc, pending, last} = records(records, fold, acc, pending, last)
    forward(Native.select_next(nil, continuation), fold, acc, pending, last)
  end

  defp forward({:"$error", reason}, fold, _acc, _pending, _last),
    do: Dirty.refuse(fold.table, fold.table, reason)

  defp records([], _fold, acc, pending, last), do: {acc, pending, last}

  defp records([record | records], fold, acc, pending, last) do
    key = elem(record, 1)

    # The rows of a bag's key come one after the other; they are read together.
    if bag?(fold) and last == {key} do
      records(records, fold, acc, pending, last)
    else
      {acc, pending} = before(key, fold, acc, pending)
      records(records, fold, apply_record(record, fold, acc), pending, {key})
    end
  end

  # Keys that only the transaction has, up to this one of the scan.
  defp before(key, %{type: :ordered_set} = fold, acc, [written | rest]) when written < key,
    do: before(key, fold, apply_read(written, fold, acc), rest)

  defp before(key, %{type: :ordered_set}, acc, [written | rest]) when written == key,
    do: {acc, rest}

  defp before(_key, %{type: :ordered_set}, acc, pending), do: {acc, pending}
  defp before(_key, _fold, acc, pending) when pending == %{}, do: {acc, pending}
  defp before(key, _fold, acc, pending), do: {acc, Map.delete(pending, key)}

  defp bag?(%{type: type}), do: type in [:bag, :duplicate_bag]

  defp apply_record(record, %{txn: txn, type: type} = fold, acc)
       when txn != nil and type in [:set, :ordered_set] do
    if Native.txn_untouched(txn, fold.table) == true,
      do: fold.fun.(record, acc),
      else: apply_read(elem(record, 1), fold, acc)
  end

  defp apply_record(record, fold, acc), do: apply_read(elem(record, 1), fold, acc)

  defp apply_read(key, fold, acc), do: Enum.reduce(fold.read.(key), acc, fold.fun)

  # --- an ordered_set from its end ---

  defp backward(:"$end_of_table", fold, acc, written),
    do: Enum.reduce(written, acc, fn key, acc -> apply_read(key, fold, acc) end)

  defp backward(key, fold, acc, [written | rest]) when written > key,
    do: backward(key, fold, apply_read(written, fold, acc), rest)

  defp backward(key, fold, acc, written) do
    written = if match?([same | _] when same == key, written), do: tl(written), else: written
    acc = apply_read(key, fold, acc)
    backward(Dirty.prev(fold.table, key), fold, acc, written)
  end
end
