defmodule Remnesia.Query.PlanTest do
  use ExUnit.Case

  # The plan that is chosen, what explain says of it, and what it does.

  import Stress, only: [fill: 2, table: 1, atomic: 1, write: 2]

  alias Remnesia.{Engine, Query}
  alias Remnesia.Query.Plan

  defmodule Order do
    use Remnesia.Table,
      attributes: [:id, :status, :customer, :total],
      index: [:status, :customer],
      type: :ordered_set
  end

  setup do
    Remnesia.Table.create!(Order)
    on_exit(fn -> Remnesia.Table.delete!(Order) end)

    Remnesia.transaction!(fn ->
      for n <- 1..2_000 do
        status = if rem(n, 2) == 0, do: :open, else: :closed
        Query.write(%Order{id: {div(n, 10), n}, status: status, customer: div(n, 5), total: n})
      end
    end)

    :ok
  end

  defp explain(guards, options \\ []), do: Query.explain(Order, guards, options)

  test "the plan goes by the number of records" do
    assert %Plan{plan: :key, rows: {:exact, 1}} = explain({:==, :id, {:const, {1, 10}}})
    assert %Plan{plan: :index, index: :customer} = explain({:==, :customer, 7})
    assert %Plan{plan: :scan} = explain({:==, :status, :open})

    assert %Plan{plan: :index, index: :customer, rows: {:exact, 5}} =
             plan = explain([{:==, :status, :open}, {:==, :customer, 7}])

    assert {{:index, :status}, {:exact, 1_000}} in plan.ways

    assert %Plan{plan: :index_range, index: :customer, rows: {:exact, 50}} =
             explain([{:>=, :customer, 10}, {:<, :customer, 20}])

    assert %Plan{plan: :scan, bounded: []} = explain({:>=, :customer, 10})
    assert %Plan{plan: :scan, bounded: [:total]} = explain({:==, :total, 10})
    assert %Plan{plan: :nothing, locks: :nothing} = explain([{:<, :total, 1}, {:>, :total, 1}])
    assert %Plan{plan: :key_range} = explain({:>, :id, {:const, {199}}})

    assert %Plan{plan: :union, rows: {:exact, 6}} =
             explain({:or, {:==, :customer, 7}, {:==, :id, {:const, {1, 10}}}})

    assert %Plan{plan: :index, rows: {:exact, 15}} =
             explain({:or, {:==, :customer, 7}, {:or, {:==, :customer, 8}, {:==, 9, :customer}}})
  end

  test "keys that are bound in part" do
    spec = [{{Order, {5, :"$1"}, :_, :_, :_}, [{:>, :"$1", 53}], [:"$1"]}]
    assert %Plan{plan: :key_range, rows: {:exact, 6}} = plan = Query.explain(Order, spec)
    assert to_string(plan) =~ "id = {5, x} with x > 53"

    assert Remnesia.transaction!(fn -> Query.select_raw(Order, spec, coerce: false) end) ==
             Enum.to_list(54..59)

    spec = [{{Order, {5, :_}, :_, :_, :_}, [], [:"$_"]}]
    assert %Plan{plan: :key_range, rows: {:exact, 10}} = plan = Query.explain(Order, spec)
    assert to_string(plan) =~ "id = {5, _}"
  end

  test "in a hash table only whole keys are looked up" do
    table = table(type: :set)
    fill(table, for(id <- 1..100, do: {id, id, id}))

    plan = fn guards ->
      Query.explain(table, [{{table, :"$1", :"$2", :"$3"}, guards, [:"$_"]}])
    end

    assert %Plan{plan: :key, rows: {:exact, 2}} = plan.([{:==, :"$1", 5}])
    assert %Plan{plan: :key, rows: {:exact, 1}} = plan.([{:"=:=", :"$1", 5}])
    assert %Plan{plan: :scan} = plan.([{:>, :"$1", 5}, {:<, :"$1", 7}])

    assert Engine.dirty_select(table, [{{table, :"$1", :_, :_}, [{:==, :"$1", 5.0}], [:"$1"]}]) ==
             [5]
  end

  test "the first few of a value that many records have: neither counted nor scanned" do
    for type <- [:set, :ordered_set, :bag] do
      table = table(type: type, index: [:value])
      fill(table, for(id <- 1..100_000, do: {id, rem(id, 3), id}))
      rare = [{{table, :_, 1, :"$1"}, [{:>, :"$1", 99_000}], [:"$1"]}]
      many = [{{table, :"$1", 1, :_}, [], [:"$1"]}]

      atomic(fn ->
        {some, continuation} = Engine.select(table, many, 10, :read)
        {more, _} = Engine.select(continuation)
        assert Enum.all?(some ++ more, &(rem(&1, 3) == 1))
        assert length(Enum.uniq(some ++ more)) >= 20
        # All of it, in chunks.
        assert length(chunks(Engine.select(table, many, 1_000, :read))) == 33_334
        assert length(chunks(Engine.select(table, rare, 7, :read))) == 334
      end)

      few = fn -> atomic(fn -> Engine.select(table, many, 10, :read) end) end
      all = fn -> atomic(fn -> Engine.select(table, many, :read) end) end
      assert median(few) * 20 < median(all)
    end
  end

  defp chunks({found, continuation}), do: found ++ chunks(Engine.select(continuation))
  defp chunks(:"$end_of_table"), do: []

  defp median(fun) do
    times = for _ <- 1..9, do: fun |> :timer.tc() |> elem(0)
    times |> Enum.sort() |> Enum.at(4)
  end

  test "large ranges are sampled in a set, and scanned in an ordered_set" do
    set = table(type: :set, index: [:value])
    ordered = table(type: :ordered_set, index: [:value])
    for t <- [set, ordered], do: fill(t, for(id <- 1..100_000, do: {id, id, id}))

    plan = fn t, n ->
      Query.explain(t, [{{t, :_, :"$1", :_}, [{:<, :"$1", n}], [:"$1"]}], analyze: true)
    end

    assert %Plan{plan: :index_range, rows: {:about, about}} = plan.(set, 20_000)
    assert about in 5_000..40_000
    assert %Plan{plan: :scan} = plan.(set, 90_000)
    assert %Plan{plan: :scan, visited: 100_000, matched: 19_999} = plan.(ordered, 20_000)
    assert %Plan{plan: :index_range, visited: 9_999, matched: 9_999} = plan.(ordered, 10_000)
    # In the order of the keys although found by values.
    fill(ordered, for(id <- 1..5_000, do: {id, 5_001 - id, id}))
    spec = [{{ordered, :"$2", :"$1", :_}, [{:<, :"$1", 4_001}], [:"$2"]}]
    assert Query.explain(ordered, spec).plan == :index_range
    assert Engine.dirty_select(ordered, spec) == Enum.to_list(1_001..5_000)
  end

  test "two indexes together, if each leads to many records" do
    for type <- [:set, :ordered_set, :bag] do
      table = table(type: type, index: [:value, :group])
      fill(table, for(id <- 1..20_000, do: {id, rem(id, 17), rem(id, 13)}))
      spec = fn v, g -> [{{table, :"$1", v, g}, [], [:"$1"]}] end
      expected = for id <- 1..20_000, rem(id, 17) == 5, rem(id, 13) == 7, do: id
      plan = Query.explain(table, spec.(5, 7), analyze: true)
      assert %Plan{plan: :both, visited: visited} = plan
      assert visited == length(expected)
      assert to_string(plan) =~ "value == 5 and group == 7"
      assert Enum.sort(Engine.dirty_select(table, spec.(5, 7))) == expected

      # With what was written in the transaction.
      atomic(fn ->
        [one, two, three | _] = expected
        write(table, {one, 0, 7})
        write(table, {two, 5, 7})
        Engine.delete(table, three, :write)
        write(table, {0, 5, 7})
        write(table, {13, 5, 7})
        found = Engine.select(table, spec.(5, 7), :read)
        # In a bag the new record stands beside the old one.
        gone = if type == :bag, do: [three], else: [one, three]
        wanted = Enum.sort([0, 13 | expected] -- gone)
        assert Enum.sort(found) == wanted
        if type == :ordered_set, do: assert(found == wanted)
      end)
    end
  end

  test "what it did" do
    assert %Plan{visited: 5, matched: 3, time: time} =
             explain([{:==, :status, :open}, {:==, :customer, 8}], analyze: true)

    assert is_integer(time)
    assert %Plan{visited: nil, matched: nil, time: nil} = explain({:==, :customer, 8})

    # Within a transaction with what was written there.
    Remnesia.transaction!(fn ->
      Query.write(%Order{id: :new, customer: 8})
      assert %Plan{visited: 6, matched: 6} = explain({:==, :customer, 8}, analyze: true)
      assert %Plan{matched: 1} = explain({:==, :id, :new}, analyze: true)
    end)
  end

  test "as text" do
    assert inspect(explain({:==, :customer, 8})) ==
             """
             #Remnesia.Query.Plan<
             Remnesia.Query.PlanTest.Order: index on customer
               bounds      customer == 8
               looks at    5 of 2,000 records
               locks       the value and the records that have it
             >\
             """

    assert to_string(explain([{:==, :status, :open}, {:<, :customer, 8}, {:>, :total, 1}])) ==
             """
             Remnesia.Query.PlanTest.Order: index range on customer
               bounds      customer < 8
               looks at    39 of 2,000 records
               locks       the table
               instead of  index on status (1,000)\
             """

    guards = Enum.reduce(1..10, {:==, :customer, 0}, &{:or, {:==, :customer, &1}, &2})
    assert to_string(explain(guards)) =~ "customer == 3 or 7 more"
    assert to_string(explain([{:<, :total, 1}, {:>, :total, 1}])) =~ "contradict"
    assert to_string(explain([])) =~ "no condition bounds the key or an index"

    assert to_string(explain({:==, :customer, 1}, analyze: true)) =~
             ~r/did         looked at 5, found 5, \d+\.\d\d ms/
  end

  test "what is refused" do
    assert catch_exit(Query.explain(:no_table, [{:_, [], [:"$_"]}])) ==
             {:aborted, {:no_exists, :no_table}}

    assert_raise ArgumentError, "not a match specification: Variable $9 is unbound.", fn ->
      Query.explain(Order, [{:_, [], [:"$9"]}])
    end

    assert_raise ArgumentError, ~r/Function foo\/1/, fn -> explain({:not, {:foo, :id}}) end
    assert_raise FunctionClauseError, fn -> Query.test({1, 2}, [{:_, [], [:"$_"]}]) end
  end

  test "a spec on one record gives what ets:test_ms gives" do
    :rand.seed(:exsss, {1, 2, 3})

    for _ <- 1..3_000 do
      record = Specs.record(:t)
      spec = Specs.spec(:t)
      assert {spec, Query.test(record, spec)} == {spec, :ets.test_ms(record, spec)}
    end

    for bad <- [[{:_, [], []}], [{:_, [{:foo}], [1]}], [:x], [{:_, [], [{:"$1"}]}]] do
      assert {:error, reason} = Query.test({:t, 1}, bad)
      assert {:error, [_ | _]} = :ets.test_ms({:t, 1}, bad)
      assert is_binary(reason)
    end

    me = self()
    assert Query.test({:t, 1}, [{:_, [], [{{{:self}, {:node}}}]}]) == {:ok, {me, node()}}
  end

  test "limits and continuations go through every plan" do
    Remnesia.transaction!(fn ->
      Query.write(%Order{id: {0, 0}, customer: 3, status: :open, total: 0})

      for guards <- [
            {:<, :id, {:const, {3, 0}}},
            {:or, {:==, :customer, 3}, {:==, :total, 50}},
            [{:>, :customer, 2}, {:<, :customer, 6}],
            {:or, {:==, :customer, 3}, {:==, :id, {:const, {100, 1005}}}},
            {:==, :customer, 3}
          ] do
        all = Query.select(Order, guards)
        assert Enum.sort_by(all, & &1.id) == all
        assert Enum.to_list(Query.stream(Order, guards, limit: 3)) == all
      end
    end)
  end

  test "a record that is rewritten between chunks of a search by index comes once" do
    table = table(type: :set, index: [:group])
    fill(table, for(id <- 1..50, do: {id, id, :a}))
    spec = [{{table, :"$1", :_, :a}, [], [:"$1"]}]

    atomic(fn ->
      {first, continuation} = Engine.select(table, spec, 10, :read)
      for id <- first, do: write(table, {id, 0, :a})
      rest = rest(Engine.select(continuation))
      assert Enum.sort(first ++ rest) == Enum.to_list(1..50)
    end)
  end

  defp rest(:"$end_of_table"), do: []
  defp rest({found, continuation}), do: found ++ rest(Engine.select(continuation))
end
