defmodule Remnesia.Mnesia.EventsTest do
  use ExUnit.Case

  # Who is told of what, when, and by whom. What the messages say is compared with stock in door_oracle_test.exs.

  setup do
    {:atomic, :ok} = :remnesia.create_table(:watched, attributes: [:k, :v])
    {:atomic, :ok} = :remnesia.create_table(:unwatched, attributes: [:k, :v])

    on_exit(fn ->
      for table <- [:watched, :unwatched], do: :remnesia.delete_table(table)
    end)
  end

  defp table_events do
    receive do
      {:mnesia_table_event, event} -> [event | table_events()]
    after
      0 -> []
    end
  end

  test "a failed transaction tells nothing, nor does a failed inner one" do
    {:ok, _} = :remnesia.subscribe({:table, :watched})
    :remnesia.transaction(fn -> :remnesia.write({:watched, 1, :lost}) && :remnesia.abort(:no) end)
    assert table_events() == []

    {:atomic, :ok} =
      :remnesia.transaction(fn ->
        :remnesia.write({:watched, 1, :outer})

        {:atomic, _} =
          :remnesia.transaction(fn ->
            :remnesia.write({:watched, 2, :kept})
            :remnesia.transaction(fn -> :remnesia.write({:watched, 3, :kept}) end)

            {:aborted, _} =
              :remnesia.transaction(fn ->
                :remnesia.write({:watched, 4, :lost}) && :remnesia.abort(:no)
              end)
          end)

        {:aborted, _} =
          :remnesia.transaction(fn ->
            {:atomic, :ok} =
              :remnesia.transaction(fn -> :remnesia.write({:watched, 5, :lost}) end)

            :remnesia.abort(:no)
          end)

        :ok
      end)

    assert [
             {:write, {:watched, 1, :outer}, id},
             {:write, {:watched, 2, :kept}, id},
             {:write, {:watched, 3, :kept}, id}
           ] = table_events()

    assert {:tid, _, pid} = id
    assert pid == self()
  end

  test "a transaction that was run again tells once" do
    {:ok, _} = :remnesia.subscribe({:table, :watched})
    [runs, ready] = for _ <- 1..2, do: :counters.new(1, [])

    # Both want what the other has: one of them is run again.
    for {first, second} <- [a: :b, b: :a] do
      Task.async(fn ->
        {:atomic, :ok} =
          :remnesia.transaction(fn ->
            :counters.add(runs, 1, 1)
            :remnesia.write({:watched, first, second})
            :counters.add(ready, 1, 1)
            wait(fn -> :counters.get(ready, 1) >= 2 end)
            :remnesia.write({:watched, second, second})
          end)
      end)
    end
    |> Task.await_many()

    assert :counters.get(runs, 1) > 2
    told = Enum.map(table_events(), &elem(&1, 1))
    assert Enum.sort(told) == Enum.sort(Enum.uniq(told))
    assert length(told) == 4

    assert :remnesia.dirty_read(:watched, :a) == [
             Enum.find(Enum.reverse(told), &(elem(&1, 1) == :a))
           ]
  end

  test "messages about a record come in the order of its changes, whoever makes them" do
    {:ok, _} = :remnesia.subscribe({:table, :watched, :detailed})

    for _ <- 1..4 do
      Task.async(fn ->
        for _ <- 1..200 do
          {:atomic, :ok} =
            :remnesia.transaction(fn ->
              n =
                case :remnesia.read(:watched, 1, :write) do
                  [] -> 0
                  [{:watched, 1, n}] -> n
                end

              :remnesia.write({:watched, 1, n + 1})
            end)
        end
      end)
    end
    |> Task.await_many()

    events = table_events()

    assert for({:write, :watched, {:watched, 1, n}, _, _} <- events, do: n) ==
             Enum.to_list(1..800)

    # Each knows what was there before.
    assert for({:write, _, {_, _, n}, old, _} <- events, do: {n, old}) ==
             for(n <- 1..800, do: {n, if(n == 1, do: [], else: [{:watched, 1, n - 1}])})
  end

  test "dead subscribers are forgotten, and then nobody is told" do
    me = self()

    pids =
      for what <- [{:table, :watched, :detailed}, {:table, :watched}, :system, :activity] do
        pid =
          spawn(fn ->
            {:ok, _} = :remnesia.subscribe(what)
            send(me, :subscribed)
            Process.sleep(:infinity)
          end)

        assert_receive :subscribed
        pid
      end

    assert Enum.sort(:remnesia.table_info(:watched, :subscribers)) ==
             Enum.sort(Enum.take(pids, 2))

    assert Enum.at(pids, 2) in :remnesia.system_info(:subscribers)
    Enum.each(pids, &Process.exit(&1, :kill))
    wait(fn -> :remnesia.table_info(:watched, :subscribers) == [] end)
    assert :remnesia.table_info(:watched, :commit_work) == []
    refute Enum.at(pids, 2) in :remnesia.system_info(:subscribers)

    # The flag is gone: the native side answers a plain :ok again.
    txn = Remnesia.Native.txn_new()
    1 = Remnesia.Native.txn_begin(txn)
    wait(fn -> Remnesia.Native.write(txn, :watched, {:watched, 1, 1}, :write) == :ok end)
    :ok = Remnesia.Native.txn_commit(txn)
  end

  defp wait(fun, times \\ 200) do
    cond do
      fun.() -> :ok
      times == 0 -> flunk("it does not come about")
      true -> Process.sleep(5) && wait(fun, times - 1)
    end
  end

  test "a table that is deleted and made again has no subscribers" do
    {:ok, _} = :remnesia.subscribe({:table, :watched})
    {:atomic, :ok} = :remnesia.delete_table(:watched)
    {:atomic, :ok} = :remnesia.create_table(:watched, attributes: [:k, :v])
    :remnesia.dirty_write({:watched, 1, 1})
    assert table_events() == []
    assert {:ok, _} = :remnesia.subscribe({:table, :watched})
  end

  test "activities: one message for each transaction that changed something" do
    {:ok, _} = :remnesia.subscribe(:activity)
    :remnesia.transaction(fn -> :remnesia.read(:watched, 1) end)
    :remnesia.transaction(fn -> :remnesia.write({:watched, 1, 1}) && :remnesia.abort(:no) end)
    :remnesia.dirty_write({:watched, 1, 1})
    refute_received {:mnesia_activity_event, _}

    :remnesia.transaction(fn ->
      :remnesia.transaction(fn -> :remnesia.write({:watched, 1, 1}) end)
    end)

    me = self()
    assert_received {:mnesia_activity_event, {:complete, {:tid, _, ^me}}}
    refute_received {:mnesia_activity_event, _}
    {:ok, _} = :remnesia.unsubscribe(:activity)
    :remnesia.transaction(fn -> :remnesia.write({:watched, 1, 1}) end)
    refute_received {:mnesia_activity_event, _}
  end

  test "transform_table tells of the records after the definition that they are of" do
    Remnesia.Door.delete([:door_e])
    Remnesia.Door.create(:door_e, attributes: [:k, :v], index: [:v])

    {stock, ours} =
      Remnesia.Door.both(fn m ->
        m.dirty_write({:door_e, 1, 1})
        for what <- [:door_e, :schema], do: {:ok, _} = m.subscribe({:table, what})

        {:atomic, :ok} =
          m.transform_table(:door_e, fn {_, k, v} -> {:door_e, k, v, 0} end, [:k, :v, :w])

        # Without the index, with the new attributes, the record, with the index again.
        told = for _ <- 1..4, do: receive(do: ({:mnesia_table_event, event} -> event))
        for what <- [:door_e, :schema], do: m.unsubscribe({:table, what})
        told
      end)

    assert ours == stock
    assert {:value, [_, _, {:write, {:door_e, 1, 1, 0}, :tid}, _]} = ours
    Remnesia.Door.delete([:door_e])
  end

  # Rows of guides/differences.md.

  test "messages about different keys come in the order of the changes" do
    Remnesia.Door.delete([:door_e])
    Remnesia.Door.create(:door_e, attributes: [:k, :v])

    {{:value, stock}, {:value, ours}} =
      Remnesia.Door.both(fn m ->
        {:ok, _} = m.subscribe({:table, :door_e})
        m.transaction(fn -> for k <- [3, 1, 2, 3, 4], do: m.write({:door_e, k, k}) end)
        m.unsubscribe({:table, :door_e})
        for {:write, {_, k, _}, _} <- table_events(), do: k
      end)

    assert ours == [3, 1, 2, 4]
    assert Enum.sort(stock) == [1, 2, 3, 4]
    Remnesia.Door.delete([:door_e])
  end

  test "an object that is not there, and the end of its transaction; the end of a clear" do
    Remnesia.Door.delete([:door_e])
    Remnesia.Door.create(:door_e, attributes: [:k, :v])

    told = fn ->
      receive do
        {:mnesia_activity_event, {:complete, {:tid, _, _}}} -> true
      after
        50 -> false
      end
    end

    {{:value, stock}, {:value, ours}} =
      Remnesia.Door.both(fn m ->
        {:ok, _} = m.subscribe(:activity)
        {:atomic, :ok} = m.transaction(fn -> m.delete_object({:door_e, 1, 1}) end)
        deleted = told.()
        {:atomic, :ok} = m.clear_table(:door_e)
        cleared = told.()
        m.unsubscribe(:activity)
        {deleted, cleared}
      end)

    assert {stock, ours} == {{true, true}, {false, true}}
    Remnesia.Door.delete([:door_e])
  end

  test "events of the system, down to its end" do
    {:ok, _} = :remnesia.subscribe(:system)
    assert {:error, {:already_exists, :system}} = :remnesia.subscribe(:system)
    :ok = :remnesia.report_event({:lunch, 12})
    assert_received {:mnesia_system_event, {:mnesia_user, {:lunch, 12}}}
    assert :remnesia.stop() == :stopped
    node = node()
    assert_received {:mnesia_system_event, {:mnesia_down, ^node}}
    assert :remnesia.subscribe(:system) == {:error, {:node_not_running, node()}}
    assert :remnesia.stop() == :stopped
    assert :remnesia.start() == :ok
  end

  test "a large commit of a watched table" do
    {:ok, _} = :remnesia.subscribe({:table, :watched, :simple})

    {:atomic, :ok} =
      :remnesia.transaction(fn ->
        for(n <- 1..5000, do: :remnesia.write({:watched, n, n})) && :ok
      end)

    assert length(table_events()) == 5000
    assert :remnesia.table_info(:watched, :size) == 5000
    assert Remnesia.Native.lock_count() == 0
  end

  test "the Memento side is told of and tells the same" do
    {:ok, _} = :remnesia.subscribe({:table, :watched})

    {:atomic, :ok} =
      Remnesia.Engine.transaction(fn ->
        Remnesia.Engine.write(:watched, {:watched, 1, 1}, :write)
      end)

    assert [{:write, {:watched, 1, 1}, {:tid, _, _}}] = table_events()
  end
end
