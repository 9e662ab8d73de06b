defmodule Remnesia.Engine.Local do
  @moduledoc false

  # One node: everything is in the native engine, and the calling process does its own work. Access functions, hot first.
  #
  # A call costs one dictionary lookup and one NIF. Everything else, a taken lock, a refused operation, a scan of many
  # slices, is in Signal and Scan and costs only whoever meets it. Lock kinds are checked here, before the table is
  # looked for, as Mnesia does.

  @behaviour Remnesia.Engine

  import Remnesia.Engine.Local.Transaction, only: [current: 0]

  alias Remnesia.Engine.Local.{Bulk, Match, Scan, Signal, Transaction}
  alias Remnesia.Native

  defguardp is_lock(kind) when kind == :read or kind == :write

  # --- transactions ---

  @impl true
  def transaction(fun, arguments, retries, access \\ :remnesia)

  def transaction(fun, [], :infinity, _access) when is_function(fun),
    do: Transaction.run(fun, :infinity)

  def transaction(fun, arguments, retries, _access)
      when is_function(fun) and is_list(arguments) and
             (retries == :infinity or (is_integer(retries) and retries >= 0)) do
    # Mnesia counts runs, and gives every transaction one.
    runs = if is_integer(retries), do: max(retries, 1), else: retries
    Transaction.run(if(arguments == [], do: fun, else: fn -> apply(fun, arguments) end), runs)
  end

  def transaction(fun, arguments, retries, access),
    do: {:aborted, {:badarg, fun, arguments, retries, access}}

  @impl true
  def is_transaction, do: Transaction.inside?()

  # --- records ---

  @impl true
  def read(table, key, kind) when is_lock(kind) do
    case current() do
      :undefined ->
        Signal.no_transaction()

      txn ->
        case Native.read(txn, table, key, kind) do
          records when is_list(records) -> records
          signal -> Signal.settle(signal, :read, [txn, table, key, kind])
        end
    end
  end

  def read(table, key, kind), do: read(table, key, lock_kind(table, kind))

  @impl true
  def write(table, record, :write) when tuple_size(record) > 2 do
    case current() do
      :undefined ->
        Signal.no_transaction()

      txn ->
        case Native.write(txn, table, record, :write) do
          :ok -> :ok
          signal -> Signal.settle(signal, :write, [txn, table, record, :write])
        end
    end
  end

  def write(table, record, :sticky_write) when tuple_size(record) > 2,
    do: write(table, record, :write)

  def write(table, record, kind) do
    inside!()

    if is_atom(table) and table != :schema and is_tuple(record) and tuple_size(record) > 2,
      do: Signal.abort({:bad_type, table, kind}),
      else: Signal.abort({:bad_type, table, record, kind})
  end

  @impl true
  def delete(table, key, :write) do
    case current() do
      :undefined ->
        Signal.no_transaction()

      txn ->
        case Native.delete(txn, table, key) do
          :ok -> :ok
          signal -> Signal.settle(signal, :delete, [txn, table, key])
        end
    end
  end

  def delete(table, key, kind), do: delete(table, key, write_kind(table, kind))

  @impl true
  def delete_object(table, record, kind) do
    txn = inside!()

    cond do
      not (is_atom(table) and table != :schema and is_tuple(record) and tuple_size(record) > 2) ->
        Signal.abort({:bad_type, table})

      variable?(record) ->
        Signal.abort({:bad_type, table, record})

      true ->
        :write = write_kind(table, kind)

        Signal.settle(Native.delete_object(txn, table, record), :delete_object, [
          txn,
          table,
          record
        ])
    end
  end

  # --- queries ---

  @impl true
  def match_object(table, pattern, kind)
      when is_tuple(pattern) and tuple_size(pattern) > 2 and is_atom(table) do
    select(table, Match.spec(pattern), kind)
  end

  def match_object(table, pattern, _kind) do
    inside!()
    Signal.abort({:bad_type, table, pattern})
  end

  @impl true
  def select(table, spec, kind) when is_atom(table) and is_list(spec) and is_lock(kind) do
    case current() do
      :undefined ->
        Signal.no_transaction()

      txn ->
        case Native.select(txn, table, spec, kind, 0) do
          {:done, records} -> records
          answer -> Scan.all(answer, :select, [txn, table, spec, kind, 0])
        end
    end
  end

  def select(table, spec, kind) when is_atom(table) and is_list(spec),
    do: select(table, spec, lock_kind(table, kind))

  def select(table, spec, _kind), do: Signal.abort({:badarg, table, spec})

  @impl true
  def select(table, spec, limit, kind)
      when is_atom(table) and is_list(spec) and is_integer(limit) do
    txn = inside!()
    kind = lock_kind(table, kind)
    if limit < 1, do: Signal.abort({:badarg, [:ram_copies, table, spec, limit]})
    answer = Native.select(txn, table, spec, kind, limit)

    Scan.chunk(
      answer,
      :select,
      [txn, table, spec, kind, limit],
      Scan.template(txn, table, spec, kind)
    )
  end

  def select(table, spec, limit, _kind), do: Signal.abort({:badarg, table, spec, limit})

  @impl true
  def select(continuation), do: Scan.continue(inside!(), continuation)

  @impl true
  def index_match_object(table, pattern, attribute, kind),
    do: Match.index_match_object(table, pattern, attribute, kind)

  @impl true
  def select_in_order(table, spec, order, limit, offset, kind),
    do: Bulk.select_in_order(table, spec, order, limit, offset, lock_kind(table, kind))

  @impl true
  def count(table, spec, kind), do: Bulk.count(table, spec, lock_kind(table, kind))

  @impl true
  def delete_all(table, spec), do: Bulk.delete_all(table, spec)

  @impl true
  def update_all(table, spec, fun), do: Bulk.update_all(table, spec, fun)

  @impl true
  def index_read(table, value, position) do
    txn = inside!()

    Scan.all(Native.index_read(txn, table, value, position), :index_read, [
      txn,
      table,
      value,
      position
    ])
  end

  # --- keys ---

  @impl true
  def all_keys(table) do
    txn = inside!()
    Scan.all(Native.all_keys(txn, table), :all_keys, [txn, table])
  end

  @impl true
  def first(table), do: key(:first, [inside!(), table])

  @impl true
  def last(table), do: key(:last, [inside!(), table])

  @impl true
  def next(table, key), do: key(:next, [inside!(), table, key])

  @impl true
  def prev(table, key), do: key(:prev, [inside!(), table, key])

  defp key(operation, arguments) do
    case Signal.settle(apply(Native, operation, arguments), operation, arguments) do
      {:ok, key} -> key
      :"$end_of_table" -> :"$end_of_table"
    end
  end

  @impl true
  def last_number(table) do
    txn = inside!()

    # Whoever asks is about to write one more, and two who ask must not get the same answer. The write lock is taken
    # first: from a read lock each of them would have to restart to get it.
    lock_table(table, :write)

    case table_type(table) do
      :ordered_set -> Signal.settle(Native.last_number(txn, table), :last_number, [txn, table])
      _other -> table |> all_keys() |> Enum.filter(&is_number/1) |> Enum.max(fn -> nil end)
    end
  end

  defp table_type(table) do
    case Native.table_props(table) do
      {:ok, %{type: type}} -> type
      _gone -> Signal.abort({:no_exists, table})
    end
  end

  # --- locks ---

  @impl true
  def lock_table(table, kind) do
    txn = inside!()
    kind = lock_kind(table, kind)
    Signal.settle(Native.lock_table(txn, table, kind), :lock_table, [txn, table, kind])
  end

  @impl true
  def lock_record(table, key, kind) do
    txn = inside!()
    kind = lock_kind(table, kind)

    Signal.settle(Native.lock_record(txn, table, key, kind), :lock_record, [txn, table, key, kind])
  end

  @impl true
  def lock_global(term, kind) do
    txn = inside!()
    kind = lock_kind(term, kind)
    Signal.settle(Native.lock_global(txn, term, kind), :lock_global, [txn, term, kind])
  end

  # --- arguments ---

  defp inside! do
    case current() do
      :undefined -> Signal.no_transaction()
      txn -> if Native.txn_depth(txn) > 0, do: txn, else: Signal.no_transaction()
    end
  end

  # On one node a sticky lock is a write lock.
  defp lock_kind(_item, kind) when is_lock(kind), do: kind
  defp lock_kind(_item, :sticky_write), do: :write
  defp lock_kind(item, kind), do: refuse_kind(item, kind)

  defp write_kind(_table, :write), do: :write
  defp write_kind(_table, :sticky_write), do: :write
  defp write_kind(table, kind), do: refuse_kind(table, kind)

  @spec refuse_kind(term, term) :: no_return
  defp refuse_kind(table, kind) do
    inside!()

    Signal.abort(
      if(is_atom(table) and table != :schema,
        do: {:bad_type, table, kind},
        else: {:bad_type, table}
      )
    )
  end

  # Mnesia refuses to delete an object that could be taken for a pattern; it does not look into maps.
  @doc false
  def variable?(:_), do: true
  def variable?(atom) when is_atom(atom), do: variable_name?(Atom.to_string(atom))
  def variable?(tuple) when is_tuple(tuple), do: tuple_variable?(tuple, tuple_size(tuple))
  def variable?([head | tail]), do: variable?(head) or variable?(tail)
  def variable?(_other), do: false

  defp tuple_variable?(_tuple, 0), do: false

  defp tuple_variable?(tuple, n),
    do: variable?(elem(tuple, n - 1)) or tuple_variable?(tuple, n - 1)

  defp variable_name?(<<?$, digit, rest::binary>>) when digit in ?0..?9, do: digits?(rest)
  defp variable_name?(_name), do: false

  defp digits?(<<digit, rest::binary>>) when digit in ?0..?9, do: digits?(rest)
  defp digits?(rest), do: rest == ""
end
