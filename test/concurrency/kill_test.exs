defmodule Remnesia.KillTest do
  use ExUnit.Case, async: false

  import Stress

  alias Remnesia.{Engine, Native}

  # A process may be killed at any point of a transaction: its locks go, its writes are there as a whole or not at all.

  @groups 12
  @killed 1000

  for options <- [[type: :set], [type: :ordered_set, index: [:value]]] do
    @tag options: options
    test "#{@killed} processes killed in the middle of transactions: #{inspect(options)}", %{
      options: options
    } do
      table = table(options)
      fill(table, for(group <- 1..@groups, n <- 1..5, do: {{group, n}, 0, group}))
      stop = :counters.new(1, [])

      survivors =
        for n <- 1..4 do
          Task.async(fn -> survive(table, n, stop, 0) end)
        end

      # Twenty at a time, each killed after up to a millisecond of life or while it waits.
      1..@killed
      |> Task.async_stream(fn n -> victim(table, n) end, max_concurrency: 20, timeout: 60_000)
      |> Stream.run()

      :counters.add(stop, 1, 1)
      assert Enum.all?(Task.await_many(survivors, 60_000), &(&1 > 10))
      assert_clean(table)
      for group <- 1..@groups, do: assert_whole(table, group)
    end
  end

  defp victim(table, n) do
    {pid, monitor} = spawn_monitor(fn -> forever(table, n) end)

    case rem(n, 3) do
      0 -> Process.sleep(:rand.uniform(4))
      1 -> spin(:rand.uniform(300))
      2 -> when_waiting(pid, 200)
    end

    Process.exit(pid, :kill)
    assert_receive {:DOWN, ^monitor, :process, ^pid, :killed}, 5000
  end

  defp spin(0), do: :ok
  defp spin(n), do: :erlang.phash2(n) && spin(n - 1)

  # Kills it while it waits for a lock, if it comes to that.
  defp when_waiting(_pid, 0), do: :ok

  defp when_waiting(pid, patience) do
    case Process.info(pid, :current_function) do
      {:current_function, {Remnesia.Engine.Local.Wait, :lock, 1}} -> :ok
      _other -> :erlang.yield() && when_waiting(pid, patience - 1)
    end
  end

  defp forever(table, n) do
    work(table, n)
    forever(table, n)
  end

  defp work(table, n) do
    group = :rand.uniform(@groups)

    atomic(fn ->
      if :rand.uniform(2) == 1, do: value(table, {group, 3})

      for i <- Enum.shuffle(1..5) do
        write(table, {{group, i}, n, group})
        if :rand.uniform(10) == 1, do: Process.sleep(0)
      end

      if :rand.uniform(3) == 1,
        do: {:aborted, :x} = Engine.transaction(fn -> partial(table, group) end)
    end)
  end

  defp partial(table, group) do
    write(table, {{group, 1}, :partial, group})
    Engine.abort(:x)
  end

  defp survive(table, n, stop, count) do
    if :counters.get(stop, 1) > 0 do
      count
    else
      work(table, -n)
      assert_whole(table, :rand.uniform(@groups))
      survive(table, n, stop, count + 1)
    end
  end

  defp assert_whole(table, group) do
    values = atomic(fn -> for i <- 1..5, do: value(table, {group, i}) end)
    assert [_one] = Enum.uniq(values)
  end

  test "a lock is free soon after its holder is killed" do
    table = table()
    fill(table, [{1, 0}])
    me = self()

    delays =
      for _ <- 1..300 do
        holder =
          spawn(fn ->
            atomic(fn ->
              write(table, {1, :never})
              send(me, :held)
              Process.sleep(:infinity)
            end)
          end)

        receive(do: (:held -> :ok))

        waiter =
          Task.async(fn ->
            atomic(fn ->
              assert value(table, 1, :write) == 0
              System.monotonic_time()
            end)
          end)

        wait_until_waiting(waiter.pid)
        killed = System.monotonic_time()
        Process.exit(holder, :kill)
        System.convert_time_unit(Task.await(waiter) - killed, :native, :microsecond)
      end

    [p50, p99, max] = percentiles(delays, [0.5, 0.99, 1.0])

    IO.puts(
      "\n    lock of a killed holder free after p50 #{p50} us, p99 #{p99} us, max #{max} us"
    )

    assert p50 < 5000
    assert_clean(table)
  end

  test "also while much memory is being freed" do
    [table, large] = [table(), table()]

    # The best of three: a busy machine may take the core away in one of them.
    taken = for _ <- 1..3, do: freed_beside(table, large)

    IO.puts(
      "\n    1,000 locks of a killed holder free after #{inspect(taken)} us, beside the freeing of 300,000 records"
    )

    assert Enum.min(taken) < 20_000
    assert_clean([table, large])
  end

  # The microseconds until a waiter has one of the locks of a holder that is killed while a large table is emptied.
  defp freed_beside(table, large) do
    fill(large, for(id <- 1..300_000, do: {id, {id, id}}))
    me = self()

    # More locks than are freed inside the monitor callback.
    holder =
      spawn(fn ->
        atomic(fn ->
          for id <- 1..1000, do: write(table, {id, :never})
          send(me, :held)
          Process.sleep(:infinity)
        end)
      end)

    receive(do: (:held -> :ok))

    waiter =
      Task.async(fn -> atomic(fn -> value(table, 1, :write) && System.monotonic_time() end) end)

    wait_until_waiting(waiter.pid)
    {:atomic, :ok} = Engine.clear_table(large)
    killed = System.monotonic_time()
    Process.exit(holder, :kill)
    _ = Task.await(waiter)
    System.convert_time_unit(System.monotonic_time() - killed, :native, :microsecond)
  end

  defp wait_until_waiting(pid) do
    case Process.info(pid, [:status, :current_function]) do
      [status: :waiting, current_function: {Remnesia.Engine.Local.Wait, :lock, 1}] -> :ok
      _other -> :erlang.yield() && wait_until_waiting(pid)
    end
  end

  @large 100_000

  for locked <- [:records, :table], type <- [:set, :ordered_set] do
    @tag locked: locked, type: type
    test "killed while a commit of #{@large} records is applied: #{type}, #{locked} locked",
         context do
      table = table(type: context.type)

      for part <- Enum.chunk_every(1..@large, 10_000),
          do: fill(table, for(id <- part, do: {id, 0}))

      outcomes =
        for round <- 1..6 do
          me = self()

          {pid, monitor} =
            spawn_monitor(fn ->
              atomic(fn ->
                if context.locked == :table, do: Engine.lock_table(table, :write)
                # A round is killed shortly before its commit, or in it.
                ready = if round > 4, do: @large - 2000, else: @large

                for id <- 1..@large do
                  write(table, {id, round})
                  if id == ready, do: send(me, :ready)
                end
              end)
            end)

          receive(do: (:ready -> :ok))
          # Writers without transaction, at the same time: two keys, one after the other.
          writers = for n <- 1..4, do: Task.async(fn -> dirty(table, n, round) end)
          if round < 5, do: Process.sleep(:rand.uniform(25))
          Process.exit(pid, :kill)
          assert_receive {:DOWN, ^monitor, :process, ^pid, _reason}, 5000
          pairs = writers |> Task.await_many() |> List.flatten()
          assert_clean(table)
          assert_outcome(table, round, pairs)
        end

      IO.puts(
        "\n    large commits killed, #{context.type}, #{context.locked} locked: #{inspect(outcomes)}"
      )
    end
  end

  # Pairs of keys, the first written before the second.
  defp dirty(table, n, round) do
    for i <- 1..6000 do
      spin(40)
      [a, b] = Enum.shuffle([n * 20_000 - i, n * 20_000 - 10_000 - i])
      :ok = Engine.dirty_write(table, {table, a, {:dirty, round}, nil})
      :ok = Engine.dirty_write(table, {table, b, {:dirty, round}, nil})
      {a, b}
    end
  end

  # The commit is one step: what a pair says of it must fit one moment at which it happened.
  defp assert_outcome(table, round, pairs) do
    dirty = pairs |> Enum.flat_map(&Tuple.to_list/1) |> MapSet.new()

    all =
      Map.new(Engine.dirty_select(table, [{{table, :"$1", :"$2", :_}, [], [{{:"$1", :"$2"}}]}]))

    assert map_size(all) == @large

    untouched = for {id, value} <- all, id not in dirty, uniq: true, do: value

    assert length(Enum.reject(untouched, &match?({:dirty, _}, &1))) == 1,
           "a commit was half applied"

    committed? = round in untouched

    for {a, b} <- pairs do
      seen = {all[a], all[b]}
      both = {{:dirty, round}, {:dirty, round}}

      if committed?,
        do: assert(seen in [both, {round, {:dirty, round}}, {round, round}]),
        else: assert(seen == both)
    end

    # As it was: no pair is left for the next round.
    for id <- dirty, do: Engine.dirty_write(table, {table, id, Enum.at(untouched, 0), nil})
    if committed?, do: :committed, else: :nothing
  end

  test "counters and deletes without transaction wait for a large commit" do
    counter = :"stress_counter_#{System.unique_integer([:positive])}"
    {:atomic, :ok} = Engine.create_table(counter, attributes: [:id, :n])
    on_exit(fn -> Engine.delete_table(counter) end)
    me = self()

    for round <- 1..3 do
      committer =
        Task.async(fn ->
          {:atomic, _} =
            Engine.transaction(fn ->
              for id <- 1..50_000,
                  do: Engine.write(counter, {counter, id, 1_000_000 * round}, :write)

              send(me, :ready)
            end)
        end)

      receive(do: (:ready -> :ok))

      seen =
        for id <- Enum.take_random(1..50_000, 2000) do
          n = Engine.dirty_update_counter(counter, id, 1)
          # Once the commit is seen it is seen.
          {id, n >= 1_000_000 * round}
        end

      Task.await(committer, 30_000)
      after_it = seen |> Enum.map(&elem(&1, 1)) |> Enum.dedup()
      assert after_it in [[false], [true], [false, true]]

      for {id, after?} <- seen do
        [{_, _, n}] = Engine.dirty_read(counter, id)
        assert n == 1_000_000 * round + if(after?, do: 1, else: 0)
      end
    end

    assert Native.table_check(counter) == :ok
    assert Native.lock_count() == 0
  end
end
