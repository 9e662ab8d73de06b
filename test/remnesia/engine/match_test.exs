defmodule Remnesia.Engine.MatchTest do
  use ExUnit.Case

  # Patterns and specifications by every door of the engine, in and outside of transactions, answer what stock Mnesia answers, and refuse
  # what it refuses with its reasons.

  alias Remnesia.Engine

  @attributes [:id, :a, :b]
  @tables [match_set: :set, match_ordered: :ordered_set, match_bag: :bag]

  setup do
    for {table, type} <- @tables, create <- [&Engine.create_table/2, &:mnesia.create_table/2] do
      {:atomic, :ok} = create.(table, type: type, attributes: @attributes, index: [:a])
    end

    for {table, _type} <- @tables, id <- 1..20 do
      record = {table, rem(id, 12), rem(id, 4), {rem(id, 3), id}}
      Engine.dirty_write(table, record)
      :mnesia.dirty_write(record)
    end

    on_exit(fn ->
      for {table, _} <- @tables do
        Engine.delete_table(table)
        :mnesia.delete_table(table)
      end
    end)
  end

  defp both(ours, stock), do: {outcome(ours), outcome(stock)}

  defp outcome(fun) do
    case fun.() do
      list when is_list(list) -> Enum.sort(list)
      {:atomic, list} when is_list(list) -> Enum.sort(list)
      other -> other
    end
  catch
    :exit, reason -> {:exit, reason}
  end

  defp patterns(table) do
    [
      {table, :_, 1, :_},
      {table, :_, 9, :_},
      {table, 3, 3, :_},
      {table, 3, 1, :_},
      {table, :"$1", 1, :"$1"},
      {table, :_, 2, {:_, 6}},
      {table, 4, :_, :_},
      {table, :_, :"$2", :_},
      {table, :_, {:x, :_}, :_},
      {table, :_, :_, {1, :_}},
      {table, {:x, :_}, 1, :_},
      {table, :_, 1},
      {table, 1, 1, :_, :_},
      {:other, :_, 1, :_},
      {table, :_},
      {table},
      :pattern
    ]
  end

  test "match_object and index_match_object" do
    for {table, _type} <- @tables, pattern <- patterns(table) do
      {ours, stock} =
        both(fn -> Engine.dirty_match_object(table, pattern) end, fn ->
          :mnesia.dirty_match_object(table, pattern)
        end)

      assert {pattern, ours} == {pattern, stock}

      for kind <- [:read, :write, :bad] do
        {ours, stock} =
          both(
            fn -> Engine.transaction(fn -> Engine.match_object(table, pattern, kind) end) end,
            fn -> :mnesia.transaction(fn -> :mnesia.match_object(table, pattern, kind) end) end
          )

        assert {pattern, kind, ours} == {pattern, kind, stock}
      end

      for attribute <- [:a, 3, :b, 4, :id, 2, :nonsense, 9, "x"] do
        {ours, stock} =
          both(fn -> Engine.dirty_index_match_object(table, pattern, attribute) end, fn ->
            :mnesia.dirty_index_match_object(table, pattern, attribute)
          end)

        assert {:dirty, pattern, attribute, ours} == {:dirty, pattern, attribute, stock}

        for kind <- [:read, :write, :bad] do
          {ours, stock} =
            both(
              fn ->
                Engine.transaction(fn ->
                  Engine.write(table, {table, 99, 1, :new}, :write)
                  if table != :match_ordered, do: Engine.delete(table, 5, :write)
                  Engine.index_match_object(table, pattern, attribute, kind)
                end)
              end,
              fn ->
                :mnesia.transaction(fn ->
                  :mnesia.write(table, {table, 99, 1, :new}, :write)
                  if table != :match_ordered, do: :mnesia.delete(table, 5, :write)
                  :mnesia.index_match_object(table, pattern, attribute, kind)
                end)
              end
            )

          assert {pattern, attribute, kind, ours} == {pattern, attribute, kind, stock}
        end
      end
    end
  end

  test "an index of an ordered_set, after a delete in the same transaction" do
    # Stock merges what was written into what it found as if that were in the order of the keys.
    found = fn delete, match ->
      fn ->
        delete.(:match_ordered, 5, :write)
        match.(:match_ordered, {:match_ordered, :_, 1, :_}, :a, :read)
      end
    end

    {:atomic, ours} = Engine.transaction(found.(&Engine.delete/3, &Engine.index_match_object/4))

    {:atomic, stock} =
      :mnesia.transaction(found.(&:mnesia.delete/3, &:mnesia.index_match_object/4))

    assert Enum.map(ours, &elem(&1, 1)) == [1, 9]
    assert 5 in Enum.map(stock, &elem(&1, 1))
  end

  test "an index of an ordered_set, after a write in the same transaction" do
    found = fn read, write, match ->
      fn ->
        [record] = read.(:match_ordered, 5, :read)
        write.(:match_ordered, put_elem(record, 3, :new), :write)
        match.(:match_ordered, {:match_ordered, :_, 1, :_}, :a, :read)
      end
    end

    fives = fn {:atomic, records} -> Enum.count(records, &(elem(&1, 1) == 5)) end

    ours = found.(&Engine.read/3, &Engine.write/3, &Engine.index_match_object/4)
    stock = found.(&:mnesia.read/3, &:mnesia.write/3, &:mnesia.index_match_object/4)
    assert fives.(Engine.transaction(ours)) == 1
    assert fives.(:mnesia.transaction(stock)) == 2

    # `match_object` goes by the index as well.
    ours =
      found.(&Engine.read/3, &Engine.write/3, fn t, p, _a, k -> Engine.match_object(t, p, k) end)

    stock =
      found.(&:mnesia.read/3, &:mnesia.write/3, fn t, p, _a, k ->
        :mnesia.match_object(t, p, k)
      end)

    assert fives.(Engine.transaction(ours)) == 1
    assert fives.(:mnesia.transaction(stock)) == 2
  end

  test "outside of a transaction" do
    for call <- [
          fn -> Engine.match_object(:match_set, {:match_set, 1, 1, 1}, :read) end,
          fn -> Engine.index_match_object(:match_set, {:match_set, 1, 1, 1}, :a, :read) end,
          fn -> Engine.index_match_object(:match_set, :x, :a, :bad) end
        ],
        do: assert(outcome(call) == {:exit, {:aborted, :no_transaction}})
  end

  test "tables that are not there" do
    pattern = {:gone, :_, 1, :_}

    for {ours, stock} <- [
          {fn -> Engine.dirty_match_object(:gone, pattern) end,
           fn -> :mnesia.dirty_match_object(:gone, pattern) end},
          {fn -> Engine.transaction(fn -> Engine.match_object(:gone, pattern, :read) end) end,
           fn -> :mnesia.transaction(fn -> :mnesia.match_object(:gone, pattern, :read) end) end}
        ] do
      assert {:exit, {:aborted, {:no_exists, _}}} =
               with({:aborted, r} <- outcome(ours), do: {:exit, {:aborted, r}})

      assert {:exit, {:aborted, {:no_exists, _}}} =
               with({:aborted, r} <- outcome(stock), do: {:exit, {:aborted, r}})
    end
  end
end
