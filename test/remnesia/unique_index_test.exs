defmodule Remnesia.UniqueIndexTest do
  use ExUnit.Case

  # No two keys have one value: in transactions, outside of them, and what is allowed all the same.

  import Stress, only: [table: 1, fill: 2, write: 2, assert_clean: 1]

  alias Remnesia.{Engine, Native}

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
