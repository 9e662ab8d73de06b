defmodule Remnesia.LifetimeTest do
  use ExUnit.Case, async: false

  import Stress

  alias Remnesia.{Engine, Native}

  # Tables, transactions and the database itself come and go: nothing of them stays, and the library may be loaded anew under them.

  # What may be more: buffers that are kept for later, parts of pages. A leak of 300 bytes in each of 100,000 rounds would be more than that.
  @bound 30

  for {count, tag} <- [{2_000, :short}, {100_000, :long}] do
    @tag tag
    @tag timeout: 3_600_000
    test "tables made and dropped #{count} times" do
      assert growth(unquote(count), fn n ->
               table = :"stress_lifetime_#{rem(n, 7)}"

               {:atomic, :ok} =
                 Engine.create_table(table, attributes: [:id, :value], index: [:value])

               atomic(fn ->
                 for id <- 1..20, do: Engine.write(table, {table, id, {n, "some value"}}, :write)
               end)

               {:atomic, :ok} = Engine.delete_table(table)
             end) < @bound
    end
  end

  for {count, tag} <- [{30, :short}, {1_000, :long}] do
    @tag tag
    @tag timeout: 3_600_000
    test "the application stopped and started #{count} times" do
      assert growth(unquote(count), fn n ->
               :ok = Remnesia.stop()
               assert Engine.transaction(fn -> :ok end) == {:aborted, {:node_not_running, node()}}
               :ok = Remnesia.start()
               {:atomic, :ok} = Engine.create_table(:stress_restarted, attributes: [:id, :value])
               assert Engine.dirty_read(:stress_restarted, 1) == []

               atomic(fn ->
                 for id <- 1..1000,
                     do: Engine.write(:stress_restarted, {:stress_restarted, id, n}, :write)
               end)
             end) < @bound
    after
      Engine.delete_table(:stress_restarted)
    end
  end

  for {count, tag} <- [{20, :short}, {1_000, :long}] do
    @tag tag
    @tag timeout: 3_600_000
    test "on disc: #{count} starts, each with tables made, changed and dropped" do
      Remnesia.OnDisc.start()
      {:atomic, :ok} = Engine.create_table(:stress_stays, disc_copies: [node()])

      assert growth(unquote(count), fn n ->
               for storage <- [:ram_copies, :disc_copies, :disc_only_copies], _ <- 1..3 do
                 options = [{storage, [node()]}, attributes: [:id, :value], index: [:value]]
                 {:atomic, :ok} = Engine.create_table(:stress_on_disc, options)

                 atomic(fn ->
                   for id <- 1..50,
                       do: Engine.write(:stress_on_disc, {:stress_on_disc, id, n}, :write)
                 end)

                 other = Enum.random([:ram_copies, :disc_copies, :disc_only_copies] -- [storage])
                 {:atomic, :ok} = Engine.change_table_copy_type(:stress_on_disc, node(), other)
                 assert length(Engine.dirty_index_read(:stress_on_disc, n, 3)) == 50
                 {:atomic, :ok} = Engine.delete_table(:stress_on_disc)
               end

               :ok = Engine.dirty_write(:stress_stays, {:stress_stays, :n, n})
               Remnesia.OnDisc.restart()
               assert Engine.dirty_read(:stress_stays, :n) == [{:stress_stays, :n, n}]
             end) < @bound
    end
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
