defmodule Remnesia.Mnesia.SystemTest do
  use ExUnit.Case

  # system_info, what is printed, and start and stop with the door.

  import ExUnit.CaptureIO

  alias Remnesia.Door

  setup do
    Door.delete([:door_sys])
    Door.create(:door_sys, [])
    for m <- [:mnesia, :remnesia], do: m.dirty_write({:door_sys, 1, 1})
    on_exit(fn -> Door.delete([:door_sys]) end)
  end

  test "every item of Mnesia is there, and of its kind" do
    stock = :mnesia.system_info(:all)
    ours = :remnesia.system_info(:all)
    assert Keyword.keys(stock) == Keyword.keys(ours)

    for {item, value} <- stock do
      assert {item, kind(value)} == {item, kind(ours[item])}
      assert kind(:remnesia.system_info(item)) == kind(value)
    end
  end

  defp kind(value) when is_list(value), do: :list
  defp kind(value) when is_boolean(value), do: :boolean
  defp kind(value) when is_atom(value), do: :atom
  defp kind(value) when is_integer(value), do: :integer
  defp kind(value) when is_tuple(value), do: tuple_size(value)

  test "a schema on what is no node, or on nodes that are no list" do
    for nodes <- [[1], ["x", 2], [{:a}], [1, 1], :x, 7],
        do: assert(:remnesia.create_schema(nodes) == :mnesia.create_schema(nodes))
  end

  test "locks that are held and waited for, as stock shows them" do
    {stock, ours} =
      Door.both(fn m ->
        m.transaction(fn ->
          m.write({:door_sys, 1, 2})
          m.write({:door_sys, :new, 2})
          m.read({:door_sys, 1})
          m.lock({:global, :name, [node()]}, :write)
          {m.system_info(:held_locks), m.system_info(:lock_queue)}
        end)
      end)

    assert ours == stock
    assert {:value, {:atomic, {[_, _, _], []}}} = ours

    {stock, ours} =
      Door.both(fn m ->
        m.transaction(fn -> m.lock({:table, :door_sys}, :read) && m.system_info(:held_locks) end)
      end)

    assert ours == stock
    assert :remnesia.system_info(:held_locks) == []
  end

  test "a process that waits" do
    for m <- [:mnesia, :remnesia] do
      me = self()

      # In stock a transaction waits only for one that began after it.
      waiter =
        spawn_link(fn ->
          m.transaction(fn ->
            send(me, :begun)
            receive do: (:go -> :ok)
            m.write({:door_sys, 1, 3})
          end)

          send(me, :done)
        end)

      assert_receive :begun

      {:atomic, :ok} =
        m.transaction(fn ->
          m.write({:door_sys, 1, 2})
          send(waiter, :go)

          [{{:door_sys, 1}, :write, pid, {:tid, _, pid}, {:tid, _, holder}}] =
            wait_for(fn -> m.system_info(:lock_queue) end)

          assert {pid, holder} == {waiter, me}
          :ok
        end)

      assert_receive :done, 1000
      assert m.system_info(:lock_queue) == []
    end
  end

  defp wait_for(fun) do
    case fun.() do
      [] -> Process.sleep(2) && wait_for(fun)
      found -> found
    end
  end

  test "transactions are counted, and shown while they are open" do
    {stock, ours} =
      Door.both(fn m ->
        count = fn ->
          for item <- [:transaction_commits, :transaction_failures], do: m.system_info(item)
        end

        before = count.()

        Task.await(
          Task.async(fn ->
            m.transaction(fn -> m.write({:door_sys, 1, 2}) end)
            m.transaction(fn -> m.abort(:no) end)
            m.transaction(fn -> m.transaction(fn -> m.read({:door_sys, 1}) end) end)
          end)
        )

        {:atomic, [{serial, pid, :coordinator}]} =
          m.transaction(fn -> m.system_info(:transactions) end)

        assert is_integer(serial) and pid == self()
        Enum.zip_with(count.(), before, &-/2)
      end)

    assert ours == stock
    assert ours == {:value, [4, 1]}
    assert :remnesia.system_info(:transactions) == []
  end

  test "counts of watched transactions, restarts" do
    before = :remnesia.system_info(:transaction_restarts)
    {:ok, _} = :remnesia.subscribe({:table, :door_sys})
    commits = :remnesia.system_info(:transaction_commits)
    failures = :remnesia.system_info(:transaction_failures)
    {:atomic, :ok} = :remnesia.transaction(fn -> :remnesia.write({:door_sys, 1, 2}) end)
    assert :remnesia.system_info(:transaction_commits) == commits + 1
    assert :remnesia.system_info(:transaction_failures) == failures
    assert :remnesia.system_info(:transaction_restarts) == before
  end

  test "what is printed" do
    for function <- [:info, :schema, :system_info] do
      assert capture_io(fn -> apply(:remnesia, function, []) end) =~ "door_sys"
    end

    assert capture_io(fn -> :remnesia.schema(:door_sys) end) =~ "attributes"
  end

  test "stopped: what every function answers" do
    :mnesia.stop()
    :remnesia.stop()

    on_exit(fn ->
      :mnesia.start()
      :remnesia.start()
    end)

    for {function, arguments} <- [
          transaction: [fn -> 1 end],
          sync_transaction: [fn -> 1 end],
          activity: [:transaction, fn -> 1 end],
          async_dirty: [fn -> 1 end],
          read: [{:door_sys, 1}],
          dirty_read: [{:door_sys, 1}],
          dirty_write: [{:door_sys, 1, 1}],
          dirty_delete: [{:door_sys, 1}],
          dirty_delete_object: [{:door_sys, 1, 1}],
          dirty_update_counter: [{:door_sys, 1}, 1],
          dirty_index_read: [:door_sys, 1, :val],
          dirty_match_object: [{:door_sys, :_, :_}],
          dirty_all_keys: [:door_sys],
          dirty_first: [:door_sys],
          dirty_select: [:door_sys, []],
          async_dirty: [&select_chunk/1],
          sync_dirty: [&every_key/1],
          create_table: [:door_other, []],
          delete_table: [:door_sys],
          clear_table: [:door_sys],
          subscribe: [:system],
          unsubscribe: [:system],
          wait_for_tables: [[:door_sys], 10],
          table_info: [:door_sys, :size],
          table_info: [:door_sys, :type],
          system_info: [:is_running],
          system_info: [:running_db_nodes],
          system_info: [:db_nodes],
          system_info: [:use_dir],
          force_load_table: [:door_sys],
          set_master_nodes: [[node()]],
          change_config: [:dc_dump_limit, 4],
          stop: []
        ] do
      {stock, ours} = Door.both(&apply(&1, function, of_side(arguments, &1)))
      assert {function, stock} == {function, ours}
    end
  end

  defp select_chunk(side), do: side.select(:door_sys, [{:_, [], [1]}], 1, :read)
  defp every_key(side), do: side.all_keys(:door_sys)

  # What runs in an activity of a side.
  defp of_side([fun], side) when is_function(fun, 1), do: [fn -> fun.(side) end]
  defp of_side(arguments, _side), do: arguments

  test "storage plug-ins are left out" do
    assert {:aborted, {:not_available, _text}} = :remnesia.add_backend_type(:some, :module)
  end

  test "SNMP is left out, and says so" do
    assert {:aborted, {:not_available, "Remnesia has no SNMP interface"}} =
             :remnesia.snmp_open_table(:door_sys, key: :integer)

    assert {:aborted, {:not_available, _}} = :remnesia.snmp_close_table(:door_sys)

    for {function, arguments} <- [
          snmp_get_row: [:door_sys, [1]],
          snmp_get_next_index: [:door_sys, []],
          snmp_get_mnesia_key: [:door_sys, [1]]
        ] do
      assert {:aborted, {:not_available, _}} = catch_exit(apply(:remnesia, function, arguments))
    end

    assert :mnesia.snmp_open_table(:door_sys, key: :integer) == {:atomic, :ok}
  end

  test "lkill stops at once, without telling" do
    {:ok, _} = :remnesia.subscribe(:system)
    on_exit(&:remnesia.start/0)
    :remnesia.lkill()
    refute_received {:mnesia_system_event, {:mnesia_down, _}}
    assert :remnesia.system_info(:is_running) == :no
    assert :remnesia.start() == :ok
    assert :remnesia.system_info(:tables) == [:schema]
  end
end
