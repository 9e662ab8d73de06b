defmodule Bench.Rows do
  # The workload, written once. A row: its name, the contenders, what is wanted of Remnesia against them, and how to measure one.

  alias Bench.Contender.{Ets, Mnesia, Remnesia}
  alias Bench.Measure

  @transactional [Remnesia, Mnesia]
  @all [Remnesia, Mnesia, Ets]
  @doors [Bench.Door.Remnesia, Bench.Door.Mnesia]

  defp rows(n) do
    # Keys all over the table, cheaply.
    key = fn i -> rem(i * 7919, n) + 1 end

    [
      row("transaction with one read", @transactional, [mnesia: 20], fn c ->
        fn i -> c.transaction(fn -> c.read(key.(i)) end) end
      end),
      row("transaction with one write", @transactional, [mnesia: 18], fn c ->
        fn i -> c.transaction(fn -> c.write(key.(i), div(key.(i), 10)) end) end
      end),
      row("transaction with read and write", @transactional, [mnesia: 18], fn c ->
        fn i -> c.transaction(fn -> c.update(key.(i)) end) end
      end),
      row("write that moves an index entry", @transactional, [mnesia: 10], fn c ->
        fn i -> c.transaction(fn -> c.write(key.(i), rem(i, div(n, 10))) end) end
      end),
      per(
        row("each write of 100 in a transaction", @transactional, [mnesia: 12], fn c ->
          fn i ->
            c.transaction(fn ->
              for j <- 1..100, do: c.write(key.(i * 100 + j), div(key.(i * 100 + j), 10))
            end)
          end
        end),
        100
      ),
      row("nested empty transaction", @transactional, [mnesia: 40], fn c ->
        fn _ -> c.transaction(fn -> c.transaction(fn -> :ok end) end) end
      end),
      special("read with 100,000 messages, by empty", @transactional, [self: 1.5], fn c, _quick ->
        mailbox(c, key)
      end),
      special("2 processes, distinct keys", @transactional, [mnesia: 25], fn c, quick ->
        counting(c, 2, rounds(c, quick), fn p, i ->
          c.transaction(fn -> c.count(p * 8 - rem(i, 8)) end)
        end)
      end),
      special("8 processes, 10 hot keys", @transactional, [mnesia: 20], fn c, quick ->
        counting(c, 8, rounds(c, quick), fn p, i ->
          c.transaction(fn -> c.count(rem(p + i, 10) + 1) end)
        end)
      end),
      special("8 processes, 10 hot keys, yielding", @transactional, [mnesia: 8], fn c, quick ->
        counting(c, 8, rounds(c, quick), fn p, i ->
          c.transaction(fn -> c.count_yielding(rem(p + i, 10) + 1) end)
        end)
      end),
      special("lock freed after a kill, p50", @transactional, [ns: 100_000], &killed/2),
      row("read by key, no transaction", @all, [mnesia: 2.5, ets: 1.0], fn c ->
        fn i -> c.dirty_read(key.(i)) end
      end),
      row("overwrite, no transaction, no index", @all, [mnesia: 5], fn c ->
        fn i -> c.dirty_overwrite(key.(i)) end
      end),
      special("insert, no transaction, no index", @all, [mnesia: 5], &insert/2),
      row("guard scan, 1% hits", @all, [mnesia: 5, ets: 5], fn c ->
        scan = fn -> c.guard_scan(div(n, 1000)) end
        if c == Ets, do: fn _ -> scan.() end, else: fn _ -> c.transaction(scan) end
      end),
      row("10 hits by index", @transactional, [mnesia: 4], fn c ->
        fn i -> c.transaction(fn -> c.by_group(rem(i * 31, div(n, 10))) end) end
      end),
      # Stock scans for these, so what is wanted grows with the table: at 1,000,000 records 10,000, 3,000 and 500 times.
      row("guard on the key", @transactional, [mnesia: n / 100], fn c ->
        fn i -> c.transaction(fn -> c.guard_key(key.(i)) end) end
      end),
      row("guard on an indexed value, 10 hits", @transactional, [mnesia: n / 334], fn c ->
        fn i -> c.transaction(fn -> c.guard_group(rem(i * 31, div(n, 10) - 1) + 1) end) end
      end),
      row("100 records of a key range", @transactional, [mnesia: n / 2_000], fn c ->
        fn i -> c.transaction(fn -> c.guard_range(key.(i), key.(i) + 100) end) end
      end),
      row("count of 10% by guard", @all, [mnesia: 8], fn c ->
        count = fn -> c.guard_count(div(n, 100)) end
        if c == Ets, do: fn _ -> count.() end, else: fn _ -> c.transaction(count) end
      end),
      row("last 10 by key", @transactional, [mnesia: n / 100], fn c ->
        fn _ -> c.transaction(fn -> c.first_by_key(10) end) end
      end),
      row("greatest 10 of another attribute", @transactional, [mnesia: 8], fn c ->
        fn _ -> c.transaction(fn -> c.first_by_scan(10) end) end
      end),
      row("small spec compiled and planned", [Remnesia], [ns: 5_000], fn c ->
        fn i -> c.plan_small(key.(i)) end
      end),
      row("the same small spec again", [Remnesia], [ns: 300], fn c ->
        fn _ -> c.plan_small(1) end
      end)
    ] ++
      for(
        {name, contenders, targets, measure} <- Bench.Indexes.rows(n),
        do: special(name, contenders, targets, measure)
      )
  end

  # The Mnesia door, call for call. `engine` is the same without the door.
  defp door_rows(n) do
    key = fn i -> rem(i * 7919, n) + 1 end
    group = fn i -> rem(i * 31, div(n, 10) - 1) + 1 end
    with_engine = @doors ++ [Bench.Door.Engine]

    [
      row("door: transaction with one read", with_engine, [mnesia: 18, engine: 1 / 1.1], fn c ->
        fn i -> c.transaction(fn -> c.read(key.(i)) end) end
      end),
      row("door: transaction with one write", with_engine, [mnesia: 18, engine: 1 / 1.1], fn c ->
        fn i -> c.transaction(fn -> c.write(key.(i), div(key.(i), 10)) end) end
      end),
      row("door: transaction with read and write", @doors, [mnesia: 18], fn c ->
        fn i -> c.transaction(fn -> c.update(key.(i)) end) end
      end),
      row("door: dirty_read", @doors, [mnesia: 2.5], fn c -> fn i -> c.dirty_read(key.(i)) end end),
      row("door: dirty_write", @doors, [mnesia: 5], fn c -> fn i -> c.dirty_write(key.(i)) end end),
      row("door: dirty_update_counter", @doors, [mnesia: 2.5], fn c -> &c.dirty_counter/1 end),
      row("door: dirty_index_read of 10", @doors, [mnesia: 3], fn c ->
        fn i -> c.dirty_index(group.(i)) end
      end),
      row("door: index_read of 10 in a transaction", @doors, [mnesia: 10], fn c ->
        fn i -> c.transaction(fn -> c.index(group.(i)) end) end
      end),
      per(
        row("door: fold in a transaction, per record", @doors, [mnesia: 3], fn c ->
          fn _ -> c.transaction(&c.fold/0) end
        end),
        n
      ),
      row("door: dirty_next, ordered_set", @doors, [mnesia: 2], fn c ->
        fn i -> c.dirty_next(key.(i)) end
      end),
      special("door: 8 processes, 10 hot keys", @doors, [mnesia: 15], fn c, quick ->
        counting(c, 8, rounds(c, quick), fn p, i ->
          c.transaction(fn -> c.count(rem(p + i, 10) + 1) end)
        end)
      end),
      row("door: dirty_write, a detailed subscriber", @doors, [mnesia: 2], fn c ->
        fn i -> c.dirty_watched(key.(i)) end
      end),
      row("door: transaction with one write, the same", @doors, [mnesia: 2], fn c ->
        fn i -> c.transaction(fn -> c.watched(key.(i)) end) end
      end)
    ]
  end

  defp row(name, contenders, targets, operation),
    do: %{
      name: name,
      contenders: contenders,
      targets: targets,
      operation: operation,
      per: 1,
      unit: :ns
    }

  defp per(row, count), do: %{row | per: count}

  # Measured in a way of its own: fun.(contender, quick) answers a figure.
  defp special(name, contenders, targets, measure),
    do: %{
      name: name,
      contenders: contenders,
      targets: targets,
      special: measure,
      unit: if(targets[:self], do: :ratio, else: :ns)
    }

  @doc "Measures every row on tables of that size."
  def run(records, only, quick) do
    for c <- @all ++ @doors, do: c.setup(records)

    memory = %{
      name: "words of a record, no index",
      unit: :words,
      targets: [ets: if(records > 500_000, do: 1 / 0.75, else: 1 / 0.65)]
    }

    figures = Map.new(@all, fn c -> {c.name(), c.memory() / records} end)

    measured =
      for row <- rows(records) ++ door_rows(records), row.name =~ only do
        figures = figures(row, quick)
        IO.puts("  " <> Bench.Report.line(row, figures))
        {row, figures}
      end

    if memory.name =~ only, do: IO.puts("  " <> Bench.Report.line(memory, figures))
    for c <- @all ++ @doors, do: c.teardown()
    Bench.Indexes.teardown()
    measured ++ [{memory, figures}]
  end

  defp figures(%{special: measure} = row, quick) do
    samples =
      for _ <- 1..if(quick, do: 1, else: 5),
          c <- row.contenders,
          do: {c.name(), measure.(c, quick)}

    Map.new(row.contenders, fn c ->
      {c.name(), Measure.median(for {n, s} <- samples, n == c.name(), do: s)}
    end)
  end

  defp figures(row, quick) do
    operations = for c <- row.contenders, do: {c.name(), row.operation.(c)}
    {rounds, budget} = if quick, do: {3, 20}, else: {7, 150}
    Map.new(Measure.each(operations, rounds, budget), fn {name, ns} -> {name, ns / row.per} end)
  end

  defp rounds(c, quick) when c in [Remnesia, Bench.Door.Remnesia],
    do: if(quick, do: 5_000, else: 40_000)

  defp rounds(c, quick) when c in [Mnesia, Bench.Door.Mnesia], do: if(quick, do: 500, else: 2_000)

  # Every increment must be there afterwards.
  defp counting(c, processes, count, fun) do
    c.reset_counters()
    ns = Measure.parallel(processes, count, fun)
    counted = c.counted()

    if counted != processes * count,
      do: raise("#{c.name()} counted #{counted}, expected #{processes * count}")

    ns
  end

  defp mailbox(c, key) do
    count = if c == Mnesia, do: 200, else: 20_000
    run = fn -> Measure.time(fn i -> c.transaction(fn -> c.read(key.(i)) end) end, count) end
    Measure.with_mailbox(100_000, run) / Measure.with_mailbox(0, run)
  end

  # From the kill of a lock's holder to the moment a waiter has the lock.
  defp killed(c, quick) do
    parent = self()

    samples =
      for _ <- 1..if(quick, do: 20, else: 100) do
        {holder, monitor} =
          spawn_monitor(fn ->
            c.transaction(fn ->
              c.count(16)
              send(parent, :held)
              receive do: (:never -> :ok)
            end)
          end)

        receive do: (:held -> :ok)

        waiter =
          spawn_link(fn ->
            c.transaction(fn -> c.count(16) end)
            send(parent, {:had, System.monotonic_time(:nanosecond)})
          end)

        wait_until_waiting(waiter)
        begun = System.monotonic_time(:nanosecond)
        Process.exit(holder, :kill)
        had = receive do: ({:had, at} -> at)
        receive do: ({:DOWN, ^monitor, :process, ^holder, :killed} -> :ok)
        had - begun
      end

    Process.sleep(20)
    if c.locks() != 0, do: raise("#{c.name()} leaked #{c.locks()} locks")
    Measure.median(samples)
  end

  defp wait_until_waiting(pid) do
    case Process.info(pid, :status) do
      {:status, :waiting} -> :ok
      _ -> wait_until_waiting(pid)
    end
  end

  defp insert(c, quick) do
    count = if quick, do: 5_000, else: 50_000
    ns = Measure.time(&c.dirty_insert/1, count) / count
    c.drop_inserted(count)
    ns
  end
end
