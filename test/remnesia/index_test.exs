defmodule Remnesia.IndexTest do
  use ExUnit.Case

  # Indexes on several attributes, and such that are added and dropped; unique ones are in unique_index_test.exs. What happens to them under load is in
  # test/concurrency/index_test.exs.

  import Stress, only: [table: 1, fill: 2, atomic: 1, assert_clean: 1]

  alias Remnesia.{Engine, Native, Query, Table}
  alias Remnesia.Query.Plan

  describe "added and dropped" do
    # The same calls on both sides, in one order.
    @steps [
      {:add_table_index, [:ix_table, :a]},
      {:add_table_index, [:ix_table, :a]},
      {:add_table_index, [:ix_table, 3]},
      {:add_table_index, [:ix_table, 5]},
      {:add_table_index, [:ix_table, 2]},
      {:add_table_index, [:ix_table, :id]},
      {:add_table_index, [:ix_table, 1]},
      {:add_table_index, [:ix_table, 0]},
      {:add_table_index, [:ix_table, 9]},
      {:add_table_index, [:ix_table, -1]},
      {:add_table_index, [:ix_table, :nothing]},
      {:add_table_index, [:ix_table, "x"]},
      {:add_table_index, [:ix_table, {:a}]},
      {:add_table_index, [:ix_table, {:a, :ordered}]},
      {:add_table_index, [:ix_none, :a]},
      {:add_table_index, [:ix_none, 3]},
      {:add_table_index, ["x", :a]},
      {:add_table_index, [:schema, 3]},
      {:add_table_index, [:schema, :cstruct]},
      {:del_table_index, [:ix_table, :a]},
      {:del_table_index, [:ix_table, :a]},
      {:del_table_index, [:ix_table, 3]},
      {:del_table_index, [:ix_table, 9]},
      {:del_table_index, [:ix_table, :nothing]},
      {:del_table_index, [:ix_table, "x"]},
      {:del_table_index, [:ix_none, :a]},
      {:del_table_index, [:ix_none, 3]},
      {:del_table_index, ["x", 3]},
      {:del_table_index, [:schema, 3]},
      {:del_table_index, [:ix_table, :b]},
      {:add_table_index, [:ix_table, :a]},
      {:add_table_index, [:ix_table, :b]}
    ]

    test "answers are stock Mnesia's" do
      :stopped = :mnesia.stop()
      :ok = :mnesia.start()
      options = [attributes: [:id, :a, :b, :c], index: [:b]]
      {:atomic, :ok} = :mnesia.create_table(:ix_table, options)
      {:atomic, :ok} = Engine.create_table(:ix_table, options)

      on_exit(fn ->
        Engine.delete_table(:ix_table)
        :mnesia.delete_table(:ix_table)
      end)

      for {function, arguments} = step <- @steps do
        answer = &{step, apply(&1, function, arguments), &1.table_info(:ix_table, :index)}
        assert answer.(Engine) == answer.(:mnesia)

        assert elem(Engine.table_info(:ix_table, :cstruct), 10) ==
                 elem(:mnesia.table_info(:ix_table, :cstruct), 10)

        assert elem(Engine.table_info(:ix_table, :version), 0) ==
                 elem(:mnesia.table_info(:ix_table, :version), 0)
      end

      for {function, arguments} <- [
            add_table_index: [:ix_table, :c],
            del_table_index: [:ix_table, :c]
          ] do
        ours = Engine.transaction(fn -> apply(Engine, function, arguments) end)
        assert ours == :mnesia.transaction(fn -> apply(:mnesia, function, arguments) end)
      end

      assert_clean(:ix_table)
    end

    test "a new index is used, a dropped one is not, the same queries all the time" do
      for type <- [:set, :ordered_set, :bag] do
        table = table(type: type)
        fill(table, for(id <- 1..1_000, do: {id, rem(id, 10), rem(id, 100)}))
        spec = [{{table, :"$1", :_, :"$2"}, [{:==, :"$2", 7}], [:"$1"]}]
        look = fn -> atomic(fn -> Enum.sort(Engine.select(table, spec, :read)) end) end
        way = fn -> table |> Native.select_plan(spec) |> elem(0) end
        found = look.()
        assert length(found) == 10
        assert way.() == :scan

        for _ <- 1..3 do
          assert {:atomic, :ok} = Engine.add_table_index(table, :group)
          assert way.() == {:index, 4}
          assert look.() == found
          assert length(atomic(fn -> Engine.index_read(table, 7, 4) end)) == 10
          assert {:atomic, :ok} = Engine.add_table_index(table, [:group, :value])
          assert {:atomic, :ok} = Engine.del_table_index(table, :group)
          assert way.() == {:index, [4, 3]}
          assert look.() == found
          assert length(atomic(fn -> Engine.index_read(table, 7, 4) end)) == 10
          assert {:atomic, :ok} = Engine.del_table_index(table, [:group, :value])
          assert way.() == :scan
          assert look.() == found

          assert {:aborted, {:no_exists, ^table, {:index, [4]}}} =
                   Engine.transaction(fn -> Engine.index_read(table, 7, 4) end)
        end

        assert_clean(table)
      end
    end

    test "a search that has begun goes on when its index is dropped" do
      table = table(index: [:group])
      fill(table, for(id <- 1..20_000, do: {id, id, rem(id, 2)}))
      spec = [{{table, :"$1", :_, 1}, [], [:"$1"]}]

      # By the index, in pieces.
      number = index_of(table, spec, {:index, 4})
      {:slice, first, continuation} = Native.test_select(nil, table, spec, number)
      {:atomic, :ok} = Engine.del_table_index(table, :group)
      Engine.dirty_delete(table, 19_999)
      found = rest(first, continuation)
      assert length(found) == length(Enum.uniq(found))
      assert Enum.sort([19_999 | found]) |> Enum.uniq() == Enum.to_list(1..19_999//2)
      assert_clean(table)
    end

    test "memory is counted and given back" do
      table = table([])
      fill(table, for(id <- 1..5_000, do: {id, id, rem(id, 5)}))
      before = Engine.table_info(table, :memory)
      {:atomic, :ok} = Engine.add_table_index(table, :group)
      assert Engine.table_info(table, :memory) > before + 5_000
      {:atomic, :ok} = Engine.del_table_index(table, :group)
      assert Engine.table_info(table, :memory) == before
    end

    test "options and tables that are none" do
      table = table([])

      assert {:aborted, {:badarg, ^table, [uniq: true]}} =
               Engine.add_table_index(table, :value, uniq: true)

      assert {:aborted, {:badarg, ^table, [unique: 1]}} =
               Engine.add_table_index(table, :value, unique: 1)

      assert {:aborted, {:badarg, ^table, :unique}} =
               Engine.add_table_index(table, :value, :unique)

      assert {:aborted, {:bad_type, [:value | :group]}} =
               Engine.add_table_index(table, [:value | :group])

      assert {:aborted, {:bad_type, :nothing}} = Engine.add_table_index(table, [:value, :nothing])
      assert {:aborted, {:bad_type, []}} = Engine.add_table_index(table, [])

      assert {:aborted, {:bad_type, ^table, {:index, [[3, 3]]}}} =
               Engine.add_table_index(table, [:value, :value])

      assert {:aborted, {:bad_type, ^table, {:index, [[3, 9]]}}} =
               Engine.add_table_index(table, [3, 9])

      assert {:aborted, {:bad_type, ^table, {:index, [2]}}} = Engine.add_table_index(table, [:id])
      assert {:atomic, :ok} = Engine.add_table_index(table, [:value])

      assert {:aborted, {:already_exists, ^table, 3}} =
               Engine.add_table_index(table, :value, unique: true)

      assert_raise Remnesia.Error, fn -> Table.add_index(NoTable, :a) end
      assert_raise Remnesia.Error, fn -> Table.drop_index(NoTable, :a) end
    end
  end

  # Rows of guides/differences.md: both sides.
  test "what stock refuses" do
    :mnesia.start()
    both = [attributes: [:id, :a, :b], index: [[:a, :b]]]
    refused = {:aborted, {:bad_type, :ix_more, {:index, [[:a, :b]]}}}
    assert :mnesia.create_table(:ix_more, both) == refused
    unique = [attributes: [:id, :a, :b], unique: [:a]]
    assert {:aborted, {:badarg, :ix_more, :unique}} = :mnesia.create_table(:ix_more, unique)
    {:atomic, :ok} = :mnesia.create_table(:ix_more, attributes: [:id, :a, :b])
    on_exit(fn -> :mnesia.delete_table(:ix_more) end)
    assert {:aborted, {:bad_type, [:a, :b]}} = :mnesia.add_table_index(:ix_more, [:a, :b])

    assert {:aborted, {:no_exists, :ix_more, :unique}} =
             catch_exit(:mnesia.table_info(:ix_more, :unique))

    assert {:aborted, _} = :mnesia.transaction(fn -> :mnesia.index_read(:ix_more, 1, :a) end)

    {:atomic, :ok} = Engine.create_table(:ix_more, both)
    on_exit(fn -> Engine.delete_table(:ix_more) end)
    assert Engine.table_info(:ix_more, :index) == [[3, 4]]
    :ok = Engine.dirty_write(:ix_more, {:ix_more, 1, 2, 3})
    assert [{:ix_more, 1, 2, 3}] = atomic(fn -> Engine.index_read(:ix_more, 2, 3) end)
    {:atomic, :ok} = Engine.add_table_index(:ix_more, [:b, :a], unique: true)
    assert Engine.table_info(:ix_more, :unique) == [[4, 3]]
  end

  describe "on several attributes" do
    defmodule Task do
      use Remnesia.Table,
        attributes: [:id, :status, :priority, :owner],
        index: [[:status, :priority], :owner]
    end

    setup do
      Table.create!(Task)
      on_exit(fn -> Table.delete!(Task) end)

      Remnesia.transaction!(fn ->
        for n <- 1..2_000 do
          status = Enum.at([:open, :done, :late, :idle], rem(n, 4))
          Query.write(%Task{id: n, status: status, priority: rem(n, 10), owner: rem(n, 50)})
        end
      end)

      :ok
    end

    defp explain(guards), do: Query.explain(Task, guards, analyze: true)

    test "the first attributes lead to the records" do
      assert %Plan{
               plan: :index,
               index: [:status, :priority],
               rows: {:exact, 100},
               locks: :records,
               matched: 100
             } = plan = explain([{:==, :status, :done}, {:==, :priority, 3}])

      assert to_string(plan) =~ "index on status, priority"
      assert to_string(plan) =~ "status == :done and priority == 3"
      assert to_string(plan) =~ "locks       the value and the records that have it"

      assert %Plan{
               plan: :index_range,
               index: [:status, :priority],
               rows: {:exact, 200},
               locks: :records
             } = plan = explain([{:==, :status, :done}, {:>, :priority, 1}, {:<, :priority, 6}])

      assert to_string(plan) =~ "status == :done and priority > 1 and priority < 6"

      assert to_string(plan) =~
               "locks       the value of status and the records that are looked at"

      assert %Plan{plan: :index, rows: {:exact, 200}} =
               plan =
               explain([{:==, :status, :done}, {:or, {:==, :priority, 1}, {:==, :priority, 3}}])

      assert to_string(plan) =~ "status == :done and (priority == 1 or priority == 3)"

      assert {{:index, [:status, :priority]}, {:exact, 500}} in explain({:==, :status, :done}).ways
      assert %Plan{plan: :scan, bounded: [:priority]} = explain({:==, :priority, 3})

      assert %Plan{plan: :index, index: :owner} =
               explain([{:==, :status, :done}, {:==, :owner, 1}])

      assert %Plan{plan: :index_range, index: [:status, :priority], locks: :table} =
               explain([{:>, :status, :open}, {:==, :priority, 3}])
    end

    test "info shows positions in a list" do
      assert Table.info(Task, :index) == [[3, 4], 5]
      assert Table.info(Task, :unique) == []
      assert Table.info(Task, :index_info) == {:index, :set, [{[3, 4], :ordered}, {5, :ordered}]}
      assert :ok = Table.drop_index(Task, [:status, :priority])
      assert Table.info(Task, :index) == [5]
      assert {:error, {:no_exists, Task, [3, 4]}} = Table.drop_index(Task, [:status, :priority])
      assert :ok = Table.add_index(Task, [:status, :priority], unique: false)

      assert {:error, {:already_exists, Task, [3, 4]}} =
               Table.add_index(Task, [:status, :priority])
    end

    test "create takes them and refuses what is none" do
      options = &[attributes: [:id, :a, :b], index: [&1]]

      assert {:aborted, {:bad_type, :t, {:index, [{[3, 3], :ordered}]}}} =
               Engine.create_table(:t, options.([:a, :a]))

      assert {:aborted, {:bad_type, :zz}} = Engine.create_table(:t, options.([:a, :zz]))

      assert {:aborted, {:bad_type, :t, {:unique, :a}}} =
               Engine.create_table(:t, attributes: [:id, :a], unique: :a)

      assert {:aborted, {:bad_type, :t, {:index, [{2, :ordered}]}}} =
               Engine.create_table(:t, attributes: [:id, :a], unique: [:id])

      for option <- [:index, :unique], bad <- [[[]], ["a"], [[:a, 1]], :a] do
        message = "Invalid #{option} list specified"

        assert_raise Remnesia.Error, message, fn ->
          Remnesia.Table.Definition.validate_options!([{:attributes, [:id, :a]}, {option, bad}])
        end
      end
    end
  end

  defp index_of(table, spec, way) do
    {_, _, _, _, ways, _} = Native.select_plan(table, spec)
    Enum.find_index(ways, &(elem(&1, 0) == way))
  end

  defp rest(found, continuation) do
    case Native.select_next(nil, continuation) do
      {:done, list} -> found ++ list
      {:slice, list, continuation} -> rest(found ++ list, continuation)
    end
  end
end
