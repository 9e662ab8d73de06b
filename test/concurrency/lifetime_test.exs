defmodule Remnesia.LifetimeTest do
  use ExUnit.Case, async: false

  import Stress

  alias Remnesia.{Engine, Native}

  # Tables, transactions and the database itself come and go: nothing of them stays, and the library may be loaded anew under them.

  test "tables made and dropped 5,000 times" do
    assert growth(5000, fn n ->
             table = :"stress_lifetime_#{rem(n, 7)}"

             {:atomic, :ok} =
               Engine.create_table(table, attributes: [:id, :value], index: [:value])

             atomic(fn ->
               for id <- 1..20, do: Engine.write(table, {table, id, {n, "some value"}}, :write)
             end)

             {:atomic, :ok} = Engine.delete_table(table)
           end) < 30
  end

  test "the application stopped and started 200 times" do
    assert growth(200, fn n ->
             :ok = Remnesia.stop()
             assert Engine.transaction(fn -> :ok end) == {:aborted, {:node_not_running, node()}}
             :ok = Remnesia.start()
             {:atomic, :ok} = Engine.create_table(:stress_restarted, attributes: [:id, :value])
             assert Engine.dirty_read(:stress_restarted, 1) == []

             atomic(fn ->
               for id <- 1..1000,
                   do: Engine.write(:stress_restarted, {:stress_restarted, id, n}, :write)
             end)
           end) < 30
  after
    Engine.delete_table(:stress_restarted)
  end

  # A process remembers the tables it used, for speed; a table that is gone must not live on in its memory.
  test "sleeping processes keep no table alive" do
    assert growth(20, fn n ->
             {:atomic, :ok} = Engine.create_table(:stress_kept, attributes: [:id, :value])

             for id <- 1..50_000,
                 do: Native.write(nil, :stress_kept, {:stress_kept, id, {id, id}}, :write)

             me = self()

             spawn_link(fn ->
               atomic(fn -> Engine.read(:stress_kept, 1, :read) end)
               send(me, :read)
               Process.sleep(:infinity)
             end)

             receive(do: (:read -> :ok))
             assert Native.table_memory(:stress_kept) * 8 > 2_000_000

             if rem(n, 2) == 0 do
               {:atomic, :ok} = Engine.delete_table(:stress_kept)
             else
               :ok = Remnesia.stop()
               :ok = Remnesia.start()
             end
           end) < 30
  end

  test "a transaction when the database is stopped under it" do
    {:atomic, :ok} = Engine.create_table(:stress_gone, attributes: [:id, :value])

    result =
      Engine.transaction(fn ->
        Engine.write(:stress_gone, {:stress_gone, 1, 1}, :write)
        :ok = Remnesia.stop()
        :ok = Remnesia.start()
        :went_on
      end)

    assert {:aborted, _reason} = result
    assert Native.lock_count() == 0
    assert Native.tables() == []
    table = table()
    assert atomic(fn -> write(table, {1, 1}) end) == :ok
  end

  test "processes come and go" do
    table = table()

    assert growth(20_000, fn n ->
             task = Task.async(fn -> atomic(fn -> write(table, {rem(n, 10), n}) end) end)
             Task.await(task)
           end) < 30
  end

  # Megabytes that the VM takes more after `count` rounds than after a tenth of them.
  defp growth(count, fun) do
    for n <- 1..div(count, 10), do: fun.(n)
    before = resident()
    for n <- 1..count, do: fun.(n)
    assert Native.lock_count() == 0
    grown = resident() - before

    IO.puts(
      "\n    #{count} rounds: #{Float.round(grown, 1)} MB more than after #{div(count, 10)}"
    )

    grown
  end

  defp resident do
    for pid <- Process.list(), do: :erlang.garbage_collect(pid)
    Process.sleep(50)

    case File.read("/proc/self/statm") do
      {:ok, text} ->
        (text |> String.split() |> Enum.at(1) |> String.to_integer()) * 4096 / 1_048_576

      {:error, _no_proc} ->
        0.0
    end
  end

  test "the module loaded anew keeps tables, transactions and waiting processes" do
    table = table()
    fill(table, [{1, 0}])
    me = self()

    waiter =
      atomic(fn ->
        write(table, {1, 1})

        waiter =
          spawn_link(fn -> send(me, {:seen, atomic(fn -> value(table, 1, :write) end)}) end)

        Process.sleep(5)

        for _ <- 1..3 do
          :code.purge(Native)
          assert {:module, Native} = :code.load_file(Native)
        end

        assert value(table, 1) == 1
        write(table, {2, 2})
        waiter
      end)

    assert_receive {:seen, 1}
    assert is_pid(waiter)
    assert atomic(fn -> {value(table, 1), value(table, 2)} end) == {1, 2}

    # Under load, and with processes that die.
    workers =
      for n <- 1..8, do: fn -> atomic(fn -> write(table, {n, value(table, n, :write)}) end) end

    reload = fn ->
      :code.purge(Native)
      {:module, Native} = :code.load_file(Native)

      {pid, monitor} =
        spawn_monitor(fn ->
          atomic(fn -> write(table, {1, 1}) && Process.exit(self(), :kill) end)
        end)

      receive(do: ({:DOWN, ^monitor, _, ^pid, _} -> :ok))
      Process.sleep(1)
    end

    assert Enum.all?(hammer(500, [reload | workers]), &(&1 > 0))
    assert_clean(table)
  end
end
