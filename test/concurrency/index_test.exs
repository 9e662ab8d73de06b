defmodule Remnesia.IndexConcurrencyTest do
  use ExUnit.Case, async: false

  import Stress

  alias Remnesia.{Engine, Native}

  # Indexes that come and go while the table is used, and unique values that many want at once.

  @groups 8

  for type <- [:set, :ordered_set, :bag] do
    @tag type: type
    test "searches and changes go on while indexes come and go: #{type}", %{type: type} do
      table = table(type: type)
      # Each group has members 1..10, who move between its two rooms.
      fill(table, for(group <- 1..@groups, n <- 1..10, do: {{group, n}, :left, group}))
      stop = :counters.new(1, [])
      head = {table, :"$1", :"$2", :"$3"}
      where = &Engine.select(table, [{head, &1, [:"$_"]}], :read)

      look = fn ->
        group = :rand.uniform(@groups)

        atomic(fn ->
          all = where.([{:==, :"$3", group}])
          left = where.([{:==, :"$3", group}, {:==, :"$2", :left}])
          right = where.([{:==, :"$3", group}, {:>, :"$2", :left}])
          assert length(all) == 10
          assert Enum.sort(all) == Enum.sort(left ++ right)
        end)
      end

      move = fn ->
        {group, n} = key = {:rand.uniform(@groups), :rand.uniform(10)}
        other = {group, rem(n, 10) + 1}

        atomic(fn ->
          for key <- [key, other] do
            [{_, _, room, _} = record] = Engine.read(table, key, :write)
            Engine.delete_object(table, record, :write)

            write(
              table,
              {key, Enum.at([:left, :right], if(room == :left, do: 1, else: 0)), group}
            )
          end
        end)
      end

      # Strangers come and go without a transaction.
      stray = fn ->
        key = {:stranger, :rand.uniform(50)}
        if type == :bag, do: Engine.dirty_delete(table, key)
        record = {table, key, :rand.uniform(1_000_000), {:of, :rand.uniform(3)}}
        # A unique index on its way may refuse it.
        catch_exit_or(fn -> Engine.dirty_write(table, record) end)
      end

      looks = &Engine.dirty_select(table, [{head, [{:==, :"$3", &1}], [:"$1"]}])
      dirty = fn -> assert length(Enum.uniq(looks.(:rand.uniform(@groups)))) <= 10 end

      workers = [look, look, move, move, stray, dirty]
      tasks = for fun <- workers, do: Task.async(fn -> forever(fun, stop, 0) end)
      indexes = [:group, [:group, :value], [:value, :group], [:value, :id], [:group, :id]]

      for round <- 1..150 do
        index = Enum.random(indexes)
        unique? = rem(round, 4) == 0 and is_list(index) and :id in index

        case Engine.add_table_index(table, index, unique: unique?) do
          {:atomic, :ok} ->
            :ok

          {:aborted, {:already_exists, _, _}} ->
            {:atomic, :ok} = Engine.del_table_index(table, index)
        end
      end

      :counters.add(stop, 1, 1)
      assert Enum.all?(Task.await_many(tasks, 60_000), &(&1 > 20))
      assert_clean(table)
    end
  end

  for type <- [:set, :ordered_set] do
    @tag type: type
    test "killed while it adds or drops an index: the table has it or not, #{type}", %{type: type} do
      table = table(type: type)
      for id <- 1..20_000, do: Engine.dirty_write(table, {table, id, rem(id, 7), id})
      stop = :counters.new(1, [])

      writer =
        Task.async(fn ->
          forever(
            fn ->
              id = :rand.uniform(30_000)
              catch_exit_or(fn -> Engine.dirty_write(table, {table, id, rem(id, 5), id}) end)
            end,
            stop,
            0
          )
        end)

      outcomes =
        for round <- 1..60 do
          index = Enum.random([:value, [:value, :group], :group])
          unique? = index == :group and rem(round, 2) == 0
          before = Engine.table_info(table, :index)
          version = Engine.table_info(table, :version)

          {pid, monitor} =
            spawn_monitor(fn ->
              case Engine.add_table_index(table, index, unique: unique?) do
                {:atomic, :ok} ->
                  :ok

                {:aborted, {:already_exists, _, _}} ->
                  {:atomic, :ok} = Engine.del_table_index(table, index)
              end
            end)

          # Now and then it comes to its end.
          if rem(round, 6) > 0 do
            Process.sleep(:rand.uniform(13) - 1)
            Process.exit(pid, :kill)
          end

          assert_receive {:DOWN, ^monitor, :process, ^pid, _}, 30_000
          # The lock is free again, and what `info` says is what there is.
          atomic(fn -> Engine.lock_table(table, :write) end)
          now = Engine.table_info(table, :index)
          assert now == before == (Engine.table_info(table, :version) == version)
          spec = [{{table, :_, :"$1", :"$2"}, [{:==, :"$1", 3}, {:==, :"$2", 10}], [:"$_"]}]
          {_, _, _, _, ways, _} = Native.select_plan(table, spec)
          used = for {{:index, position}, _} <- ways, uniq: true, do: position
          assert Enum.sort(used) == Enum.sort(now)
          now == before
        end

      :counters.add(stop, 1, 1)
      assert Task.await(writer, 60_000) > 100
      # Who is killed at once has not begun: that is seldom.
      IO.puts("\n    #{Enum.count(outcomes, &(not &1))} of 60 changes of indexes done")
      assert false in outcomes
      assert_clean(table)
    end
  end

  test "writes without transactions go on while an index is added, transactions wait" do
    table = table([])
    for id <- 1..100_000, do: Native.write(nil, table, {table, id, id, rem(id, 3)}, :write)
    builder = Task.async(fn -> Engine.add_table_index(table, [:group, :value]) end)
    until(fn -> not free?(table) end)
    read = Task.async(fn -> atomic(fn -> value(table, 1) end) end)
    :ok = Engine.dirty_write(table, {table, 200_000, 1, :new})
    [_] = Engine.dirty_read(table, 1)
    assert Engine.table_info(table, :index) == []

    assert Task.yield(builder, 0) == nil,
           "they waited, or the table is too small for this machine"

    assert {:atomic, :ok} = Task.await(builder, 60_000)
    assert Task.await(read) == 1
    spec = [{{table, :"$1", 1, :new}, [], [:"$1"]}]
    assert {{:index, [4, 3]}, _, _, {:exact, 1}, _, _} = Native.select_plan(table, spec)
    assert Engine.dirty_select(table, spec) == [200_000]
    assert_clean(table)
  end

  # Is the table lock free?
  defp free?(table) do
    task = Task.async(fn -> atomic(fn -> Engine.lock_table(table, :read) end) end)

    case Task.yield(task, 5) do
      nil -> Task.shutdown(task, :brutal_kill) != nil
      {:ok, _nodes} -> true
    end
  end

  defp until(fun), do: fun.() || until(fun)

  test "of many who want a value one gets it" do
    for type <- [:set, :ordered_set, :bag] do
      table = table(type: type, unique: [:value, [:group, :value]])
      names = Enum.to_list(1..300)

      # Eight processes bring every name under keys of their own, in transactions of one to three and without.
      won =
        1..8
        |> Enum.map(fn n ->
          Task.async(fn -> names |> Enum.shuffle() |> claim(table, n, []) end)
        end)
        |> Task.await_many(60_000)
        |> List.flatten()

      assert Enum.sort(won) == names
      found = Engine.dirty_select(table, [{{table, :_, :"$1", :_}, [], [:"$1"]}])
      assert Enum.sort(found) == names
      assert_clean(table)
    end
  end

  defp claim([], _table, _n, won), do: won

  defp claim(names, table, n, won) do
    {mine, rest} = Enum.split(names, :rand.uniform(3))

    got =
      if :rand.uniform(2) == 1 do
        Enum.filter(mine, &dirty?(table, {table, {n, &1}, &1, n}))
      else
        case Engine.transaction(fn -> for name <- mine, do: write(table, {{n, name}, name, n}) end) do
          {:atomic, _} -> mine
          # Taken as a whole or not at all: the others are tried one by one.
          {:aborted, {:unique, ^table, _, _}} -> Enum.filter(mine, &one?(table, n, &1))
        end
      end

    claim(rest, table, n, got ++ won)
  end

  defp one?(table, n, name),
    do: match?({:atomic, :ok}, Engine.transaction(fn -> write(table, {{n, name}, name, n}) end))

  defp dirty?(table, record) do
    Engine.dirty_write(table, record) == :ok
  catch
    :exit, {:aborted, {:unique, ^table, _, _}} -> false
  end

  test "values change hands under load, in large commits and small, and beside writes without transactions" do
    table = table(unique: [:value])
    count = 400
    fill(table, for(id <- 1..count, do: {id, id}))
    stop = :counters.new(1, [])

    # Some, or all of them, move on by one.
    rotate = fn ids ->
      fn ->
        atomic(fn ->
          values =
            for id <- ids.(),
                [{_, id, value, _}] = Engine.read(table, id, :write),
                do: {id, value}

          {ids, values} = Enum.unzip(values)

          for {id, value} <- Enum.zip(ids, tl(values) ++ [hd(values)]),
              do: write(table, {id, value})
        end)
      end
    end

    # Outside: values that are not among theirs, and attempts at theirs.
    outside = fn ->
      key = {:outside, :rand.uniform(20)}
      value = Enum.random([-:rand.uniform(30), :rand.uniform(count)])
      catch_exit_or(fn -> Engine.dirty_write(table, {table, key, value, nil}) end)
      if :rand.uniform(10) == 1, do: Engine.dirty_delete(table, key)
    end

    few = fn -> Enum.take_random(1..count, 3) end
    funs = [rotate.(few), rotate.(few), rotate.(fn -> 1..count end), outside, outside]
    tasks = for fun <- funs, do: Task.async(fn -> forever(fun, stop, 0) end)
    Process.sleep(1_500)
    :counters.add(stop, 1, 1)
    assert Enum.all?(Task.await_many(tasks, 60_000), &(&1 > 0))
    values = for id <- 1..count, [{_, _, value, _}] = Engine.dirty_read(table, id), do: value
    assert Enum.sort(values) == Enum.to_list(1..count)
    assert_clean(table)
  end

  test "whoever looks whether a value is there and then brings it is told in time" do
    table = table(unique: [:value])
    barrier = barrier(4)

    results =
      1..4
      |> Enum.map(fn n ->
        Task.async(fn ->
          Engine.transaction(fn ->
            taken = Engine.index_read(table, :name, 3)
            meet(barrier)
            if taken == [], do: write(table, {n, :name}), else: :taken
          end)
        end)
      end)
      |> Task.await_many()

    assert Enum.sort(results) == [
             {:atomic, :ok},
             {:atomic, :taken},
             {:atomic, :taken},
             {:atomic, :taken}
           ]

    assert_clean(table)
  end

  defp forever(fun, stop, count) do
    if :counters.get(stop, 1) > 0 do
      count
    else
      fun.()
      forever(fun, stop, count + 1)
    end
  end

  defp catch_exit_or(fun) do
    fun.()
  catch
    :exit, {:aborted, {:unique, _, _, _}} -> :refused
  end
end
