defmodule Remnesia.Concurrency.SnapshotTest do
  use ExUnit.Case

  # A snapshot is of one moment, over several tables, while everybody goes on writing; and it keeps nobody waiting.

  alias Remnesia.Engine
  alias Remnesia.Engine.Local.Checkpoints
  alias Remnesia.Native

  @accounts [:snap_a, :snap_b, :snap_c]
  @number 200
  @sum 3 * @number * 100

  setup do
    {:atomic, :ok} = Engine.create_table(:snap_a, [])
    {:atomic, :ok} = Engine.create_table(:snap_b, type: :ordered_set)
    {:atomic, :ok} = Engine.create_table(:snap_c, type: :bag)
    for table <- @accounts, n <- 1..@number, do: Engine.dirty_write(table, {table, n, 100})
    on_exit(fn -> Enum.each([:snap_dirty | @accounts], &Engine.delete_table/1) end)
  end

  defp writers(number, work) do
    for n <- 1..number, do: spawn_link(fn -> :rand.seed(:exsss, n) && forever(work) end)
  end

  defp forever(work) do
    work.()

    receive do
      {:stop, from} -> send(from, {:stopped, self()})
    after
      0 -> forever(work)
    end
  end

  defp stop(writers) do
    for pid <- writers, do: send(pid, {:stop, self()})

    for pid <- writers do
      receive do
        {:stopped, ^pid} -> :ok
      end
    end
  end

  # Moves amounts between accounts of any tables; some move many at once, in a commit that is applied in steps.
  defp move do
    times = if :rand.uniform(20) == 1, do: 300, else: :rand.uniform(3)

    Engine.transaction(fn ->
      for _ <- 1..times do
        {from, to} = {account(), account()}
        amount = :rand.uniform(10)
        change(from, -amount)
        change(to, amount)
      end
    end)
  end

  defp account, do: {Enum.random(@accounts), :rand.uniform(@number)}

  defp change({table, key}, by) do
    [{_, _, value}] = Engine.read(table, key, :write)
    if table == :snap_c, do: Engine.delete(table, key, :write)
    Engine.write(table, {table, key, value + by}, :write)
  end

  defp rows(snapshot, table) do
    {:ok, rows} = Checkpoints.fold(snapshot, table, [], fn rows, acc -> rows ++ acc end)
    rows
  end

  test "transactions are there as a whole or not at all" do
    writers = writers(4, &move/0)

    pauses =
      for _ <- 1..60 do
        {:ok, snapshot} = Checkpoints.take(nil, @accounts)
        rows = Enum.flat_map(@accounts, &rows(snapshot, &1))
        assert length(rows) == 3 * @number
        assert rows |> Enum.map(&elem(&1, 2)) |> Enum.sum() == @sum

        # By key it says the same, also when more was written.
        for {table, key, _} = row <- Enum.take_random(rows, 20),
            do: assert(Checkpoints.read(snapshot, table, key) == [row])

        Checkpoints.release(snapshot)
        snapshot.pause
      end

    stop(writers)
    # Writers wait for some latches, never for a reader: generous, as the machine may be busy.
    assert Enum.at(Enum.sort(pauses), 30) < 1_000_000
    for table <- @accounts, do: assert(Native.table_check(table) == :ok)
  end

  test "what was written outside of transactions is cut at one moment, over all tables" do
    {:atomic, :ok} = Engine.create_table(:snap_dirty, type: :ordered_set)

    # Each number is in the first table before it is in the second.
    [writer] =
      writers(1, fn ->
        n = Process.get(:n, 0) + 1
        Process.put(:n, n)
        Engine.dirty_write(:snap_a, {:snap_a, {:n, n}, n})
        Engine.dirty_write(:snap_dirty, {:snap_dirty, n, n})
        if rem(n, 20) == 0, do: Process.sleep(1)
      end)

    for _ <- 1..100 do
      {:ok, snapshot} = Checkpoints.take(nil, [:snap_dirty, :snap_a])
      first = for {_, {:n, n}, n} <- rows(snapshot, :snap_a), do: n
      second = for {_, n, n} <- rows(snapshot, :snap_dirty), do: n
      assert (length(first) - length(second)) in [0, 1]
      assert Enum.sort(first) == Enum.to_list(1..length(first)//1)
      Checkpoints.release(snapshot)
    end

    stop([writer])
  end

  test "clear, delete, a new index, a transformed table" do
    then =
      for table <- @accounts,
          do: {table, Enum.sort(Engine.dirty_match_object(table, {table, :_, :_}))}

    {:ok, snapshot} = Checkpoints.take(nil, @accounts)
    {:ok, second} = Checkpoints.take(nil, [:snap_a])
    Engine.dirty_write(:snap_a, {:snap_a, 1, :changed})
    {:atomic, :ok} = Engine.clear_table(:snap_a)
    Engine.dirty_write(:snap_a, {:snap_a, 2, :new})

    {:atomic, :ok} =
      Engine.transform_table(:snap_b, fn {t, k, v} -> {t, k, v, 1} end, [:k, :v, :w])

    Engine.dirty_write(:snap_b, {:snap_b, 3, 3, 3})
    {:atomic, :ok} = Engine.delete_table(:snap_c)
    # A replaced table is emptied a moment later.
    Process.sleep(100)
    for {table, rows} <- then, do: assert(Enum.sort(rows(snapshot, table)) == rows)
    assert Enum.sort(rows(second, :snap_a)) == then[:snap_a]
    assert Checkpoints.read(second, :snap_a, 1) == [{:snap_a, 1, 100}]
    assert Checkpoints.read(second, :snap_a, :none) == []
    assert Checkpoints.read(second, :snap_b, 1) == {:error, {:no_exists, :snap_b}}

    # A later one has what is there then.
    {:ok, third} = Checkpoints.take(nil, [:snap_a])
    assert rows(third, :snap_a) == [{:snap_a, 2, :new}]
    for snapshot <- [snapshot, second, third], do: Checkpoints.release(snapshot)
    assert Checkpoints.read(third, :snap_a, 1) == {:error, :no_snapshot}
  end

  test "a snapshot ends with its process" do
    {:ok, pid} = Task.start(fn -> Process.sleep(:infinity) end)
    parent = self()

    owner =
      spawn(fn ->
        send(parent, Checkpoints.take(nil, [:snap_a]))
        Process.sleep(:infinity)
      end)

    assert_receive {:ok, snapshot}
    Engine.dirty_write(:snap_a, {:snap_a, 1, 2})
    assert Native.snapshot_kept(snapshot.id) == 1
    Process.exit(owner, :kill)
    Process.exit(pid, :kill)

    Enum.any?(1..100, fn _ ->
      Process.sleep(10)
      Native.snapshot_kept(snapshot.id) != 1
    end)

    assert Native.snapshot_kept(snapshot.id) == {:"$error", :no_snapshot}
  end

  test "arguments" do
    {:ok, snapshot} = Checkpoints.take(nil, [:snap_a])
    assert Checkpoints.take(nil, [:nowhere]) == {:error, {:no_exists, :nowhere}}

    for place <- [:what, {1}, {1, 2, 3}, {-1, 0}, {1, 4_294_967_296}, 1],
        do:
          assert_raise(ArgumentError, fn -> Native.snapshot_scan(snapshot.id, :snap_a, place) end)

    # Places that no scan has told lead nowhere, or on.
    assert {[], :done} = Native.snapshot_scan(snapshot.id, :snap_a, {64, 0})
    assert {[], :done} = Native.snapshot_scan(snapshot.id, :snap_a, "key")
    assert {rows, :done} = Native.snapshot_scan(snapshot.id, :snap_a, {5, 77})
    assert length(rows) < @number
    assert_raise ArgumentError, fn -> Native.snapshot_scan(:x, :snap_a, nil) end
    Checkpoints.release(snapshot)
  end
end
