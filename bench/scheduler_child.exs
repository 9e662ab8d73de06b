# What long work does to others: the delay of a process that only wants to run every millisecond, on a VM with one scheduler.
#
#     elixir --erl "+S 1:1" -pa _build/dev/lib/remnesia/ebin bench/scheduler_child.exs [records]
#
# Prints two lines per kind of work: `delay {name, p50, p99, max}` in microseconds, and `held {name, places}`, what the VM said of
# schedulers held for longer than 5 ms. scheduler.exs and test/concurrency/scheduler_test.exs read them.

defmodule Delay do
  alias Remnesia.{Engine, Native}

  @doc "The delays, in microseconds, of a process that sleeps a millisecond at a time while `work` runs."
  def delays(work) do
    me = self()
    ticker = spawn_link(fn -> tick(me, []) end)
    watcher = watch()

    # Quiet before and after: short work meets the ticker too.
    {pid, monitor} =
      spawn_monitor(fn ->
        Process.sleep(10)
        work.()
        Process.sleep(10)
      end)

    receive do
      {:DOWN, ^monitor, :process, ^pid, :normal} -> :ok
      {:DOWN, ^monitor, :process, ^pid, reason} -> exit(reason)
    end

    send(ticker, :stop)
    delays = receive(do: ({:delays, delays} -> delays))
    {delays, held(watcher)}
  end

  defp tick(to, delays) do
    begun = now()

    receive do
      :stop -> send(to, {:delays, delays})
    after
      1 -> tick(to, [now() - begun - 1000 | delays])
    end
  end

  defp now, do: System.monotonic_time(:microsecond)

  # Notes what the VM says of schedulers that were held: where, how often and at most how long.
  defp watch do
    spawn_link(fn ->
      :erlang.system_monitor(self(), [{:long_schedule, 5}])
      note(%{})
    end)
  end

  defp note(seen) do
    receive do
      {:monitor, _pid, :long_schedule, info} ->
        place = Enum.map_join([:in, :out], ">", &place(info[&1]))
        longest = fn {count, most} -> {count + 1, max(most, info[:timeout])} end
        note(Map.update(seen, place, {1, info[:timeout]}, longest))

      {:report, to} ->
        :erlang.system_monitor(:undefined)

        send(
          to,
          {:held, for({place, {count, most}} <- seen, do: "#{place} #{count}x <=#{most}ms")}
        )
    end
  end

  defp place({module, function, _arity}), do: "#{inspect(module)}.#{function}"
  defp place(_unknown), do: "?"

  defp held(watcher) do
    send(watcher, {:report, self()})
    receive(do: ({:held, seen} -> seen))
  end

  def line(name, {delays, held}) do
    sorted = delays |> Enum.sort() |> List.to_tuple()

    at = fn share ->
      elem(sorted, min(trunc(tuple_size(sorted) * share), tuple_size(sorted) - 1))
    end

    IO.puts("delay " <> inspect({name, at.(0.5), at.(0.99), at.(1.0)}))

    IO.puts(
      "held " <>
        inspect({name, held}, limit: :infinity, printable_limit: :infinity, width: 1_000_000)
    )
  end

  def table(name, count) do
    {:atomic, :ok} = Engine.create_table(name, attributes: [:id, :value, :group], index: [:group])

    for id <- 1..count//1,
        do: Native.write(nil, name, {name, id, {id, "value"}, rem(id, 1000)}, :write)

    name
  end

  def atomic(fun) do
    {:atomic, value} = Engine.transaction(fun)
    value
  end

  def repeat(milliseconds, fun), do: repeat_until(now() + milliseconds * 1000, fun)

  defp repeat_until(until, fun),
    do: if(now() < until, do: fun.() && repeat_until(until, fun), else: :ok)
end

alias Remnesia.{Engine, Native}

