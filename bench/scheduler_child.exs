# Runs in a VM with one scheduler (see scheduler.exs): the process that is measured asks to be woken every millisecond and notes how
# late it is, while another works through Remnesia.

[records] = System.argv()
records = String.to_integer(records)
alias Remnesia.{Engine, Native}

defmodule Delay do
  def measure(name, work) do
    parent = self()
    {worker, monitor} = spawn_monitor(fn -> receive do: (:go -> work.()) end)
    watcher = spawn_link(fn -> watch(parent, []) end)
    Process.sleep(20)
    send(worker, :go)
    receive do: ({:DOWN, ^monitor, :process, ^worker, :normal} -> :ok)
    send(watcher, :stop)
    delays = receive do: ({:delays, delays} -> Enum.sort(delays))
    at = fn share -> Enum.at(delays, min(trunc(length(delays) * share), length(delays) - 1)) end
    IO.puts("delay " <> inspect({name, at.(0.5), at.(0.99), List.last(delays)}))
  end

  defp watch(parent, delays) do
    due = System.monotonic_time(:microsecond) + 1_000
    Process.send_after(self(), :tick, 1)

    receive do
      :stop -> send(parent, {:delays, delays})
      :tick -> watch(parent, [max(System.monotonic_time(:microsecond) - due, 0) | delays])
    end
  end

  def fill(table, records) do
    :ok = Native.table_create(table, :set, 6, table, [], [])

    for i <- 1..records,
        do: :ok = Engine.dirty_write(table, {table, i, div(i, 10), "name", :plain, i * 0.5})
  end
end

{:ok, _} = Application.ensure_all_started(:remnesia)
Delay.fill(:t, records)
spec = [{{:t, :_, :"$1", :_, :_, :_}, [{:<, :"$1", 100}], [:"$_"]}]
big = :binary.copy(<<1>>, 100 * 1024 * 1024)
list = Enum.to_list(1..1_000_000)
transaction = fn fun -> {:atomic, _} = Engine.transaction(fun) end

Delay.measure("nothing", fn -> Process.sleep(1_000) end)

Delay.measure("scan of #{records} records, looping", fn ->
  for _ <- 1..5, do: Engine.dirty_select(:t, spec)
end)

Delay.measure("every key of #{records} records", fn -> Engine.dirty_all_keys(:t) end)

Delay.measure("transaction of 100,000 writes", fn ->
  transaction.(fn ->
    for i <- 1..100_000, do: Engine.write(:t, {:t, i, 0, "new", :plain, 0.5}, :write)
  end)
end)

Delay.measure("100 MB record, written and read", fn ->
  :ok = Engine.dirty_write(:t, {:t, :big, big, 0, 0, 0})
  [_] = Engine.dirty_read(:t, :big)
end)

Delay.measure("record with a list of 1,000,000, written and read", fn ->
  :ok = Engine.dirty_write(:t, {:t, :list, list, 0, 0, 0})
  [_] = Engine.dirty_read(:t, :list)
end)

Delay.measure("clear of #{records} records", fn ->
  {:atomic, :ok} = Engine.clear_table(:t)
  Process.sleep(300)
end)

Delay.fill(:u, records)

Delay.measure("delete of a table of #{records} records", fn ->
  txn = Native.txn_new()
  1 = Native.txn_begin(txn)
  :ok = Native.table_delete(txn, :u)
  :ok = Native.txn_commit(txn)
  Process.sleep(300)
end)
