defmodule Bench.NoIndex do
  use Remnesia.Table, attributes: [:id, :a, :b, :c, :d]
end

defmodule Bench.FourIndexes do
  use Remnesia.Table, attributes: [:id, :a, :b, :c, :d], index: [:a, :b, :c, :d]
end

defmodule Bench.Composite do
  use Remnesia.Table, attributes: [:id, :a, :b, :c, :d], index: [[:a, :b]]
end

defmodule Bench.Unique do
  use Remnesia.Table, attributes: [:id, :a, :b, :c, :d], unique: [:a]
end

defmodule Bench.Few do
  use Remnesia.Table, attributes: [:id, :a, :b, :c, :d], index: [:a]
end

defmodule Bench.Indexes do
  # What indexes cost, and what one of three values does. Tables of their own, filled when a row first needs them. What an index costs is
  # the difference between tables that differ in it alone, measured in turn.

  alias Bench.{Composite, Few, FourIndexes, Measure, NoIndex, Unique}
  alias Remnesia.{Engine, Query, Table}

  @rounds 3
  @tables [NoIndex, FourIndexes, Composite, Unique, Few]

  @doc "`{name, contenders, targets, measure}`; the figures are nanoseconds."
  def rows(n) do
    both = [Bench.Contender.Remnesia, Bench.Contender.Mnesia]
    ours = [Bench.Contender.Remnesia]

    [
      {"an index, each write of 100 that moves it", both, [ns: 500],
       &cost(&1, n, FourIndexes, 4, :hundred, &2)},
      {"an index, a write alone that moves it", both, [ns: 500],
       &cost(&1, n, FourIndexes, 4, :one, &2)},
      {"an index, overwrite without transaction", both, [ns: 500],
       &cost(&1, n, FourIndexes, 4, :dirty, &2)},
      {"an index on two attributes, write of 100", ours, [ns: 1_000],
       &cost(&1, n, Composite, 1, :hundred, &2)},
      {"a unique index, write of 100", ours, [ns: 1_500], &cost(&1, n, Unique, 1, :hundred, &2)},
      {"3 values, write that moves the entry", both, [mnesia: 10], &few(&1, n, :move, &2)},
      {"3 values, delete and write again", both, [mnesia: 10], &few(&1, n, :delete, &2)},
      {"3 values, the first 10 of one", both, [mnesia: 4], &few(&1, n, :lookup, &2)},
      {"index added, for each record", both, [mnesia: 1], &added(&1, n, &2)}
    ]
  end

  # --- what one index costs ---

  defp cost(c, n, table, indexes, how, quick) do
    fill(c, NoIndex, n)
    fill(c, table, n)
    count = if quick, do: 2_000, else: if(c.name() == :mnesia, do: 10_000, else: 40_000)

    differences =
      for round <- 1..@rounds do
        [without, with] = for t <- [NoIndex, table], do: timed(c, t, n, how, count, round)
        (with - without) / indexes
      end

    max(Measure.median(differences), 0.0)
  end

  # Each value is changed: to one that few have, and that is unique where it must be.
  defp timed(c, table, n, how, count, round) do
    key = &(rem(&1 * 7919, n) + 1)
    # A rotation of the values by a multiple of the size keeps them apart.
    value = &(&1 + n * round)
    one = &put(c, table, key.(&1), value.(key.(&1)), how == :dirty)
    :erlang.garbage_collect()

    case how do
      :hundred ->
        chunk = fn i -> c.transaction(fn -> for j <- 1..100, do: one.(i * 100 + j) end) end
        Measure.time(chunk, div(count, 100)) / count

      :one ->
        Measure.time(fn i -> c.transaction(fn -> one.(i) end) end, count) / count

      :dirty ->
        Measure.time(one, count) / count
    end
  end

  # --- an index of three values ---

  defp few(c, n, how, quick) do
    fill(c, Few, n, &rem(&1, 3))
    key = &(rem(&1 * 7919, n) + 1)

    operation =
      case how do
        :move -> fn i -> put(c, Few, key.(i), rem(key.(i) + i, 3), false) end
        :delete -> fn i -> delete(c, Few, key.(i)) && put(c, Few, key.(i), rem(i, 3), false) end
        :lookup -> fn i -> 10 = length(first(c, Few, rem(i, 3), 10)) end
      end

    count = if quick, do: 200, else: if(c.name() == :mnesia, do: 2_000, else: 20_000)
    work = fn i -> {:ok, _} = ok(c.transaction(fn -> operation.(i) end)) end
    Measure.median(for _ <- 1..@rounds, do: Measure.time(work, count) / count)
  end

  defp ok({:atomic, value}), do: {:ok, value}
  defp ok(:ok), do: {:ok, :ok}
  defp ok(other), do: other

  # --- an index added ---

  defp added(c, n, _quick) do
    fill(c, NoIndex, n)
    ns = Measure.time(fn _ -> add(c, NoIndex) end, 1)
    remove(c, NoIndex)
    ns / n
  end

  # --- the contenders ---

  defp fill(c, table, n, first \\ & &1) do
    if table not in tables(c) do
      create(c, table)
      for i <- 1..n, do: put(c, table, i, first.(i), true)
    end
  end

  @doc "Gives the tables back."
  def teardown do
    for c <- [Bench.Contender.Remnesia, Bench.Contender.Mnesia],
        table <- @tables,
        table in tables(c),
        do: drop(c, table)
  end

  defp tables(c) do
    if c.name() == :mnesia,
      do: :mnesia.system_info(:tables),
      else: Engine.system_info(:tables)
  end

  defp create(c, table) do
    if c.name() == :mnesia do
      options = [attributes: table.__info__().attributes, record_name: table]
      {:atomic, :ok} = :mnesia.create_table(table, options ++ table.__info__().options.mnesia)
    else
      Table.create!(table)
    end
  end

  defp drop(c, table) do
    if c.name() == :mnesia,
      do: {:atomic, :ok} = :mnesia.delete_table(table),
      else: Table.delete!(table)
  end

  defp put(c, table, i, value, dirty?) do
    record = {table, i, value, value + 1, value + 2, value + 3}

    case {c.name(), dirty?} do
      {:mnesia, true} -> :mnesia.dirty_write(table, record)
      {:mnesia, false} -> :mnesia.write(table, record, :write)
      {_, true} -> Engine.dirty_write(table, record)
      {_, false} -> Engine.write(table, record, :write)
    end
  end

  defp delete(c, table, i) do
    if c.name() == :mnesia,
      do: :mnesia.delete(table, i, :write),
      else: Engine.delete(table, i, :write)
  end

  defp first(c, table, value, limit) do
    if c.name() == :mnesia do
      spec = [{{table, :_, value, :_, :_, :_}, [], [:"$_"]}]
      {records, _continuation} = :mnesia.select(table, spec, limit, :read)
      Enum.take(records, limit)
    else
      Query.select(table, {:==, :a, value}, limit: limit)
    end
  end

  defp add(c, table) do
    if c.name() == :mnesia,
      do: {:atomic, :ok} = :mnesia.add_table_index(table, :a),
      else: :ok = Table.add_index(table, :a)
  end

  defp remove(c, table) do
    if c.name() == :mnesia,
      do: {:atomic, :ok} = :mnesia.del_table_index(table, :a),
      else: :ok = Table.drop_index(table, :a)
  end
end
