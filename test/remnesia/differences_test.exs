defmodule Remnesia.DifferencesTest do
  # Where stock Mnesia loses a record and Remnesia does not: both sides, so that this is seen when stock changes. One test
  # for each row of guides/differences.md that no other test shows.

  use ExUnit.Case, async: false

  defmodule Reading do
    use Remnesia.Table, attributes: [:id, :place], index: [:place]
  end

  @records [{Reading, 1, :cellar}, {Reading, 1.0, :cellar}]

  test "keys 1 and 1.0 with one index value" do
    assert length(stock()) == 1
    assert Enum.sort(remnesia()) == @records
  end

  # The cases below are left out of the oracle (test/oracle_test.exs); each runs the same steps on both sides.

  alias Oracle.Tables
  alias Remnesia.{Query, Reference}

  defp both(table, steps) do
    Remnesia.Table.create!(table)
    :ok = Reference.create(table)

    on_exit(fn ->
      Remnesia.Table.delete(table)
      Reference.delete_table(table)
    end)

    {Remnesia.transaction!(fn -> steps.(Query, Query) end),
     Reference.transaction!(fn -> steps.(Reference, :mnesia) end)}
  end

  test "1.0 written over 1 in an ordered_set and read in the same transaction" do
    {ours, stock} =
      both(Tables.Ordered, fn query, _keys ->
        query.write(%Tables.Ordered{id: 1, a: :first})
        query.write(%Tables.Ordered{id: 1.0, a: :second})
        query.read(Tables.Ordered, 1)
      end)

    assert ours.a == :second
    assert stock.a == :first
  end

  test "a limit after writes in the same transaction" do
    {ours, stock} =
      both(Tables.Set, fn query, _keys ->
        for id <- 1..10, do: query.write(%Tables.Set{id: id})
        length(query.select(Tables.Set, [], limit: 2))
      end)

    assert ours == 2
    assert stock > 2
  end

  test "0.0 deleted and 0 written in one transaction" do
    {ours, stock} =
      both(Tables.Set, fn query, _keys ->
        query.delete(Tables.Set, 0.0)
        query.write(%Tables.Set{id: 0})
        query.select_raw(Tables.Set, [{{Tables.Set, :"$1", :_, :_}, [], [:"$1"]}], coerce: false)
      end)

    assert ours == [0]
    # What stock answers varies from run to run.
    assert stock in [[], [0]]
  end

  test "keys walked through a set that the transaction has written to" do
    for table <- [Tables.Set, Tables.Bag], do: Remnesia.Table.create!(table)
    on_exit(fn -> for t <- [Tables.Set, Tables.Bag], do: Remnesia.Table.delete(t) end)
    :ok = Reference.create(Tables.Set)
    on_exit(fn -> Reference.delete_table(Tables.Set) end)

    # Stock loses keys for some sets of keys only, which depends on its hash; one of these shows it.
    losses =
      for n <- 2..30 do
        for {transaction, write, walk} <- [
              {&Remnesia.transaction!/1, &Query.write/1, Query},
              {&Reference.transaction!/1, &Reference.write/1, :mnesia}
            ] do
          transaction.(fn -> for i <- 1..div(n, 2), do: write.(%Tables.Set{id: i}) end)

          transaction.(fn ->
            for i <- 1..n, do: write.(%Tables.Set{id: i})
            n - length(Enum.uniq(walked(walk, Tables.Set)))
          end)
        end
      end

    assert Enum.all?(losses, fn [ours, _stock] -> ours == 0 end)
    assert Enum.any?(losses, fn [_ours, stock] -> stock > 0 end)
  end

  defp walked(module, table) do
    Stream.iterate(module.first(table), &module.next(table, &1))
    |> Enum.take_while(&(&1 != :"$end_of_table"))
  end

  defp stock do
    {:atomic, :ok} = :mnesia.create_table(Reading, attributes: [:id, :place], index: [:place])
    on_exit(fn -> :mnesia.delete_table(Reading) end)

    {:atomic, :ok} = :mnesia.transaction(fn -> Enum.each(@records, &:mnesia.write/1) end)
    {:atomic, found} = :mnesia.transaction(fn -> :mnesia.index_read(Reading, :cellar, :place) end)
    found
  end

  defp remnesia do
    Remnesia.Table.create!(Reading)
    on_exit(fn -> Remnesia.Table.delete(Reading) end)

    Remnesia.transaction!(fn ->
      for {Reading, id, place} <- @records,
          do: Remnesia.Query.write(%Reading{id: id, place: place})
    end)

    # A match with the indexed attribute bound goes by the index.
    Remnesia.transaction!(fn ->
      Reading |> Remnesia.Query.match({:_, :cellar}) |> Enum.map(&Remnesia.Query.Data.dump/1)
    end)
  end

  test "an ordered_set's keys of both number types in one spec: ETS misses a record" do
    spec = fn table -> for key <- [{1, :b}, {1.0, :_}], do: {{table, key, :_}, [], [:"$_"]} end
    ets = :ets.new(:ordered, [:ordered_set, keypos: 2])
    :ets.insert(ets, {:both_numbers, {1.0, :a}, 1})
    assert :ets.select(ets, spec.(:both_numbers)) == []
    assert :ets.select(ets, Enum.reverse(spec.(:both_numbers))) == [{:both_numbers, {1.0, :a}, 1}]

    {:atomic, :ok} =
      Remnesia.Engine.create_table(:both_numbers, type: :ordered_set, attributes: [:key, :value])

    on_exit(fn -> Remnesia.Engine.delete_table(:both_numbers) end)
    Remnesia.Engine.dirty_write(:both_numbers, {:both_numbers, {1.0, :a}, 1})

    assert Remnesia.Engine.dirty_select(:both_numbers, spec.(:both_numbers)) == [
             {:both_numbers, {1.0, :a}, 1}
           ]
  end

  test "the last key of an ordered_set, deleted with a greater one written: stock finds none" do
    program = fn mnesia, write, delete ->
      mnesia.transaction(fn ->
        write.({:last_key, 1, 1})
        delete.(0)
        {mnesia.first(:last_key), mnesia.last(:last_key)}
      end)
    end

    options = [type: :ordered_set, attributes: [:key, :value]]

    for mnesia <- [:mnesia, Remnesia.Engine] do
      {:atomic, :ok} = mnesia.create_table(:last_key, options)
      on_exit(fn -> mnesia.delete_table(:last_key) end)
      mnesia.dirty_write(:last_key, {:last_key, 0, 1})
    end

    delete = fn key -> :mnesia.delete(:last_key, key, :write) end
    assert program.(:mnesia, &:mnesia.write/1, delete) == {:atomic, {1, :"$end_of_table"}}

    write = fn record -> Remnesia.Engine.write(:last_key, record, :write) end
    delete = fn key -> Remnesia.Engine.delete(:last_key, key, :write) end
    assert program.(Remnesia.Engine, write, delete) == {:atomic, {1, 1}}
  end
end
