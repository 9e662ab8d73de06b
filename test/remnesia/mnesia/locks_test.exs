defmodule Remnesia.Mnesia.LocksTest do
  use ExUnit.Case

  # What is held and waited for, as `system_info` shows it, by both sides.

  alias Remnesia.Door

  setup do
    Door.delete([:door_l])
    Door.create(:door_l, attributes: [:k, :v], index: [:v])
    for m <- [:mnesia, :remnesia], k <- 1..3, do: m.dirty_write({:door_l, k, k})
    on_exit(fn -> Door.delete([:door_l]) end)
  end

  defp held(m),
    do: Enum.sort(for {item, kind, _tid} <- m.system_info(:held_locks), do: {item, kind})

  test "what an operation locks" do
    for {what, operation} <- [
          read: & &1.read(:door_l, 1),
          read_for_write: & &1.read(:door_l, 1, :write),
          write: & &1.write({:door_l, 7, 7}),
          delete_object: & &1.delete_object({:door_l, 1, 1}),
          match_key: & &1.match_object({:door_l, 1, :_}),
          select: & &1.select(:door_l, [{:_, [], [1]}]),
          select_key: & &1.select(:door_l, [{{:door_l, 1, :_}, [], [1]}]),
          select_for_write: & &1.select(:door_l, [{:_, [], [1]}], :write),
          all_keys: & &1.all_keys(:door_l),
          first: & &1.first(:door_l),
          next: & &1.next(:door_l, 1),
          fold: & &1.foldl(fn _, n -> n end, 0, :door_l),
          table: & &1.read_lock_table(:door_l),
          table_for_write: & &1.write_lock_table(:door_l),
          load: & &1.lock({:table, :door_l}, :load),
          record: & &1.lock({:record, :door_l, 1}, :read),
          absent: & &1.lock({:record, :door_l, {:absent, "x"}}, :read),
          absent_for_write: & &1.lock({:record, :door_l, :absent}, :write),
          global: & &1.lock({:global, {:any, 1}, [node()]}, :write),
          global_read: & &1.lock({:global, "x", [node()]}, :read),
          schema: & &1.lock({:table, :schema}, :read),
          table_then_record: &{&1.read_lock_table(:door_l), &1.read(:door_l, 1)},
          nothing: & &1.table_info(:door_l, :size)
        ] do
      {stock, ours} =
        Door.both(fn m ->
          m.dirty_write({:door_l, 1, 1})
          m.transaction(fn -> operation.(m) && held(m) end)
        end)

      assert {what, ours} == {what, stock}
    end
  end

  defp spawned(fun) do
    me = self()
    pid = spawn_link(fn -> send(me, {:done, self(), fun.()}) end)
    fn -> receive(do: ({:done, ^pid, answer} -> answer)) end
  end

  defp until(fun), do: fun.() || (Process.sleep(1) && until(fun))

  # The older one is sure to be older: it holds a lock that the younger one has to wait for.
  defp older_waits(m, younger, older) do
    me = self()

    older =
      spawned(fn ->
        m.transaction(fn ->
          send(me, {:old, self()})
          receive(do: (:go -> older.(m)))
        end)
      end)

    old = receive(do: ({:old, pid} -> pid))

    younger =
      spawned(fn ->
        m.transaction(fn ->
          younger.(m)
          send(me, {:young, self()})
          receive(do: (:go -> :ok))
        end)
      end)

    young = receive(do: ({:young, pid} -> pid))
    send(old, :go)
    until(fn -> m.system_info(:lock_queue) != [] end)

    queue =
      for {item, kind, pid, {:tid, _, tid}, {:tid, _, holder}} <- m.system_info(:lock_queue),
          do: {item, kind, pid == old, tid == old, holder == young}

    held = held(m) != []
    send(young, :go)
    {queue, held, older.(), younger.(), m.system_info(:lock_queue), held(m)}
  end

  test "who waits is shown" do
    for {what, younger, older} <- [
          {:record, & &1.write({:door_l, 1, 1}), & &1.read(:door_l, 1)},
          {:write, & &1.read(:door_l, 1), & &1.write({:door_l, 1, 2})},
          {:new_record, & &1.write({:door_l, :new, 1}), & &1.write({:door_l, :new, 2})},
          {:absent, & &1.read(:door_l, :absent), & &1.delete({:door_l, :absent})},
          {:whole_table, & &1.write({:door_l, 1, 1}), &Enum.sort(&1.all_keys(:door_l))},
          {:record_of_locked_table, & &1.read_lock_table(:door_l), & &1.write({:door_l, "n", 1})},
          {:read_of_locked_table, & &1.write_lock_table(:door_l), & &1.read(:door_l, 2)},
          {:global, & &1.lock({:global, :g, [node()]}, :write),
           & &1.lock({:global, :g, [node()]}, :read)}
        ] do
      {stock, ours} = Door.both(&older_waits(&1, younger, older))
      assert {what, ours} == {what, stock}
    end

    # A row of guides/differences.md: the younger one.
    {stock, ours} =
      Door.both(fn m ->
        m.transaction(fn ->
          m.write({:door_l, 1, 1})
          young = spawned(fn -> m.transaction(fn -> m.read(:door_l, 1) end) end)
          Process.put(:young, young)

          if m == :mnesia,
            do: Process.sleep(50),
            else: until(fn -> m.system_info(:lock_queue) != [] end)

          for {item, kind, _pid, _tid, _holder} <- m.system_info(:lock_queue), do: {item, kind}
        end)
        |> then(fn {:atomic, queue} -> {:atomic, queue, Process.get(:young).()} end)
      end)

    assert {:value, {:atomic, [], {:atomic, [_]}}} = stock
    assert {:value, {:atomic, [{{:door_l, 1}, :read}], {:atomic, [_]}}} = ours
  end

  # A transaction that has written record 1, and ends with this function when it is told to go on; how to wait for it, and who it is.
  defp holding(m, ending) do
    me = self()

    old =
      spawned(fn ->
        m.transaction(fn ->
          m.write({:door_l, 1, :old})
          send(me, {:held, self()})
          receive(do: (:go -> ending.()))
        end)
      end)

    {old, receive(do: ({:held, pid} -> pid))}
  end

  test "retries" do
    for retries <- [0, 1, 2, 5] do
      {stock, ours} =
        Door.both(fn m ->
          runs = :counters.new(1, [])
          {old, holder} = holding(m, fn -> m.write({:door_l, 2, :old}) end)

          young =
            spawned(fn ->
              m.transaction(
                fn ->
                  :counters.add(runs, 1, 1)
                  m.write({:door_l, 2, :young})
                  send(holder, :go)
                  Process.sleep(20)
                  m.write({:door_l, 1, :young})
                end,
                retries
              )
            end)

          {old.(), young.(), :counters.get(runs, 1)}
        end)

      assert {retries, ours} == {retries, stock}
    end
  end

  test "retries come to an end also where the lock does not" do
    for retries <- [0, 1, 2, 3] do
      {stock, ours} =
        Door.both(fn m ->
          runs = :counters.new(1, [])
          {old, holder} = holding(m, fn -> :old end)

          answer =
            m.transaction(
              fn ->
                :counters.add(runs, 1, 1)
                m.write({:door_l, 1, :young})
              end,
              retries
            )

          send(holder, :go)
          {old.(), answer, :counters.get(runs, 1)}
        end)

      assert {retries, ours} == {retries, stock}
      assert {:value, {_old, {:aborted, :nomore}, _runs}} = ours
    end
  end
end
