defmodule Remnesia.Query.PlanLockTest do
  use ExUnit.Case

  # A search locks what its plan covers and no more. That nothing gets past these locks is tested in
  # test/concurrency/isolation_test.exs.

  import Stress

  alias Remnesia.{Engine, Native}

  for type <- [:set, :ordered_set, :bag] do
    @tag type: type
    test "a guard on the key locks the record: #{type}", %{type: type} do
      table = filled(type)

      atomic(fn ->
        assert [{_, 5, 5, :b}] = where(table, [{:==, :"$1", 5}])
        assert free?(table, &write(&1, {6, 0, :x}))
        assert free?(table, &Engine.delete(&1, 500, :write))
        refute free?(table, &write(&1, {5, 0, :x}))
        assert [] = where(table, [{:"=:=", :"$1", 500}])
        refute free?(table, &write(&1, {500, 0, :x}))
      end)

      assert_clean(table)
    end

    @tag type: type
    test "a guard on an indexed value locks the value and its records: #{type}", %{type: type} do
      table = filled(type)

      atomic(fn ->
        assert length(where(table, [{:==, :"$3", :a}])) == 5
        assert free?(table, &write(&1, {5, 0, :b}))
        assert free?(table, &write(&1, {500, 0, :c}))
        refute free?(table, &write(&1, {4, 0, :a}))
        refute free?(table, &write(&1, {500, 0, :a}))
      end)

      assert_clean(table)
    end

    @tag type: type
    test "a list of keys and values locks each: #{type}", %{type: type} do
      table = filled(type)

      atomic(fn ->
        assert length(where(table, [{:orelse, {:==, :"$1", 1}, {:==, :"$1", 2}}])) == 2
        assert free?(table, &write(&1, {3, 0, :x}))
        refute free?(table, &write(&1, {2, 0, :x}))
        where(table, [{:or, {:==, :"$3", :nobody}, {:==, :"$1", 7}}])
        assert free?(table, &write(&1, {3, 0, :x}))
        refute free?(table, &write(&1, {3, 0, :nobody}))
        refute free?(table, &write(&1, {7, 0, :x}))
      end)

      assert_clean(table)
    end

    @tag type: type
    test "ranges lock the table: #{type}", %{type: type} do
      table = filled(type)

      for guards <- [[{:>, :"$1", 5}, {:<, :"$1", 7}], [{:<, :"$3", :aa}]] do
        atomic(fn ->
          where(table, guards)
          refute free?(table, &write(&1, {1_000, 0, :zz}))
        end)
      end

      assert_clean(table)
    end
  end

  for type <- [:set, :ordered_set, :bag] do
    @tag type: type
    test "the first attributes of an index lock their values and the records: #{type}", %{
      type: type
    } do
      table = filled(type, index: [[:group, :value]])

      # Both attributes, with and without a record; the first; the first and a range of the second.
      for {guards, found} <- [
            {[{:==, :"$3", :a}, {:==, :"$2", 4}], 1},
            {[{:==, :"$3", :a}, {:==, :"$2", 400}], 0},
            {[{:==, :"$3", :a}], 5},
            {[{:==, :"$3", :a}, {:>, :"$2", 3}, {:<, :"$2", 5}], 1},
            {[{:==, :"$3", :a}, {:>, :"$2", 300}], 0}
          ] do
        atomic(fn ->
          assert length(where(table, guards)) == found
          # Another group is nobody's business.
          assert free?(table, &write(&1, {5, 4, :b}))
          assert free?(table, &write(&1, {500, 400, :c}))

          # Key 4 is of the group, with value 4: it moves into what was searched, or away from it, or stays and changes.
          for value <- [4, 400], matches?(guards, value) do
            refute free?(table, &write(&1, {700, value, :a}))
            refute free?(table, &write(&1, {5, value, :a}))
          end

          if found > 0, do: refute(free?(table, &Engine.delete(&1, 4, :write)))
        end)
      end

      assert_clean(table)
    end

    @tag type: type
    test "what is outside of both values stays free: #{type}", %{type: type} do
      table = filled(type, index: [[:group, :value]])

      atomic(fn ->
        assert length(where(table, [{:==, :"$3", :a}, {:==, :"$2", 4}])) == 1
        assert free?(table, &write(&1, {6, 60, :a}))
        assert free?(table, &write(&1, {600, 61, :a}))
        assert free?(table, &Engine.delete(&1, 8, :write))
      end)

      assert_clean(table)
    end

    @tag type: type
    test "a unique value is locked by who writes it: #{type}", %{type: type} do
      table = filled(type, unique: [:value])

      atomic(fn ->
        write(table, {100, 100, :z})
        refute free?(table, &write(&1, {101, 100, :z}))
        refute free?(table, &Engine.index_read(&1, 100, 3))
        assert free?(table, &write(&1, {101, 101, :z}))
      end)

      assert_clean(table)
    end
  end

  defp matches?(guards, value) do
    Enum.all?(guards, fn
      {op, :"$2", bound} -> apply(Kernel, op, [value, bound])
      _group -> true
    end)
  end

  test "a number in a guard locks both its forms in a set" do
    table = filled(:set)

    atomic(fn ->
      where(table, [{:==, :"$1", 500}])
      refute free?(table, &write(&1, {500.0, 0, :x}))
    end)
  end

  test "a write lock goes with the key" do
    table = filled(:set)

    atomic(fn ->
      Engine.select(table, [{{table, 5, :_, :_}, [], [:"$_"]}], :write)
      refute free?(table, &Engine.read(&1, 5, :read))
      assert free?(table, &Engine.read(&1, 6, :read))
      # There is no exclusive lock on a value: the table is locked.
      Engine.select(table, [{{table, :_, :_, :a}, [], [:"$_"]}], :write)
      refute free?(table, &Engine.read(&1, 6, :read))
    end)
  end

  test "a contradiction reads nothing and locks nothing" do
    table = filled(:ordered_set)

    atomic(fn ->
      assert where(table, [{:>, :"$1", 5}, {:<, :"$1", 5}]) == []
      assert where(table, [{:==, :"$3", :a}, {:==, :"$3", :b}]) == []
      assert Native.lock_count() == 0
    end)
  end

  defp filled(type, indexes \\ [index: [:group]]) do
    table = table([type: type] ++ indexes)
    fill(table, for(id <- 1..10, do: {id, id, Enum.at([:a, :b], rem(id, 2))}))
    table
  end

  defp where(table, guards),
    do: Engine.select(table, [{{table, :"$1", :"$2", :"$3"}, guards, [:"$_"]}], :read)

  # Could another process do that now, its commit included?
  defp free?(table, fun) do
    {pid, monitor} =
      spawn_monitor(fn ->
        {:atomic, :ok} =
          Engine.transaction(fn ->
            fun.(table)
            :ok
          end)

        exit(:through)
      end)

    through?(pid, monitor)
  end

  defp through?(pid, monitor) do
    receive do
      {:DOWN, ^monitor, :process, ^pid, reason} -> reason == :through
    after
      20 -> if waits?(pid), do: kill(pid, monitor), else: through?(pid, monitor)
    end
  end

  # In the one place where locks are waited for.
  defp waits?(pid),
    do:
      Process.info(pid, :current_function) ==
        {:current_function, {Remnesia.Engine.Local.Wait, :lock, 1}}

  defp kill(pid, monitor) do
    Process.exit(pid, :kill)
    receive do: ({:DOWN, ^monitor, :process, ^pid, reason} -> reason == :through)
  end
end
