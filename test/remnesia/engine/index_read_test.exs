defmodule Remnesia.IndexReadTest do
  use ExUnit.Case

  # A few rows of one indexed value are answered in one go, more of them in slices: on both sides of each bound the answer is what a look at
  # every record finds, in every context.

  alias Remnesia.{Engine, Native}

  # Around 32 keys, and far beyond.
  @keys [0, 1, 2, 31, 32, 33, 300]

  for type <- [:set, :ordered_set, :bag] do
    test "#{type}: few and many rows of a value" do
      table = table(unquote(type))

      for number <- @keys do
        records = fill(table, number, "x")
        everywhere(table, records)
      end
    end

    test "#{type}: small and large rows" do
      table = table(unquote(type))
      # A few are decoded under the latch, up to some kilobytes in all.
      for size <- [100, 2_000, 9_000, 40_000, 90_000] do
        everywhere(table, fill(table, 5, String.duplicate("x", size)))
      end
    end
  end

  test "several rows of a key, and keys that come to the value and leave it" do
    table = table(:bag)
    records = for id <- 1..5, n <- 1..4, do: {table, id, rem(n, 2), n}
    Enum.each(records, &Engine.dirty_write(table, &1))
    everywhere(table, records)

    # What only the write set has, or has no longer, is seen by who wrote it alone.
    {:atomic, seen} =
      Engine.transaction(fn ->
        before = Engine.index_read(table, 1, :value)
        Engine.write(table, {table, 9, 1, :new}, :write)
        Engine.delete(table, 1, :write)
        {before, Engine.index_read(table, 1, :value)}
      end)

    {before, now} = seen
    ones = Enum.filter(records, &(elem(&1, 2) == 1))
    assert Enum.sort(before) == Enum.sort(ones)
    rest = Enum.reject(ones, &(elem(&1, 1) == 1)) ++ [{table, 9, 1, :new}]
    assert Enum.sort(now) == Enum.sort(rest)
  end

  test "numbers that are equal are not the same value" do
    table = table(:set)

    for {id, value} <- [{1, 1}, {2, 1.0}, {3, 1}],
        do: Engine.dirty_write(table, {table, id, value, 0})

    ids = fn value -> table |> Engine.dirty_index_read(value, 3) |> Enum.map(&elem(&1, 1)) end
    assert {ids.(1), ids.(1.0), ids.(2)} == {[1, 3], [2], []}
  end

  test "what is wrong, and in which order it is said" do
    table = table(:set)

    wrong = [
      [table, 1, :other],
      [table, 1, :id],
      [table, 1, 1],
      [table, 1, 2],
      [table, 1, 9],
      [table, 1, :nothing]
    ]

    wrong =
      wrong ++
        [[table, :_, :value], [table, {:a, :"$1"}, 3], [:no_table, 1, :value], [:no_table, 1, 3]]

    wrong = wrong ++ [["x", 1, 3], [:schema, 1, 3], [table, 1, {:value}], [table, 1, "x"]]

    for arguments <- wrong do
      stock = [translate(hd(arguments)) | tl(arguments)]

      for {ours, theirs} <- [
            {inside(Engine, arguments), inside(:mnesia, stock)},
            {outside(:index_read, Engine, arguments), outside(:index_read, :mnesia, stock)},
            {outside(:dirty_index_read, Engine, arguments),
             outside(:dirty_index_read, :mnesia, stock)}
          ],
          do: assert({arguments, ours} == {arguments, named(theirs, table)})
    end
  end

  # --- stock beside it ---

  defp translate(:no_table), do: :no_table
  defp translate(name) when name in [:schema, "x"], do: name
  defp translate(_table), do: :index_read_stock

  defp inside(door, arguments),
    do: door.transaction(fn -> apply(door, :index_read, arguments) end)

  defp outside(function, door, arguments) do
    {:value, apply(door, function, arguments)}
  catch
    :exit, reason -> {:exit, reason}
  end

  defp named(:index_read_stock, table), do: table
  defp named([head | tail], table), do: [named(head, table) | named(tail, table)]

  defp named(tuple, table) when is_tuple(tuple),
    do: tuple |> Tuple.to_list() |> named(table) |> List.to_tuple()

  defp named(other, _table), do: other

  # --- tables ---

  defp table(type) do
    table = :"index_read_#{type}_#{System.unique_integer([:positive])}"
    options = [type: type, attributes: [:id, :value, :other], index: [:value]]
    {:atomic, :ok} = Engine.create_table(table, options)
    :ok = :mnesia.start()
    :mnesia.create_table(:index_read_stock, [{:type, :set} | Keyword.delete(options, :type)])

    on_exit(fn ->
      {:atomic, :ok} = Engine.delete_table(table)
      :mnesia.delete_table(:index_read_stock)
    end)

    table
  end

  # So many records of one value among others.
  defp fill(table, number, content) do
    {:atomic, :ok} = Engine.clear_table(table)

    records =
      for id <- 1..(number + 3)//1, do: {table, id, if(id <= number, do: 1, else: 2), content}

    Enum.each(records, &Engine.dirty_write(table, &1))
    records
  end

  defp everywhere(table, records) do
    found = fn read -> Enum.sort(read.(table, 1, :value)) end
    wanted = records |> Enum.filter(&(elem(&1, 2) == 1)) |> Enum.sort()
    assert found.(&Engine.dirty_index_read/3) == wanted

    {:atomic, {first, again, inner}} =
      Engine.transaction(fn ->
        inner = fn -> Engine.transaction(fn -> found.(&Engine.index_read/3) end) end
        {found.(&Engine.index_read/3), found.(&Engine.index_read/3), inner.()}
      end)

    assert {first, again, inner} == {wanted, wanted, {:atomic, wanted}}

    # With the whole table locked, and with a write of its own.
    new = {table, 1_000, 1, :new}

    {:atomic, {locked, with_new}} =
      Engine.transaction(fn ->
        Engine.lock_table(table, :read)
        locked = found.(&Engine.index_read/3)
        Engine.write(table, new, :write)
        with_new = found.(&Engine.index_read/3)
        Engine.delete(table, 1_000, :write)
        {locked, with_new}
      end)

    assert {locked, with_new} == {wanted, Enum.sort([new | wanted])}
    assert Native.table_check(table) == :ok
  end
end
