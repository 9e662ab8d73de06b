defmodule Remnesia.IndexTest do
  use ExUnit.Case

  # Indexes on several attributes, unique ones, and such that are added and dropped. What happens to them under load is in
  # test/concurrency/index_test.exs.

  import Stress, only: [table: 1, fill: 2, atomic: 1, write: 2, assert_clean: 1]

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

  describe "unique" do
    defp email(id, value, group \\ nil), do: fn table -> write(table, {id, value, group}) end

    defp commit(table, writes),
      do: Engine.transaction(fn -> Enum.each(writes, & &1.(table)) end)

    for type <- [:set, :ordered_set, :bag, :duplicate_bag] do
      @tag type: type
      test "the transaction that violates it aborts, and nothing of it is there: #{type}", %{
        type: type
      } do
        table = table(type: type, unique: [:value], index: [:group])
        assert {:atomic, :ok} = commit(table, [email(1, "a"), email(2, "b")])
        refused = {:aborted, {:unique, table, [:value], "a"}}
        assert commit(table, [email(4, "d"), email(3, "a")]) == refused
        assert commit(table, [email(3, "a")]) == refused
        assert Engine.dirty_all_keys(table) |> Enum.sort() == [1, 2]
        # Two of one transaction.
        assert {:aborted, {:unique, ^table, [:value], "x"}} =
                 commit(table, [email(5, "x"), email(6, "x")])

        # Given up before the end, or by the same key.
        assert {:atomic, :ok} =
                 commit(table, [
                   email(1, "a", :again),
                   email(7, "y"),
                   &Engine.delete(&1, 7, :write),
                   email(8, "y")
                 ])

        assert {:atomic, :ok} = commit(table, [&Engine.delete(&1, 1, :write), email(3, "a")])
        assert Engine.dirty_all_keys(table) |> Enum.sort() == [2, 3, 8]
        assert_clean(table)
      end

      @tag type: type
      test "values are swapped: #{type}", %{type: type} do
        table = table(type: type, unique: [:value])
        fill(table, [{1, :a}, {2, :b}, {3, :c}])
        clear = for id <- 1..3, do: &Engine.delete(&1, id, :write)
        assert {:atomic, :ok} = commit(table, clear ++ [email(1, :b), email(2, :c), email(3, :a)])

        assert Enum.map(1..3, &Engine.dirty_read(table, &1))
               |> List.flatten()
               |> Enum.map(&elem(&1, 2)) == [:b, :c, :a]

        assert {:aborted, {:unique, _, _, :c}} =
                 commit(table, [&Engine.delete(&1, 1, :write), email(1, :c)])

        assert_clean(table)
      end

      @tag type: type
      test "a write outside of transactions is refused as well: #{type}", %{type: type} do
        table = table(type: type, unique: [:value])
        :ok = Engine.dirty_write(table, {table, 1, :a, nil})

        assert {:aborted, {:unique, table, [:value], :a}} ==
                 catch_exit(Engine.dirty_write(table, {table, 2, :a, nil}))

        assert Engine.dirty_all_keys(table) == [1]
        :ok = Engine.dirty_write(table, {table, 1, :a, :changed})
        :ok = Engine.dirty_delete(table, 1)
        :ok = Engine.dirty_write(table, {table, 2, :a, nil})
        assert_clean(table)
      end
    end

    test "a set is swapped by writes alone" do
      table = table(unique: [:value])
      fill(table, [{1, :a}, {2, :b}])
      assert {:atomic, :ok} = commit(table, [email(1, :b), email(2, :a)])
      assert {:atomic, :ok} = commit(table, [email(1, :c), email(3, :b)])
      assert {:aborted, {:unique, _, _, :a}} = commit(table, [email(1, :a)])
      assert_clean(table)
    end

    test "several attributes together" do
      table = table(unique: [[:value, :group]])
      fill(table, [{1, :a, :x}, {2, :a, :y}, {3, :b, :x}])

      assert commit(table, [email(4, :a, :y)]) ==
               {:aborted, {:unique, table, [:value, :group], {:a, :y}}}

      assert {:aborted, {:unique, table, [:value, :group], {:b, :x}}} ==
               catch_exit(Engine.dirty_write(table, {table, 4, :b, :x}))

      assert {:atomic, :ok} = commit(table, [email(4, :b, :y)])
      assert_clean(table)
    end

    test "nil is a value, 1 and 1.0 are one, the rows of one key of a bag share it" do
      table = table(unique: [:value], type: :bag)
      fill(table, [{1, nil, :x}, {1, nil, :y}, {2, 1, :x}])
      assert {:aborted, {:unique, _, _, nil}} = commit(table, [email(3, nil)])
      assert {:aborted, {:unique, _, _, 1.0}} = commit(table, [email(3, 1.0)])
      remove = &Engine.delete_object(&1, {&1, 1, nil, :x}, :write)
      assert {:aborted, {:unique, _, _, nil}} = commit(table, [remove, email(3, nil)])
      both = [remove, &Engine.delete_object(&1, {&1, 1, nil, :y}, :write)]
      assert {:atomic, :ok} = commit(table, both ++ [email(3, nil)])
      assert_clean(table)
    end

    test "large binaries, references and deep terms are values too" do
      table = table(unique: [:value])
      large = :binary.copy("x", 100_000)
      reference = make_ref()
      deep = Enum.reduce(1..100_000, [], fn _, list -> [list] end)

      for {value, id} <- Enum.with_index([large, reference, deep]) do
        assert {:atomic, :ok} = commit(table, [email(id, value)])

        assert {:aborted, {:unique, ^table, [:value], ^value}} =
                 commit(table, [email({id, :again}, value)])

        assert {:aborted, {:unique, ^table, [:value], ^value}} =
                 catch_exit(Engine.dirty_write(table, {table, :no, value, 1}))
      end

      assert_clean(table)
    end

    test "a counter" do
      name = :"counter_#{System.unique_integer([:positive])}"
      {:atomic, :ok} = Engine.create_table(name, attributes: [:id, :count], unique: [:count])
      on_exit(fn -> Engine.delete_table(name) end)
      assert Engine.dirty_update_counter(name, :a, 5) == 5

      assert {:aborted, {:unique, name, [:count], 5}} ==
               catch_exit(Engine.dirty_update_counter(name, :b, 5))

      assert Engine.dirty_update_counter(name, :b, 4) == 4

      assert {:aborted, {:unique, name, [:count], 5}} ==
               catch_exit(Engine.dirty_update_counter(name, :b, 1))

      assert Engine.dirty_update_counter(name, :b, 2) == 6
      assert_clean(name)
    end

    test "of two tables neither is changed" do
      {one, two} = {table(unique: [:value]), table(unique: [:value, :group])}
      fill(two, [{1, :a, :g}])

      for record <- [{2, :a, :h}, {2, :b, :g}] do
        writes = [fn _ -> write(one, {1, :a}) end, fn _ -> write(two, record) end]
        assert {:aborted, {:unique, ^two, [_], _}} = commit(one, writes)
        assert Engine.dirty_all_keys(one) == []
        assert length(Engine.dirty_all_keys(two)) == 1
        assert_clean([one, two])
      end
    end

    test "nested transactions count as a whole, a level that is given up does not" do
      table = table(unique: [:value])
      fill(table, [{1, :a}])

      assert {:aborted, {:unique, _, _, :a}} =
               Engine.transaction(fn -> Engine.transaction(fn -> write(table, {2, :a}) end) end)

      assert {:atomic, _} =
               Engine.transaction(fn ->
                 Engine.transaction(fn ->
                   write(table, {2, :a})
                   Engine.abort(:no)
                 end)

                 write(table, {3, :c})
               end)

      assert Engine.dirty_all_keys(table) |> Enum.sort() == [1, 3]
      assert_clean(table)
    end

    test "a table that violates it does not get it" do
      for type <- [:set, :ordered_set, :bag] do
        table = table(type: type)
        fill(table, [{1, :a, 1}, {2, :b, 1}, {3, :a, 2}])
        info = Engine.table_info(table, :all) |> Keyword.delete(:memory)

        assert {:aborted, {:unique, ^table, [:value], :a}} =
                 Engine.add_table_index(table, :value, unique: true)

        assert info == Engine.table_info(table, :all) |> Keyword.delete(:memory)
        assert Engine.table_info(table, :unique) == []
        assert {:atomic, :ok} = commit(table, [email(4, :b, 1)])
        assert {:atomic, :ok} = commit(table, [&Engine.delete(&1, 4, :write)])
        assert {:atomic, :ok} = Engine.add_table_index(table, [:value, :group], unique: true)
        assert Engine.table_info(table, :unique) == [[3, 4]]

        assert {:aborted, {:unique, ^table, [:value, :group], {:a, 2}}} =
                 commit(table, [email(5, :a, 2)])

        assert {:atomic, :ok} = Engine.del_table_index(table, [:value, :group])
        assert {:atomic, :ok} = commit(table, [email(5, :a, 2)])
        assert_clean(table)
      end
    end

    test "searches use it, bang functions raise" do
      table = table(unique: [:value])
      fill(table, for(id <- 1..100, do: {id, id}))
      spec = [{{table, :_, 7, :_}, [], [:"$_"]}]
      assert {{:index, 3}, _, :record, {:exact, 1}, _, _} = Native.select_plan(table, spec)
      assert Engine.table_info(table, :index) == [3]
      error = Remnesia.Error.normalize({:unique, table, [:value, :group], {1, 2}})
      assert %Remnesia.AlreadyExistsError{message: message} = error
      assert message == "#{inspect(table)} has a record with value, group {1, 2} already"
    end

    test "subscribers are told of what is there only" do
      table = table(unique: [:value])
      fill(table, [{1, :a}, {2, :b}])
      {:ok, _} = :remnesia.subscribe({:table, table})

      assert {:aborted, {:unique, ^table, [:value], :b}} =
               commit(table, [email(3, :c), email(4, :b)])

      assert {:aborted, {:unique, table, [:value], :b}} ==
               catch_exit(Engine.dirty_write(table, {table, 4, :b, nil}))

      refute_received {:mnesia_table_event, _}
      assert {:atomic, :ok} = commit(table, [email(1, :b), email(2, :a)])
      assert_received {:mnesia_table_event, {:write, {_, 1, :b, nil}, _}}
      assert_received {:mnesia_table_event, {:write, {_, 2, :a, nil}, _}}
      :ok = Engine.dirty_write(table, {table, 3, :c, nil})
      assert {:aborted, {:unique, ^table, [:value], :c}} = commit(table, [email(4, :c)])
      {:ok, _} = :remnesia.unsubscribe({:table, table})
      assert_clean(table)
    end

    test "a transformation that would violate it changes nothing" do
      table = table(unique: [:value], index: [[:group, :value]])
      fill(table, [{1, :a, 1}, {2, :b, 2}])
      same = fn {name, id, _value, group} -> {name, id, :same, group} end
      attributes = [:id, :value, :group]
      refused = :remnesia.transform_table(table, same, attributes)
      assert {:aborted, {:unique, ^table, [:value], :same}} = refused
      assert Engine.dirty_read(table, 2) == [{table, 2, :b, 2}]
      other = fn {name, id, value, group} -> {name, id, {value, id}, group} end
      assert {:atomic, :ok} = :remnesia.transform_table(table, other, attributes)
      assert {:aborted, {:unique, ^table, [:value], {:a, 1}}} = commit(table, [email(3, {:a, 1})])
      assert Engine.table_info(table, :index) == [3, [4, 3]]
      assert Engine.table_info(table, :unique) == [3]
      assert_clean(table)
    end

    test "index and unique may name the same attribute" do
      table = table(index: [:value, :group], unique: [:value])
      assert Engine.table_info(table, :index) == [3, 4]
      assert Engine.table_info(table, :unique) == [3]
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
