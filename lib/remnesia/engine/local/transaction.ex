defmodule Remnesia.Engine.Local.Transaction do
  @moduledoc false

  # The loop around the user's function.
  #
  # Each process has one native transaction object for its life, cached in its process dictionary: a new one per
  # transaction would cost more than a read. It belongs to this process alone; a process that is spawned inside a
  # transaction starts with an empty dictionary and so is outside. Killed at any point, the process leaves nothing
  # behind: the native side monitors it.
  #
  # What must hold:
  #
  #   * every txn_begin is followed by one txn_commit or txn_abort of that level, however the function ends;
  #   * a restart (a lock conflict decided against us) reruns the outermost function, also when the function caught the
  #     exit and went on, aborted, raised or threw: its outcome rests on reads that no longer hold;
  #   * the loop is tail recursive: a function that is rerun a million times leaves no stack.

  alias Remnesia.Engine.Local.{Activity, Signal, Wait, Watch}
  alias Remnesia.Native

  @key :"$remnesia_transaction"

  # Milliseconds between two runs that are counted, at most: as long as Mnesia sleeps.
  @pause 500

  @type runs :: pos_integer | :infinity
  @type result :: {:atomic, term} | {:aborted, term}

  @doc "The process's transaction object, or `:undefined` before its first transaction. One dictionary lookup."
  defmacro current, do: quote(do: :erlang.get(unquote(@key)))

  @doc "True within the function of a transaction."
  @spec inside?() :: boolean
  def inside? do
    case :erlang.get(@key) do
      txn when is_reference(txn) -> Native.txn_depth(txn) > 0
      {_module, id, _store, _txn} -> elem(id, 0) == :tid
      :undefined -> false
    end
  end

  @doc "The process's transaction object, whatever it is in; it may have none yet."
  @spec reference() :: reference | :undefined
  def reference do
    case :erlang.get(@key) do
      {_module, _id, _store, txn} -> txn
      txn -> txn
    end
  end

  @doc "Runs the function as a transaction, at most `runs` times when it is the outermost one."
  @spec run((() -> term), runs) :: result
  def run(fun, runs) do
    case :erlang.get(@key) do
      txn when is_reference(txn) ->
        begin(txn, fun, runs)

      :undefined ->
        first(fun, runs)

      {_module, {:tid, _serial, _pid}, _store, txn} ->
        begin(txn, Activity.plain(txn, fun), runs)

      dirty ->
        Activity.leave(dirty, fn -> run(fun, runs) end)
    end
  end

  defp begin(txn, fun, runs) do
    case Native.txn_begin(txn) do
      1 -> outermost(txn, fun, counted(txn, runs))
      depth when is_integer(depth) -> nested(txn, fun)
      {:"$error", _reason} -> first(fun, runs)
    end
  end

  # The first transaction of the process, or the first after the database was stopped and started.
  defp first(fun, runs) do
    with txn when is_reference(txn) <- Native.txn_new(),
         1 <- Native.txn_begin(txn) do
      :erlang.put(@key, txn)
      outermost(txn, fun, counted(txn, runs))
    else
      {:"$error", reason} ->
        :erlang.erase(@key)
        {:aborted, Signal.reason(reason)}
    end
  end

  defp counted(_txn, :infinity), do: :infinity

  defp counted(txn, runs) do
    :ok = Native.txn_counted(txn)
    runs
  end

  defp outermost(txn, fun, runs) do
    try do
      fun.()
    catch
      kind, reason ->
        failed(txn, fun, runs, kind, reason, __STACKTRACE__)
    else
      value ->
        case Native.txn_commit(txn) do
          :ok -> {:atomic, value}
          signal -> commit(signal, txn, fun, runs, value)
        end
    end
  end

  # A commit locks the index values that it changes: it may still have to wait or to give way.
  defp commit(signal, txn, fun, runs, value) do
    case settle_commit(signal, txn) do
      :ok ->
        {:atomic, value}

      :restart ->
        rerun(txn, fun, runs)

      {:"$error", reason} ->
        refused(txn, reason)
    end
  end

  # A commit that is refused may have ended the transaction already.
  defp refused(txn, reason) do
    Signal.forget_doom()
    Watch.forget()
    if Native.txn_depth(txn) > 0, do: Native.txn_abort(txn)
    {:aborted, Signal.reason(reason)}
  end

  defp settle_inner(:"$watched", txn), do: Watch.merge_level(txn)
  defp settle_inner(answer, txn), do: settle_commit(answer, txn)

  defp settle_commit(:ok, _txn), do: :ok
  defp settle_commit(:"$watched", txn), do: Watch.commit(txn)
  defp settle_commit({:"$sync", position}, _txn), do: Wait.durable(position)
  defp settle_commit(:"$restart", _txn), do: :restart
  defp settle_commit({:"$error", _reason} = error, _txn), do: error

  defp settle_commit({:"$room", bytes}, txn) do
    Wait.room(bytes)
    settle_commit(Native.txn_commit(txn), txn)
  end

  defp settle_commit(:"$wait", txn) do
    case Wait.lock(txn) do
      :ok -> settle_commit(Native.txn_commit(txn), txn)
      other -> other
    end
  end

  defp failed(txn, fun, runs, kind, reason, stacktrace) do
    if Signal.doomed?() do
      rerun(txn, fun, runs)
    else
      Watch.forget()
      Native.txn_abort(txn)
      {:aborted, outcome(kind, reason, stacktrace)}
    end
  end

  defp rerun(txn, fun, runs) do
    Signal.forget_doom()
    Watch.forget()

    if runs == 1 do
      Native.txn_abort(txn)
      {:aborted, :nomore}
    else
      case if(runs == :infinity, do: again(txn), else: again(txn, now() + @pause)) do
        :ok ->
          outermost(txn, fun, less(runs))

        {:"$error", reason} ->
          refused(txn, reason)
      end
    end
  end

  defp less(:infinity), do: :infinity
  defp less(runs), do: runs - 1

  # Gives up all locks and waits, holding nothing, for the one that was lost.
  defp again(txn) do
    case Native.txn_restart(txn) do
      :ok ->
        :ok

      :"$wait" ->
        case Wait.lock(txn) do
          :restart -> again(txn)
          done -> done
        end

      # Another table has taken the place of the one that it waited for.
      :"$restart" ->
        again(txn)

      {:"$error", _reason} = error ->
        error
    end
  end

  # The same where runs are counted: they come to an end also if whoever has the lock does not.
  defp again(txn, deadline) do
    with signal when signal in [:"$wait", :"$restart"] <- Native.txn_restart(txn) do
      if now() < deadline do
        Process.sleep(1)
        again(txn, deadline)
      else
        :ok
      end
    end
  end

  defp now, do: System.monotonic_time(:millisecond)

  defp nested(txn, fun) do
    try do
      fun.()
    catch
      kind, reason ->
        Watch.drop_level(txn)
        Native.txn_abort(txn)
        # Only the outermost function can be rerun.
        if Signal.doomed?(),
          do: Signal.restart(),
          else: {:aborted, outcome(kind, reason, __STACKTRACE__)}
    else
      value ->
        case settle_inner(Native.txn_commit(txn), txn) do
          :ok ->
            {:atomic, value}

          :restart ->
            Native.txn_abort(txn)
            Signal.restart()

          {:"$error", reason} ->
            refused(txn, reason)
        end
    end
  end

  # How Mnesia names what ended a function.
  defp outcome(:throw, value, _stacktrace), do: {:throw, value}
  defp outcome(:error, reason, stacktrace), do: unwrap({reason, stacktrace})
  defp outcome(:exit, reason, _stacktrace), do: unwrap(reason)

  defp unwrap({:aborted, reason}), do: reason
  defp unwrap({:abort, reason}), do: reason
  defp unwrap(reason), do: reason
end
