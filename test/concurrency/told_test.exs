defmodule Remnesia.ToldTest do
  use ExUnit.Case

  # Subscribers are told of every change, also of one that had to wait before it was made, and of one that is waited for afterwards.

  defp events do
    receive do
      {:mnesia_table_event, event} -> [event | events()]
    after
      0 -> []
    end
  end

  defp create(table, options \\ []) do
    {:atomic, :ok} = :remnesia.create_table(table, options)
    on_exit(fn -> :remnesia.delete_table(table) end)
    :ok = :remnesia.dirty_write({table, 1, 1})
    {:ok, _} = :remnesia.subscribe({:table, table})
  end

  test "writes outside of transactions while the table is made anew" do
    create(:told)
    me = self()

    slow = fn record ->
      send(me, :frozen)
      Process.sleep(100)
      record
    end

    task = Task.async(fn -> :remnesia.transform_table(:told, slow, [:key, :val]) end)
    assert_receive :frozen, 5_000
    :ok = :remnesia.dirty_write({:told, 2, 2})
    :ok = :remnesia.dirty_delete({:told, 1})
    3 = :remnesia.dirty_update_counter(:told, 3, 3)
    assert Task.await(task) == {:atomic, :ok}
    by = {:dirty, self()}

    assert [
             {:write, {:told, 2, 2}, ^by},
             {:delete, {:told, 1}, ^by},
             {:write, {:told, 3, 3}, ^by}
           ] = for(event <- events(), elem(event, 2) == by, do: event)
  end

  test "where every write is waited for" do
    Application.put_env(:remnesia, :durability, :sync)
    on_exit(fn -> Application.delete_env(:remnesia, :durability) end)
    Remnesia.OnDisc.start()
    create(:told, disc_copies: [node()])
    :ok = :remnesia.dirty_write({:told, 2, 2})
    5 = :remnesia.dirty_update_counter(:told, 2, 3)
    :ok = :remnesia.dirty_delete({:told, 2})
    by = {:dirty, self()}

    assert events() == [
             {:write, {:told, 2, 2}, by},
             {:write, {:told, 2, 5}, by},
             {:delete, {:told, 2}, by}
           ]
  end

  test "a write tells what was there, in every type and storage, also if that is large" do
    Remnesia.OnDisc.start()
    large = Enum.to_list(1..50_000)

    for type <- [:set, :ordered_set, :bag],
        storage <- [:ram_copies, :disc_copies, :disc_only_copies] do
      {:atomic, :ok} = :remnesia.create_table(:told, [{:type, type}, {storage, [node()]}])
      {:ok, _} = :remnesia.subscribe({:table, :told, :detailed})
      by = {:dirty, self()}

      old =
        for value <- [1, large, 2, {:short, "text"}], reduce: [] do
          old ->
            :ok = :remnesia.dirty_write({:told, 7, value})
            assert events() == [{:write, :told, {:told, 7, value}, old, by}]
            if type == :bag, do: old ++ [{:told, 7, value}], else: [{:told, 7, value}]
        end

      assert :remnesia.dirty_read(:told, 7) == old
      {:atomic, :ok} = :remnesia.delete_table(:told)
    end
  end

  test "a write that is refused tells nothing" do
    create(:told, attributes: [:key, :val], unique: [:val])
    events()
    reason = {:unique, :told, [:val], 1}
    assert catch_exit(:remnesia.dirty_write({:told, 2, 1})) == {:aborted, reason}
    assert catch_exit(:remnesia.dirty_write({:told, 2})) == {:aborted, {:bad_type, {:told, 2}}}
    {:atomic, :ok} = :remnesia.change_table_access_mode(:told, :read_only)
    assert catch_exit(:remnesia.dirty_write({:told, 1, 2})) == {:aborted, {:no_exists, :told}}
    assert events() == []
    assert :remnesia.dirty_match_object({:told, :_, :_}) == [{:told, 1, 1}]
    {:atomic, :ok} = :remnesia.change_table_access_mode(:told, :read_write)
  end

  test "who subscribed while the table was read from disc" do
    Remnesia.OnDisc.start()
    create(:told, disc_copies: [node()])
    for n <- 1..40_000, do: :ok = :remnesia.dirty_write({:told, n, n})

    for n <- 1..3 do
      :ok = Remnesia.stop()
      :ok = Remnesia.start()
      {:ok, _} = :remnesia.subscribe({:table, :told})
      :ok = :remnesia.wait_for_tables([:told], 60_000)
      events()
      :ok = :remnesia.dirty_write({:told, n, :written})
      assert events() == [{:write, {:told, n, :written}, {:dirty, self()}}]
    end
  end
end
