defmodule Remnesia.Load do
  @moduledoc false

  # Writes on a peer until it is told to stop, and remembers what was acknowledged. Compiled, because blocks of a test are interpreted there.

  alias Remnesia.Peers

  @patience 150_000

  @doc """
  Starts to write records `{table, {tag, n}, rem(n, 50), n}` and, in the same transaction, `{table, rem(n, 20), tag, n}`, by `sync_transaction`, into
  each of the tables in turn; on another node, if one is named, which this one asks.
  """
  def start(peer, tables, tag, on \\ nil),
    do: Peers.call(peer, __MODULE__, :begin, [tables, tag, on])

  @doc "Stops it; the acknowledged `{table, n}`, newest first, and the reasons of what was not."
  def stop(peer, tag), do: Peers.call(peer, __MODULE__, :finish, [tag])

  @doc "Waits until the load has had so many answers more, of either kind; that there is a reason, if one is named."
  def wait(peer, tag, more, reason \\ nil) do
    {done, failed, _reasons} = progress(peer, tag)

    Remnesia.Links.wait(fn ->
      {now, failed_now, reasons} = progress(peer, tag)
      now + failed_now >= done + failed + more and (reason == nil or reason in reasons)
    end)
  end

  defp progress(peer, tag), do: Peers.call(peer, __MODULE__, :count, [tag])

  @doc false
  def count(tag), do: ask(tag, :count)

  @doc false
  def begin(tables, tag, on) do
    pid = spawn(fn -> loop(tables, {tag, on || node()}, 1, [], {0, MapSet.new()}) end)
    Process.register(pid, tag)
    :ok
  end

  @doc false
  def finish(tag), do: ask(tag, :stop)

  defp ask(tag, what) do
    monitor = Process.monitor(tag)
    send(tag, {what, self()})

    receive do
      {:answer, result} ->
        Process.demonitor(monitor, [:flush])
        result

      {:DOWN, ^monitor, _, _, reason} ->
        raise "the load ended: #{inspect(reason)}"
    after
      @patience -> raise "the load hangs: #{inspect(stacks(), limit: :infinity)}"
    end
  end

  # Where transactions are.
  defp stacks do
    for pid <- Process.list(),
        {:current_stacktrace, stack} <- [Process.info(pid, :current_stacktrace)],
        Enum.any?(stack, &(elem(&1, 0) in [:mnesia, :mnesia_tm, :mnesia_locker, __MODULE__])),
        pid != self(),
        do: {Process.info(pid, [:registered_name, :messages]), stack}
  end

  defp loop([table | tables], {tag, on} = where, n, done, {failed, reasons}) do
    {done, failures} =
      case attempt(table, tag, n, on) do
        {:atomic, :ok} ->
          {[{table, n} | done], {failed, reasons}}

        {:aborted, reason} ->
          Process.sleep(5)
          {done, {failed + 1, MapSet.put(reasons, kind(reason))}}
      end

    if go_on?(done, failures), do: loop(tables ++ [table], where, n + 1, done, failures)
  end

  defp go_on?(done, {failed, reasons} = failures) do
    receive do
      {:count, from} ->
        send(from, {:answer, {length(done), failed, reasons}})
        go_on?(done, failures)

      {:stop, from} ->
        send(from, {:answer, {done, MapSet.to_list(reasons)}})
        false
    after
      2 -> true
    end
  end

  # Mnesia ends who is in a transaction when it stops.
  defp attempt(table, tag, n, on) do
    {pid, monitor} =
      Node.spawn_monitor(on, fn ->
        # As after any start: before, this node may not have heard of all copies, and a write would reach some.
        case :mnesia.wait_for_tables([table], 60_000) do
          :ok -> exit({:answer, :mnesia.sync_transaction(fn -> write(table, tag, n) end)})
          _not_there -> exit({:answer, {:aborted, :node_not_running}})
        end
      end)

    receive do
      {:DOWN, ^monitor, _, ^pid, {:answer, answer}} -> answer
      {:DOWN, ^monitor, _, ^pid, reason} -> {:aborted, reason}
    end
  end

  defp write(table, tag, n) do
    :mnesia.write({table, {tag, n}, rem(n, 50), n})
    :mnesia.write({table, rem(n, 20), tag, n})
  end

  defp kind(reason) when is_tuple(reason), do: elem(reason, 0)
  defp kind(reason), do: reason

  # --- functions that other VMs need in the tests of partitions ---

  @doc false
  def add(table, key, records, versions), do: Map.put(versions, {table, key}, records)

  @doc false
  # Counters grow; of the rest the kept side's, or what there is; those of a bag together.
  def merge(:bag, ours, theirs), do: Enum.uniq(ours ++ theirs)
  def merge(:m, _ours, {:m, :bad, _, _}), do: :no_record
  def merge(:m, _ours, {:m, :raises, _, _}), do: raise("on purpose")
  def merge(:d, {:d, :gone, _, _}, nil), do: :delete
  def merge(table, {table, :n, a, w}, {table, :n, b, _}), do: {table, :n, max(a, b), w}
  def merge(_table, ours, theirs), do: ours || theirs
end