{:ok, _} = Application.ensure_all_started(:remnesia)
count = String.to_integer(List.first(System.argv()) || "1000000")
table = Delay.table(:bench_scheduler, count)
second = Delay.table(:bench_second, count)
none = [{{table, :_, :_, :"$1"}, [{:<, :"$1", 0}], [:"$_"]}]
{:atomic, :ok} = Engine.create_table(:bench_blob, attributes: [:id, :value])
blob = :crypto.strong_rand_bytes(1_000_000) |> List.duplicate(100) |> IO.iodata_to_binary()
terms = for n <- 1..div(count, 2), do: {n, :a, "text"}
measure = fn name, work -> Delay.line(name, Delay.delays(work)) end

measure.("idle", fn -> Process.sleep(1000) end)

measure.("a scan of #{count} records, over and over", fn ->
  Delay.repeat(2000, fn ->
    [] = Delay.atomic(fn -> Engine.select(table, none, :read) end)
  end)
end)

measure.("the same without transaction", fn ->
  Delay.repeat(1000, fn -> [] == Engine.dirty_select(table, none) end)
end)

measure.("all keys", fn -> ^count = length(Delay.atomic(fn -> Engine.all_keys(table) end)) end)

measure.("all keys without transaction", fn -> ^count = length(Engine.dirty_all_keys(table)) end)

measure.("10% of the records", fn ->
  spec = [{{table, :_, :_, :"$1"}, [{:<, :"$1", 100}], [:"$_"]}]
  Delay.atomic(fn -> Engine.select(table, spec, :read) end)
end)

measure.("an index value of #{div(count, 1000)} records, over and over", fn ->
  Delay.repeat(500, fn -> Delay.atomic(fn -> Engine.index_read(table, 7, 4) end) end)
end)

measure.("a transaction of 100,000 writes", fn ->
  Delay.atomic(fn ->
    for id <- 1..100_000, do: Engine.write(table, {table, id, id, rem(id, 999)}, :write)
  end)
end)

measure.("a transaction of 100,000 writes that aborts", fn ->
  Engine.transaction(fn ->
    for id <- 1..100_000, do: Engine.write(table, {table, id, id, rem(id, 999)}, :write)
    Engine.abort(:no)
  end)
end)

measure.("a scan over 100,000 own writes", fn ->
  Delay.atomic(fn ->
    for id <- 1..100_000, do: Engine.write(table, {table, id, id, rem(id, 998)}, :write)
    for _ <- 1..5, do: Engine.select(table, none, :read)
  end)
end)

measure.("killed with 100,000 writes", fn ->
  me = self()

  {pid, monitor} =
    spawn_monitor(fn ->
      Delay.atomic(fn ->
        for id <- 1..100_000, do: Engine.write(table, {table, id, id, 0}, :write)
        send(me, :written)
        Process.sleep(:infinity)
      end)
    end)

  receive(do: (:written -> :ok))
  Process.exit(pid, :kill)
  receive(do: ({:DOWN, ^monitor, :process, _, _} -> :ok))
  Delay.atomic(fn -> Engine.lock_table(table, :write) end)
end)

measure.("first to last by next", fn ->
  Delay.atomic(fn ->
    Enum.reduce(1..100_000, Engine.first(table), fn _, key -> Engine.next(table, key) end)
  end)
end)

measure.("an index added, and one on two attributes", fn ->
  {:atomic, :ok} = Engine.add_table_index(second, :value)
  {:atomic, :ok} = Engine.add_table_index(second, [:group, :value], unique: true)
end)

measure.("indexes dropped", fn ->
  {:atomic, :ok} = Engine.del_table_index(second, :value)
  {:atomic, :ok} = Engine.del_table_index(second, [:group, :value])
  Process.sleep(500)
end)

measure.("clear", fn ->
  {:atomic, :ok} = Engine.clear_table(table)
  Process.sleep(1000)
end)

measure.("delete", fn ->
  {:atomic, :ok} = Engine.delete_table(second)
  Process.sleep(1000)
end)

