defmodule Remnesia.Engine.Local.Activity do
  @moduledoc false

  # What a process may be in other than its own plain transaction. The process dictionary then holds, in the place of the
  # transaction's reference,
  #
  #     {module, id, store, txn}
  #
  # module  the access module, which is asked for every operation; :remnesia is Remnesia itself
  # id      {:tid, serial, pid} of a transaction, or {:async_dirty | :sync_dirty | :ets, pid}
  # store   {:tidstore, txn, upper, level} of a transaction, or :non_transaction
  # txn     the transaction's reference to put back, if the process had one
  #
  # id and store are what an access module gets and hands on; they have the shapes of Mnesia's. A plain transaction never has
  # such a tuple, so it pays nothing for them.

  alias Remnesia.Engine.Local
  alias Remnesia.Engine.Local.{Dirty, Lock, Pattern, Scan, Signal, Tables, Transaction}
  alias Remnesia.Native

  @default :remnesia
  @key :"$remnesia_transaction"
  @dirty [:async_dirty, :sync_dirty, :ets]

  @type kind :: :async_dirty | :sync_dirty | :ets
  @type t :: {module, tuple, term, reference | :undefined}

  # --- running ---

  @doc "Runs the function as a transaction whose operations go through an access module."
  @spec transaction((() -> term), Transaction.runs(), module) :: Transaction.result()
  def transaction(fun, runs, @default), do: Transaction.run(fun, runs)

  def transaction(fun, runs, module) do
    Transaction.run(
      fn ->
        txn = Transaction.reference()
        in_place({module, id(txn), store(txn), txn}, fun)
      end,
      runs
    )
  end

  @doc "The function of a transaction inside one with an access module: it has none itself."
  @spec plain(reference, (() -> result)) :: (() -> result) when result: term
  def plain(txn, fun), do: fn -> in_place(txn, fun) end

  @doc "Runs the function without a transaction; within one it is an inner transaction, as in Mnesia."
  @spec dirty(kind, (() -> term), module) :: term | no_return
  def dirty(kind, fun, module) do
    if Local.is_transaction() do
      case transaction(fun, :infinity, module) do
        {:atomic, value} -> value
        {:aborted, reason} -> exit(reason)
      end
    else
      txn = Transaction.reference()
      non_transaction({module, {kind, self()}, :non_transaction, txn}, fun)
    end
  end

  defp non_transaction(activity, fun) do
    in_place(activity, fun)
  catch
    :error, reason -> exit({reason, __STACKTRACE__})
  else
    {:EXIT, reason} -> exit(reason)
    {:aborted, {:aborted, _} = reason} -> exit(reason)
    {:aborted, reason} -> Signal.abort(reason)
    value -> value
  end

  defp in_place(activity, fun) do
    before = :erlang.put(@key, activity)

    try do
      fun.()
    after
      # A first transaction of the process may have put its reference there.
      put_back(before, :erlang.get(@key))
    end
  end

  defp put_back(:undefined, {_module, _id, _store, txn}), do: put_back(txn, nil)
  defp put_back(:undefined, _now), do: :erlang.erase(@key)
  defp put_back(before, _now), do: :erlang.put(@key, before)

  @doc "Runs the outermost function of a transaction that begins inside a dirty activity."
  @spec leave(t, (() -> result)) :: result when result: term
  def leave({module, id, store, txn}, fun) do
    put_back(txn, nil)

    try do
      fun.()
    after
      :erlang.put(@key, {module, id, store, Transaction.reference()})
    end
  end

  # --- operations ---

  @doc "An operation of a process that is not in its own plain transaction."
  @spec call(:undefined | t, atom, [term]) :: term | no_return
  def call(:undefined, _operation, _arguments), do: Signal.no_transaction()

  def call({@default, id, store, _txn}, operation, arguments),
    do: explicit(id, store, operation, arguments)

  def call({module, id, store, _txn}, operation, arguments),
    do:
      apply(handler(module), callback(operation), [
        id,
        store | callback_arguments(operation, arguments)
      ])

  @doc "The module that answers for an access module: Mnesia's for fragments has its counterpart here."
  @spec handler(module) :: module
  def handler(:mnesia_frag), do: :remnesia_frag
  def handler(module), do: module

  defp callback(:last_number), do: :all_keys
  defp callback(operation), do: operation

  # Three operations have a lock among their arguments only where an access module sees them.
  defp callback_arguments(:index_read, arguments), do: arguments ++ [:read]
  defp callback_arguments(:all_keys, arguments), do: arguments ++ [:read]
  defp callback_arguments(:last_number, arguments), do: arguments ++ [:write]
  defp callback_arguments(_operation, arguments), do: arguments

  @doc "The operation of an access module that hands id and store on: Remnesia's own."
  @spec explicit(tuple, term, atom, [term]) :: term | no_return
  def explicit({:tid, _serial, _pid}, store, operation, arguments) do
    txn = elem(store, 1)

    case :erlang.get(@key) do
      ^txn -> own(operation, arguments)
      _activity -> in_place(txn, fn -> own(operation, arguments) end)
    end
  end

  def explicit({kind, _pid}, _store, operation, arguments) when kind in @dirty do
    run_dirty(kind, operation, arguments)
  end

  def explicit(_id, _store, _operation, _arguments), do: Signal.no_transaction()

  defp own(:select_cont, [continuation]), do: Local.select(continuation)
  defp own(:lock, [item, kind]), do: Lock.acquire(item, kind)
  defp own(:clear_table, [table]), do: Tables.clear!(table)
  defp own(operation, arguments), do: apply(Local, operation, arguments)

  # These are the same in all dirty activities.
  defp run_dirty(:ets, operation, arguments)
       when operation in [:index_read, :index_match_object, :select_cont, :all_keys],
       do: unchecked(operation, arguments)

  defp run_dirty(:ets, :select, [_table, _spec, _limit, _kind] = arguments) do
    unchecked(:select, arguments)
  catch
    :exit, {:aborted, {:badarg, [_type | _]}} -> :erlang.error(:badarg)
  end

  # No index is looked at there, so no pattern is too short for one.
  defp run_dirty(:ets, :match_object, [table, pattern, kind])
       when is_atom(table) and table != :schema and is_tuple(pattern) and tuple_size(pattern) > 2,
       do: run_dirty(:ets, :select, [table, [{pattern, [], [:"$_"]}], kind])

  # An activity of kind :ets works on the table itself: whatever is wrong is a bad argument.
  defp run_dirty(:ets, operation, arguments) do
    case silent(operation, arguments) do
      :ok -> :ok
      _other -> unchecked(operation, arguments)
    end
  catch
    :exit, {:aborted, {:no_exists, _}} -> :erlang.error(:badarg)
    :exit, {:aborted, {:badarg, _}} -> :erlang.error(:badarg)
  end

  defp run_dirty(_kind, operation, arguments), do: unchecked(operation, arguments)

  # Subscribers are not told of what such an activity writes.
  defp silent(:write, [table, record, kind])
       when is_tuple(record) and tuple_size(record) > 2,
       do: Native.write(:"$watched", table, record, kind)

  defp silent(:delete, [table, key, _kind]), do: Native.delete(:"$watched", table, key)

  defp silent(:delete_object, [table, record, _kind])
       when is_tuple(record) and tuple_size(record) > 2 do
    if Pattern.variable?(record),
      do: :none,
      else: Native.delete_object(:"$watched", table, record)
  end

  defp silent(_operation, _arguments), do: :none

  defp unchecked(:read, [table, key, _kind]), do: Dirty.read(table, key)

  defp unchecked(:write, [table, record, kind])
       when not is_atom(table) or table == :schema or not is_tuple(record) or
              tuple_size(record) < 3,
       do: Signal.abort({:bad_type, table, record, kind})

  defp unchecked(:write, [table, record, _kind]), do: Dirty.write(table, record)
  defp unchecked(:delete, [table, key, _kind]), do: Dirty.delete(table, key)

  defp unchecked(:delete_object, [table, record, _kind])
       when not is_atom(table) or table == :schema or not is_tuple(record) or
              tuple_size(record) < 3,
       do: Signal.abort({:bad_type, table})

  defp unchecked(:delete_object, [table, record, _kind]), do: Dirty.delete_object(table, record)
  defp unchecked(:match_object, [table, pattern, _kind]), do: Dirty.match_object(table, pattern)
  defp unchecked(:select, [table, spec, _kind]), do: Dirty.select(table, spec)

  defp unchecked(:select, [table, spec, limit, _kind]),
    do: Dirty.select(table, spec, limit, id())

  defp unchecked(:select_cont, [continuation]), do: Scan.continue(nil, continuation)

  defp unchecked(:index_read, [table, value, attribute]),
    do: Dirty.index_read(table, value, attribute)

  defp unchecked(:index_match_object, [table, pattern, attribute, _kind]),
    do: Dirty.index_match_object(table, pattern, attribute)

  defp unchecked(:lock, _arguments), do: []

  defp unchecked(:all_keys, [table]) do
    if is_atom(table) and table != :schema, do: Dirty.known!(table, :wild_pattern)
    Dirty.all_keys(table)
  end

  defp unchecked(operation, [_table | _] = arguments)
       when operation in [:first, :last, :next, :prev, :last_number],
       do: apply(Dirty, operation, arguments)

  # --- identity ---

  @doc "What Mnesia's get_activity_id answers: `{module, id, store}`, or `:undefined`."
  @spec get_id() :: tuple | :undefined
  def get_id do
    case :erlang.get(@key) do
      {module, id, store, _txn} ->
        {module, id, store}

      txn when is_reference(txn) ->
        if Native.txn_depth(txn) > 0, do: {@default, id(txn), store(txn)}, else: :undefined

      :undefined ->
        :undefined
    end
  end

  @doc "Puts the process into the activity of an id, which may be that of another process's transaction."
  @spec put_id(tuple | :undefined) :: term
  def put_id(:undefined), do: :erlang.erase(@key)

  def put_id({module, {:tid, _serial, owner} = id, {:tidstore, txn, _, _} = store}) do
    # Of one that is over Mnesia's store is gone.
    if owner != self() and not Native.txn_join(txn), do: :erlang.error(:badarg)
    :erlang.put(@key, if(module == @default, do: txn, else: {module, id, store, txn}))
  end

  def put_id({module, id, store}),
    do: :erlang.put(@key, {module, id, store, Transaction.reference()})

  # What is no activity is none to be in.
  def put_id(_other), do: :erlang.erase(@key)

  defp id, do: elem(get_id(), 1)

  @doc "The id of the process's transaction, as subscribers get it."
  @spec id(reference) :: {:tid, integer, pid}
  def id(txn), do: {:tid, Native.txn_serial(txn), self()}

  defp store(txn) do
    level = Native.txn_depth(txn)
    {:tidstore, txn, List.duplicate({@default, txn}, level - 1), level}
  end
end
