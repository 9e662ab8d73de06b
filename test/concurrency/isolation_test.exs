defmodule Remnesia.IsolationTest do
  use ExUnit.Case, async: false

  import Stress

  alias Remnesia.Engine

  # The anomalies by name, each provoked in lock step: none of them happens.

  for type <- [:set, :ordered_set], index <- [[], [:group]] do
    @tag options: [type: type, index: index]
    test "lost update: #{type} #{inspect(index)}", %{options: options} do
      table = table(options)
      fill(table, [{:x, 0, :g}])
      barrier = barrier(2)

      both(fn ->
        atomic(fn ->
          x = value(table, :x)
          meet(barrier)
          write(table, {:x, x + 1, :g})
        end)
      end)

      assert atomic(fn -> value(table, :x) end) == 2
      assert_clean(table)
    end

    @tag options: [type: type, index: index]
    test "write skew: #{type} #{inspect(index)}", %{options: options} do
      table = table(options)
      fill(table, [{1, 60, :g}, {2, 60, :g}])
      barrier = barrier(2)

      [1, 2]
      |> Enum.map(fn mine ->
        Task.async(fn ->
          atomic(fn ->
            total = value(table, 1) + value(table, 2)
            meet(barrier)
            if total >= 100, do: write(table, {mine, value(table, mine) - 100, :g})
          end)
        end)
      end)
      |> Task.await_many()

      assert atomic(fn -> value(table, 1) + value(table, 2) end) == 20
      assert_clean(table)
    end
  end

  # Each look is taken twice in one transaction; in between, another process tries to change the answer.
  looks = [
    read: quote(do: &Engine.read(&1, 5, :read)),
    absent: quote(do: &Engine.read(&1, 500, :read)),
    select:
      quote(do: &Engine.select(&1, [{{&1, :_, :"$1", :_}, [{:>, :"$1", 5}], [:"$_"]}], :read)),
    guard_key: quote(do: &where(&1, [{:==, :"$1", 5.0}])),
    guard_absent: quote(do: &where(&1, [{:orelse, {:==, :"$1", 500}, {:==, :"$1", 7}}])),
    guard_keys: quote(do: &where(&1, [{:>, :"$1", 3}, {:<, :"$1", 1_000}])),
    guard_value: quote(do: &where(&1, [{:"=:=", :"$3", :a}])),
    guard_values: quote(do: &where(&1, [{:>, :"$3", :aa}])),
    guard_union: quote(do: &where(&1, [{:orelse, {:==, :"$3", :nobody}, {:==, :"$1", 500}}])),
    match: quote(do: &Engine.match_object(&1, {&1, :_, :_, :a}, :read)),
    index: quote(do: &Engine.index_read(&1, :a, 4)),
    no_value: quote(do: &Engine.index_read(&1, :nobody, 4)),
    all_keys: quote(do: &Engine.all_keys(&1)),
    first: quote(do: &Engine.first(&1)),
    last: quote(do: &Engine.last(&1))
  ]

  changes = [
    insert: quote(do: &write(&1, {500, 50, :a})),
    first: quote(do: &write(&1, {-1, 50, :nobody})),
    move: quote(do: &write(&1, {5, 50, :nobody})),
    # The indexed value stays as it is.
    update: quote(do: &write(&1, {4, 50, :a})),
    delete: quote(do: &Engine.delete(&1, 5, :write))
  ]

  for type <- [:set, :ordered_set, :bag],
      {look_name, look} <- looks,
      {change_name, change} <- changes do
    test "no phantom, no dirty read: #{type}, #{look_name} against #{change_name}" do
      table = table(type: unquote(type), index: [:group])
      fill(table, for(id <- 1..10, do: {id, id, Enum.at([:a, :b], rem(id, 2))}))
      look = unquote(look)
      change = unquote(change)
      me = self()
      before = atomic(fn -> look.(table) end)

      # A writer that has written and not committed, and in the end gives up.
      writer =
        spawn_link(fn ->
          {:aborted, :never} =
            Engine.transaction(fn ->
              change.(table)
              send(me, :written)
              receive(do: (:abort -> Engine.abort(:never)))
            end)

          send(me, :aborted)
        end)

      assert_receive :written
      reader = Task.async(fn -> atomic(fn -> look.(table) end) end)
      Process.sleep(1)
      send(writer, :abort)
      assert_receive :aborted
      assert Task.await(reader) == before

      # A writer that comes between two looks.
      again =
        atomic(fn ->
          assert look.(table) == before

          if Process.put(:begun, true) == nil do
            spawn_link(fn -> send(me, {:changed, atomic(fn -> change.(table) end)}) end)
            Process.sleep(2)
          end

          look.(table)
        end)

      assert again == before
      assert_receive {:changed, :ok}
      assert_clean(table)
    end
  end

  # The same over indexes on several attributes, with and without an index on the first alone.
  looks = [
    both: quote(do: &where(&1, [{:==, :"$3", :a}, {:==, :"$2", 4}])),
    absent: quote(do: &where(&1, [{:==, :"$3", :a}, {:==, :"$2", 50}])),
    first: quote(do: &where(&1, [{:==, :"$3", :a}])),
    range: quote(do: &where(&1, [{:==, :"$3", :a}, {:>, :"$2", 5}])),
    part: quote(do: &where(&1, [{:==, :"$3", :a}, {:>, :"$2", 5}, {:<, :"$2", 9}])),
    none: quote(do: &where(&1, [{:==, :"$3", :nobody}, {:>, :"$2", 5}])),
    union:
      quote(do: &where(&1, [{:==, :"$3", :a}, {:orelse, {:==, :"$2", 50}, {:==, :"$2", 8}}])),
    index_read: quote(do: &Engine.index_read(&1, :a, 4))
  ]

  changes = [
    insert: quote(do: &write(&1, {500, 50, :a})),
    inner: quote(do: &write(&1, {500, 7, :a})),
    into: quote(do: &write(&1, {4, 50, :a})),
    away: quote(do: &write(&1, {6, 1, :a})),
    move: quote(do: &write(&1, {4, 50, :nobody})),
    key: quote(do: &write(&1, {4.5, 4, :a})),
    delete: quote(do: &Engine.delete(&1, 8, :write))
  ]

  for type <- [:set, :ordered_set, :bag],
      {options, number} <-
        Enum.with_index([
          [index: [[:group, :value]]],
          [index: [:group, [:group, :value]]],
          [unique: [[:group, :value, :id]]]
        ]),
      {look_name, look} <- looks,
      {change_name, change} <- changes do
    test "no phantom over several attributes: #{type} #{number}, #{look_name} against #{change_name}" do
      table = table([type: unquote(type)] ++ unquote(Macro.escape(options)))
      fill(table, for(id <- 1..10, do: {id, id, Enum.at([:a, :b], rem(id, 2))}))
      look = unquote(look)
      change = unquote(change)
      me = self()

      {before, again} =
        atomic(fn ->
          before = look.(table)

          if Process.put(:begun, true) == nil do
            spawn_link(fn -> send(me, {:changed, atomic(fn -> change.(table) end)}) end)
            Process.sleep(2)
          end

          {before, look.(table)}
        end)

      assert again == before
      assert_receive {:changed, :ok}
      assert_clean(table)
    end
  end

  # So many that the reader locks the table instead of each record.
  test "no phantom, no lost change among the 1,000 records of an index value" do
    table = table(index: [:group])
    fill(table, for(id <- 1..1_000, do: {id, id, :a}))
    me = self()

    for change <- [&write(&1, {7, 0, :a}), &write(&1, {7, 0, :b}), &write(&1, {2_000, 0, :a})] do
      Process.delete(:begun)

      {before, again} =
        atomic(fn ->
          before = Engine.index_read(table, :a, 4)

          if Process.put(:begun, true) == nil do
            spawn_link(fn -> send(me, {:changed, atomic(fn -> change.(table) end)}) end)
            Process.sleep(2)
          end

          {before, Engine.index_read(table, :a, 4)}
        end)

      assert again == before
      assert_receive {:changed, :ok}
    end

    assert length(atomic(fn -> Engine.index_read(table, :a, 4) end)) == 1_000
    assert_clean(table)
  end

  test "dirty reads see what is committed" do
    table = table(index: [:group])
    fill(table, [{1, :old, :g}])

    atomic(fn ->
      write(table, {1, :new, :h})
      assert [{_, 1, :old, :g}] = Engine.dirty_read(table, 1)
      assert [:old] = Engine.dirty_select(table, [{{table, :_, :"$1", :_}, [], [:"$1"]}])
      assert Engine.index_read(table, :g, 4) == []
      assert [_] = Engine.index_read(table, :h, 4)
    end)

    assert [{_, 1, :new, :h}] = Engine.dirty_read(table, 1)
  end

  defp where(table, guards),
    do: Engine.select(table, [{{table, :"$1", :"$2", :"$3"}, guards, [:"$_"]}], :read)

  defp both(fun), do: Task.await_many([Task.async(fun), Task.async(fun)])
end
