defmodule Isolation.Run do
  @moduledoc false

  # Runs random transactions by several processes at once, and gives the history for Isolation.Checker. Each process keeps what it has done in an ETS table
  # before it does it, so that what a killed one may have committed is known.

  alias Isolation.{Program, Steps}
  alias Remnesia.Engine.Local.Checkpoints

  @doc "A history. `activity` runs a function in place of a transaction, to show what is found where there is none."
  def history(number, tables, options \\ []) do
    log = :ets.new(:history, [:public, write_concurrency: true])
    names = Program.names(number)
    context = %{log: log, names: names, tables: tables, activity: options[:activity]}
    seeds = for n <- 1..Keyword.get(options, :processes, 5), do: {n, :rand.uniform(1_000_000_000)}
    programs = Keyword.get(options, :programs, 8)

    seeds
    |> Enum.map(fn {n, seed} -> start(context, n, 1, programs, seed) end)
    |> wait(context, programs)

    transaction(context, :last, Program.everything(names))
    history = for {_id, txn} <- :ets.tab2list(log), do: txn
    :ets.delete(log)
    history
  end

  defp start(context, n, from, to, seed) do
    {_pid, monitor} =
      spawn_monitor(fn ->
        :rand.seed(:exsss, {seed, from, n})
        for k <- from..to//1, do: transaction(context, {n, k}, Program.random(context.names))
      end)

    {monitor, n, seed}
  end

  defp wait([], _context, _programs), do: :ok

  # Another process goes on behind the transaction that was killed.
  defp wait(workers, context, programs) do
    receive do
      {:DOWN, monitor, :process, _pid, reason} ->
        {{_, n, seed}, others} = List.keytake(workers, monitor, 0)

        case reason do
          :normal ->
            wait(others, context, programs)

          :killed ->
            done = for {{^n, k}, _txn} <- :ets.tab2list(context.log), do: k
            again = start(context, n, Enum.max([0 | done]) + 1, programs, seed)
            wait([again | others], context, programs)

          reason ->
            exit(reason)
        end
    end
  end

  defp transaction(context, id, {how, steps, ending}) do
    begun = System.monotonic_time()
    keep(context, %{id: id, status: :unknown, begun: begun, ended: nil, ops: []})
    if ending == :killed, do: kill_soon(self())
    status = run(how, context, steps, ending)
    txn = Process.get(:txn)
    # The killer comes for this transaction, not for the next one.
    if ending == :killed, do: Process.sleep(:infinity)
    keep(context, %{txn | status: status, ended: System.monotonic_time()})
  end

  defp kill_soon(pid) do
    pause = :rand.uniform(400)
    spawn(fn -> spin(pause) && Process.exit(pid, :kill) end)
  end

  defp spin(0), do: true
  defp spin(n), do: :erlang.phash2(n) >= 0 and spin(n - 1)

  defp run(_how, %{activity: activity} = context, steps, ending) when activity != nil do
    activity.(fn -> body(:mnesia, context, steps, ending) end)
    :ok
  catch
    _kind, _reason -> :aborted
  end

  # A snapshot is a transaction that reads everything.
  defp run(:snapshot, context, [], :ok) do
    %{rows: rows, lists: lists, registers: registers} = context.tables
    {:ok, snapshot} = Checkpoints.take(nil, [rows, lists, registers])
    Steps.run_snapshot(context, &Checkpoints.read(snapshot, &1, &2))
    Checkpoints.release(snapshot)
    :ok
  end

  defp run(:mnesia, context, steps, ending) do
    case :remnesia.transaction(fn -> body(:mnesia, context, steps, ending) end) do
      {:atomic, :done} -> :ok
      {:aborted, :wanted} -> :aborted
      {:aborted, {%RuntimeError{}, _}} -> :aborted
    end
  end

  # What is raised in the function is raised again.
  defp run(:memento, context, steps, ending) do
    case Remnesia.transaction(fn -> body(:memento, context, steps, ending) end) do
      {:ok, :done} -> :ok
      {:error, {:transaction_aborted, :wanted}} -> :aborted
      {:error, :wanted} -> :aborted
    end
  rescue
    _wanted in RuntimeError -> :aborted
  end

  defp body(door, context, steps, ending) do
    # Run again, it has done nothing so far.
    keep(context, %{Process.get(:txn) | ops: []})
    Enum.each(steps, &Steps.run(&1, door, context))

    case ending do
      :abort -> Steps.abort(door)
      :raise -> raise "wanted"
      :kill_itself -> Process.exit(self(), :kill)
      _ -> :done
    end
  end

  @doc "Notes an operation."
  def note(context, operation) do
    txn = Process.get(:txn)
    keep(context, %{txn | ops: [operation | txn.ops]})
  end

  @doc "Notes the operations of an inner transaction as one."
  def inner(context, fun) do
    outer = Process.get(:txn)
    keep(context, %{outer | ops: []})
    ending = fun.()
    inner = {:inner, ending, ops(Process.get(:txn).ops)}
    keep(context, %{outer | ops: [inner | outer.ops]})
  end

  # What is open is not in the log: who is killed there has not committed.
  defp keep(context, txn) do
    Process.put(:txn, txn)
    :ets.insert(context.log, {txn.id, %{txn | ops: ops(txn.ops)}})
  end

  defp ops(newest_first), do: Enum.reverse(newest_first)
end