measure.("a binary of 100 MB written", fn ->
  :ok = Engine.dirty_write(:bench_blob, {:bench_blob, 1, blob})
end)

measure.("a binary of 100 MB read", fn ->
  Delay.atomic(fn ->
    [{_, _, read}] = Engine.read(:bench_blob, 1, :read)
    100_000_000 = byte_size(read)
  end)
end)

# The work process gets the terms by a copy, which is not ours: it is made before.
parent = self()

writer =
  spawn_link(fn ->
    receive(do: (:go -> :ok))
    :ok = Engine.dirty_write(:bench_blob, {:bench_blob, 2, terms})
    send(parent, :done)
  end)

measure.("a list of #{div(count, 2)} tuples written", fn ->
  Process.monitor(writer)
  send(writer, :go)
  receive(do: ({:DOWN, _, _, _, _} -> :ok))
end)

measure.("a list of #{div(count, 2)} tuples read", fn ->
  [_] = Engine.dirty_read(:bench_blob, 2)
end)

measure.("the same list deleted", fn ->
  :ok = Engine.dirty_delete(:bench_blob, 2)
  Process.sleep(50)
end)

# What a BEAM term of this size costs the VM itself, for comparison.
measure.("a list of #{div(count, 2)} tuples in ETS, written and read", fn ->
  ets = :ets.new(:ets, [])
  :ets.insert(ets, {1, Enum.to_list(1..div(count, 2))})
  :ets.lookup(ets, 1)
end)

# The same on disc alone.
dir = Path.join(System.tmp_dir!(), "remnesia-scheduler-#{System.pid()}")
Application.put_env(:remnesia, :dir, dir)
:ok = Remnesia.Schema.set_storage_type(node(), :disc_copies)
few = div(count, 5)

measure.("on disc: a table created, 100,000 writes, an index", fn ->
  options = [attributes: [:id, :value, :group], disc_only_copies: [node()], type: :ordered_set]
  {:atomic, :ok} = Engine.create_table(:bench_disc, options)

  for ids <- Enum.chunk_every(1..few, 1_000) do
    Delay.atomic(fn ->
      for id <- ids,
          do: Engine.write(:bench_disc, {:bench_disc, id, {id, "value"}, rem(id, 100)}, :write)
    end)
  end

  {:atomic, :ok} = Engine.add_table_index(:bench_disc, :group)
end)

:ok = Native.disc_flush()

measure.("on disc: a scan of #{few} records, over and over", fn ->
  none = [{{:bench_disc, :_, :_, :"$1"}, [{:<, :"$1", 0}], [:"$_"]}]
  Delay.repeat(1000, fn -> [] == Engine.dirty_select(:bench_disc, none) end)
end)

measure.("on disc: reads, first to last, an index value", fn ->
  for id <- 1..20_000, do: [_] = Engine.dirty_read(:bench_disc, id)

  Enum.reduce(1..10_000, Engine.dirty_first(:bench_disc), fn _, k ->
    Engine.dirty_next(:bench_disc, k)
  end)

  Delay.repeat(300, fn -> Engine.dirty_index_read(:bench_disc, 7, :group) != [] end)
end)

measure.("on disc: a transaction of #{div(few, 2)} writes, and deletes", fn ->
  Delay.atomic(fn ->
    for id <- 1..div(few, 2), do: Engine.write(:bench_disc, {:bench_disc, id, id, 1}, :write)
  end)

  gone = div(few, 2)
  for id <- 1..gone, do: :ok = Engine.dirty_delete(:bench_disc, id)
  ^few = Engine.dirty_last(:bench_disc)
  true = Engine.dirty_first(:bench_disc) == gone + 1
end)

measure.("on disc: to memory and back", fn ->
  for type <- [:ram_copies, :disc_only_copies],
      do: {:atomic, :ok} = Engine.change_table_copy_type(:bench_disc, node(), type)
end)

_ = Native.table_check(table)
Application.stop(:remnesia)
File.rm_rf!(dir)
