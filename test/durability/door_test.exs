defmodule Remnesia.Durability.DoorTest do
  use ExUnit.Case

  # A database on disc through the Mnesia door, stopped and killed as test suites do it. The expected answers are stock's.

  alias Remnesia.OnDisc

  @m :remnesia

  setup do
    OnDisc.start()

    for {table, options} <- [
          door_set: [disc_copies: [node()]],
          door_index: [disc_copies: [node()], type: :ordered_set, index: [:v]],
          door_bag: [disc_copies: [node()], type: :bag],
          door_only: [disc_only_copies: [node()]],
          door_local: [disc_copies: [node()], local_content: true],
          door_ram: [ram_copies: [node()]]
        ],
        do: {:atomic, :ok} = @m.create_table(table, [attributes: [:k, :v]] ++ options)

    :ok
  end

  @durable [:door_set, :door_index, :door_bag, :door_only, :door_local]

  test "what is committed survives a stop and a kill, and tables can be waited for by what system_info lists" do
    for stop <- [:stop, :lkill, :lkill] do
      for table <- [:door_ram | @durable] do
        {:atomic, :ok} = @m.clear_table(table)

        {:atomic, :ok} =
          @m.transaction(fn ->
            for k <- 1..200, do: :ok = @m.write({table, k, :a})
            :ok
          end)

        :ok = @m.dirty_write({table, 201, :b})
        :ok = @m.dirty_delete({table, 2})
      end

      {:atomic, :ok} = @m.dump_tables([:door_ram])
      :ok = @m.dirty_write({:door_ram, 2, :lost})
      tables = Enum.sort(@m.system_info(:tables))

      assert apply(@m, stop, []) == if(stop == :stop, do: :stopped, else: :ok)
      assert @m.system_info(:is_running) == :no
      assert @m.start() == :ok

      # At once, whatever of them is loaded.
      assert Enum.sort(@m.system_info(:tables)) == tables
      assert Enum.sort(@m.system_info(:local_tables)) == tables
      assert @m.wait_for_tables(@m.system_info(:local_tables), 10_000) == :ok

      for table <- [:door_ram | @durable] do
        assert @m.table_info(table, :size) == 200
        assert @m.dirty_read(table, 2) == []
        assert @m.dirty_read(table, 201) == [{table, 201, :b}]
        assert @m.table_info(table, :load_reason) == :local_only
      end

      assert length(@m.dirty_index_read(:door_index, :a, :v)) == 199
    end
  end

  test "the log" do
    assert @m.dump_log() == :dumped
    assert @m.sync_log() == :ok
    assert @m.transaction(fn -> @m.dump_log() end) == {:atomic, :dumped}
    :stopped = @m.stop()
    assert @m.dump_log() == {:error, {:node_not_running, node()}}
    assert @m.sync_log() == {:error, {:node_not_running, node()}}
    assert catch_exit(@m.system_info(:held_locks)) == {:aborted, :badarg}

    fold = fn -> @m.foldl(fn _, n -> n end, 0, :door_set) end
    assert catch_exit(@m.ets(fold)) == {:aborted, {:node_not_running, node()}}
    :ok = @m.start()
  end

  test "a transaction that is under way when the database is killed leaves nothing" do
    test = self()

    {pid, monitor} =
      spawn_monitor(fn ->
        @m.transaction(fn ->
          @m.write({:door_set, 1, 1})
          send(test, :written)
          receive(do: (:go -> :ok))
        end)
      end)

    assert_receive :written
    assert @m.lkill() == :ok
    send(pid, :go)
    assert_receive {:DOWN, ^monitor, :process, _pid, _reason}, 5_000
    assert @m.start() == :ok
    assert @m.wait_for_tables([:door_set], 10_000) == :ok
    assert @m.dirty_read(:door_set, 1) == []
  end
end
