defmodule Remnesia.Engine.Local do
  @moduledoc false

  # One node: everything is in the native engine, and the calling process does its own work. Access functions, hot first.
  #
  # A call costs one dictionary lookup and one NIF. Everything else, a taken lock, a refused operation, a scan of many
  # slices, is in Signal and Scan and costs only whoever meets it. Lock kinds are checked here, before the table is
  # looked for, as Mnesia does.
  #
  # The process's own transaction is a reference. Whatever else it may be in (nothing, a dirty activity, an access module) is told
  # apart after that one test, and answered by Activity.

  @behaviour Remnesia.Engine

  import Remnesia.Engine.Local.Transaction, only: [current: 0]

  alias Remnesia.Engine.Local.{
    Activity,
    Bulk,
    Dirty,
    Disc,
    Index,
    Pattern,
    Scan,
    Signal,
    Transaction
  }

  alias Remnesia.Native

  defguardp is_lock(kind) when kind == :read or kind == :write

  # --- transactions ---

  @impl true
  @spec transaction(fun, [term], term) :: Remnesia.Engine.result(term)
  def transaction(fun, arguments, retries, access \\ :remnesia)

  def transaction(fun, [], :infinity, :remnesia) when is_function(fun),
    do: Transaction.run(fun, :infinity)

  def transaction(fun, arguments, retries, access)
      when is_function(fun) and is_list(arguments) and
             (retries == :infinity or (is_integer(retries) and retries >= 0)) and is_atom(access) do
    # Mnesia counts runs, and gives every transaction one.
    runs = if is_integer(retries), do: max(retries, 1), else: retries
    Activity.transaction(applied(fun, arguments), runs, access)
  end

  def transaction(fun, arguments, retries, access),
    do: {:aborted, {:badarg, fun, arguments, retries, access}}

  @doc "Runs a function outside of transactions; inside one as an inner transaction."
  @spec dirty(atom, fun, [term], module) :: term
  def dirty(kind, fun, arguments, access)
      when is_function(fun) and is_list(arguments) and is_atom(access),
      do: Activity.dirty(kind, applied(fun, arguments), access)

  def dirty(_kind, fun, arguments, _access), do: {:aborted, {:badarg, fun, arguments}}

  defp applied(fun, []), do: fun
  defp applied(fun, arguments), do: fn -> apply(fun, arguments) end

  @doc "The result of a transaction, once it is on disc. That of an inner one is not committed yet."
  @spec durable(result) :: result | {:aborted, term}
        when result: {:atomic, term} | {:aborted, term}
  def durable({:atomic, _value} = result) do
    with false <- Transaction.inside?(),
         {:"$error", reason} <- Disc.wait_for_last(Transaction.reference()) do
      {:aborted, reason}
    else
      _done -> result
    end
  end

  def durable(result), do: result

  @spec sync() :: :ok | {:error, term}
  def sync do
    with {:"$error", reason} <- Disc.sync(), do: {:error, reason}
  end

  @spec compact() :: {:ok, {non_neg_integer, non_neg_integer}} | {:error, term}
  def compact do
    with {:"$error", reason} <- Native.disc_compact(), do: {:error, reason}
  end

  @spec disc_metrics() :: %{atom => integer} | nil
  def disc_metrics do
    with metrics when is_list(metrics) <- Native.disc_metrics(), do: Map.new(metrics)
  end

  @impl true
  def is_transaction, do: Transaction.inside?()

  # --- records ---

  @impl true
  def read(table, key, kind) when is_lock(kind) do
    case current() do
      txn when is_reference(txn) ->
        case Native.read(txn, table, key, kind) do
          records when is_list(records) -> records
          signal -> Signal.settle(signal, :read, [txn, table, key, kind])
        end

      activity ->
        Activity.call(activity, :read, [table, key, kind])
    end
  end

  def read(table, key, kind) do
    within(:read, [table, key, kind], fn _txn -> read(table, key, lock_kind(table, kind)) end)
  end

  @impl true
  def write(table, record, :write) when tuple_size(record) > 2 do
    case current() do
      txn when is_reference(txn) ->
        case Native.write(txn, table, record, :write) do
          :ok -> :ok
          signal -> Signal.settle(signal, :write, [txn, table, record, :write])
        end

      activity ->
        Activity.call(activity, :write, [table, record, :write])
    end
  end

  def write(table, record, kind) do
    within(:write, [table, record, kind], fn _txn ->
      good = is_atom(table) and table != :schema and is_tuple(record) and tuple_size(record) > 2
      if not good, do: Signal.abort({:bad_type, table, record, kind})
      write(table, record, write_kind(table, kind))
    end)
  end

  @impl true
  def delete(table, key, :write) do
    case current() do
      txn when is_reference(txn) ->
        case Native.delete(txn, table, key) do
          :ok -> :ok
          signal -> Signal.settle(signal, :delete, [txn, table, key])
        end

      activity ->
        Activity.call(activity, :delete, [table, key, :write])
    end
  end

  def delete(table, key, kind) do
    within(:delete, [table, key, kind], fn _txn ->
      delete(table, key, write_kind(table, kind))
    end)
  end

  @impl true
  def delete_object(table, record, kind) do
    within(:delete_object, [table, record, kind], fn txn ->
      cond do
        not (is_atom(table) and table != :schema and is_tuple(record) and tuple_size(record) > 2) ->
          Signal.abort({:bad_type, table})

        Pattern.variable?(record) ->
          Signal.abort({:bad_type, table, record})

        true ->
          :write = write_kind(table, kind)
          arguments = [txn, table, record]
          Signal.settle(Native.delete_object(txn, table, record), :delete_object, arguments)
      end
    end)
  end

  # --- queries ---

  @impl true
  def match_object(table, pattern, kind) do
    within(:match_object, [table, pattern, kind], fn _txn ->
      if is_atom(table) and table != :schema and is_tuple(pattern) and tuple_size(pattern) > 2,
        do: match(table, pattern, kind),
        else: Signal.abort({:bad_type, table, pattern})
    end)
  end

  defp match(table, pattern, kind) do
    if kind == :none and Native.table_size(table) == :error,
      do: Signal.abort({:no_exists, [table, pattern]})

    with [] <- select(table, [{pattern, [], [:"$_"]}], kind) do
      Index.check_length(table, pattern)
      []
    end
  end

  @impl true
  def select(table, spec, kind)
      when is_atom(table) and table != :schema and is_list(spec) and is_lock(kind) do
    case current() do
      txn when is_reference(txn) ->
        case Native.select(txn, table, spec, kind, 0) do
          {:done, records} ->
            records

          answer ->
            if match?({:"$error", {:badarg, _}}, answer), do: writable!(table, kind)
            Scan.all(answer, :select, [txn, table, spec, kind, 0])
        end

      activity ->
        Activity.call(activity, :select, [table, spec, kind])
    end
  end

  def select(table, spec, kind) when is_atom(table) and table != :schema and is_list(spec) do
    within(:select, [table, spec, kind], fn _txn ->
      select(table, spec, search_kind(table, spec, kind))
    end)
  end

  def select(table, spec, _kind), do: Signal.abort({:badarg, table, spec})

  @impl true
  def select(table, spec, limit, kind)
      when is_atom(table) and table != :schema and is_list(spec) and is_integer(limit) do
    within(:select, [table, spec, limit, kind], fn txn ->
      Dirty.stored!(table)
      kind = search_kind(table, spec, kind)
      if limit not in Dirty.chunk_sizes(), do: refuse_chunk(table, spec, limit, kind)
      arguments = [txn, table, spec, kind, limit]
      template = Scan.template(txn, table, spec, kind)

      case apply(Native, :select, arguments) do
        {:"$error", {:badarg, _}} -> refuse_chunk(table, spec, limit, kind)
        answer -> Scan.chunk(answer, :select, arguments, template)
      end
    end)
  end

  def select(table, spec, limit, _kind), do: Signal.abort({:badarg, table, spec, limit})

  defp refuse_chunk(table, spec, limit, kind) do
    writable!(table, kind)
    Dirty.refuse_chunk(table, spec, limit)
  end

  # What is wrong with a lock comes before what is wrong with a specification.
  defp writable!(table, :write) do
    if match?({:ok, %{access_mode: :read_only}}, Native.table_props(table)),
      do: Signal.abort({:no_exists, table})
  end

  defp writable!(_table, :read), do: :ok

  @impl true
  def select(continuation) do
    within(:select_cont, [continuation], fn txn -> Scan.continue(txn, continuation) end)
  end

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
  def index_read(table, value, attribute) do
    with txn when is_reference(txn) <- current(),
         position when is_integer(position) <- Index.known(table, attribute),
         false <- Pattern.variable?(value) do
      Index.lookup(txn, table, value, position)
    else
      _other -> index_read_refused(table, value, attribute)
    end
  end

  # What is wrong is said in Mnesia's order: first that there is no transaction.
  defp index_read_refused(table, value, attribute) do
    within(:index_read, [table, value, attribute], fn txn ->
      position = Index.position(table, attribute)
      if Pattern.variable?(value), do: Signal.abort({:bad_type, table, attribute, value})
      Index.lookup(txn, table, value, position)
    end)
  end

  @impl true
  def index_match_object(table, pattern, attribute, kind) do
    within(:index_match_object, [table, pattern, attribute, kind], fn _txn ->
      Index.check_pattern(table, pattern, attribute, fn position ->
        if kind != :read, do: Signal.abort({:bad_type, table, kind})
        if Native.table_size(table) == :error, do: Signal.abort({:no_exists, table})
        position
      end)

      # A tuple names no attribute: it is a match without an index.
      if is_tuple(attribute),
        do: match(table, pattern, :read),
        else: select(table, [{pattern, [], [:"$_"]}], :read)
    end)
  end

  # --- keys ---

  @impl true
  def all_keys(table) do
    within(:all_keys, [table], fn txn ->
      case Native.all_keys(txn, table) do
        {:"$error", {:no_exists, ^table}} when is_atom(table) and table != :schema ->
          Signal.abort({:no_exists, {table, :wild_pattern}})

        answer ->
          Scan.all(answer, :all_keys, [txn, table])
      end
    end)
  end

  @impl true
  def first(table), do: key(:first, [table])

  @impl true
  def last(table), do: key(:last, [table])

  @impl true
  def next(table, key), do: key(:next, [table, key])

  @impl true
  def prev(table, key), do: key(:prev, [table, key])

  defp key(operation, arguments) do
    within(operation, arguments, fn txn ->
      arguments = [txn | arguments]

      case Signal.settle(apply(Native, operation, arguments), operation, arguments) do
        {:ok, key} -> key
        :"$end_of_table" -> :"$end_of_table"
      end
    end)
  end

  @impl true
  def last_number(table) do
    # Whoever asks is about to write one more, and two who ask must not get the same answer. The write lock is taken
    # first: from a read lock each of them would have to restart to get it.
    lock_table(table, :write)

    case table_type(table) do
      :ordered_set -> last_number_of(table)
      _other -> table |> all_keys() |> Enum.filter(&is_number/1) |> Enum.max(fn -> nil end)
    end
  end

  defp last_number_of(table) do
    within(:last_number, [table], fn txn ->
      Signal.settle(Native.last_number(txn, table), :last_number, [txn, table])
    end)
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
    within(:lock, [{:table, table}, kind], fn txn ->
      kind = lock_kind(table, kind)
      Signal.settle(Native.lock_table(txn, table, kind), :lock_table, [txn, table, kind])
    end)
  end

  @impl true
  def lock_record(table, key, kind) do
    within(:lock, [{:record, table, key}, kind], fn txn ->
      arguments = [txn, table, key, lock_kind(table, kind)]
      Signal.settle(apply(Native, :lock_record, arguments), :lock_record, arguments)
    end)
  end

  @impl true
  def lock_global(term, kind) do
    within(:lock, [{:global, term, [node()]}, kind], fn txn ->
      kind = if kind == :sticky_write, do: :write, else: lock_kind(term, kind)
      Signal.settle(Native.lock_global(txn, term, kind), :lock_global, [txn, term, kind])
    end)
  end

  # --- arguments ---

  # Runs `fun` on the process's own transaction; any other activity answers for itself.
  defp within(operation, arguments, fun) do
    case current() do
      txn when is_reference(txn) ->
        if Native.txn_depth(txn) > 0, do: fun.(txn), else: Signal.no_transaction()

      activity ->
        Activity.call(activity, operation, arguments)
    end
  end

  # On one node a sticky lock is a write lock.
  defp lock_kind(_item, kind) when is_lock(kind), do: kind

  defp lock_kind(item, :sticky_write) do
    if is_atom(item) and item != :schema and Native.table_size(item) == :error,
      do: Signal.abort({:not_local, item}),
      else: :write
  end

  defp lock_kind(item, kind), do: refuse_kind(item, kind)

  # A search that locks the whole table may be given the locks of tables.
  defp search_kind(table, spec, kind) when kind in [:load, :none] do
    bound? =
      case spec do
        [{head, _, _}] when tuple_size(head) > 2 -> not Pattern.variable?(elem(head, 1))
        _other -> false
      end

    cond do
      bound? and kind == :load -> refuse_kind(table, kind)
      kind == :load -> :write
      Native.table_size(table) == :error -> Signal.abort({:no_exists, [table, spec]})
      true -> :read
    end
  end

  defp search_kind(table, _spec, kind), do: lock_kind(table, kind)

  defp write_kind(_table, :write), do: :write
  defp write_kind(table, :sticky_write), do: lock_kind(table, :sticky_write)
  defp write_kind(table, kind), do: refuse_kind(table, kind)

  @spec refuse_kind(term, term) :: no_return
  defp refuse_kind(table, kind) do
    Signal.abort(
      if(is_atom(table) and table != :schema,
        do: {:bad_type, table, kind},
        else: {:bad_type, table}
      )
    )
  end
end
