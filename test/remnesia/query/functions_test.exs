defmodule Remnesia.Query.FunctionsTest do
  use ExUnit.Case

  # What the query functions answer is what Elixir makes of all records: in random tables of every type, committed and in the midst of
  # a transaction that has written. REMNESIA_SEED=n repeats a run.

  import Remnesia.Query, only: [where: 2]

  alias Remnesia.{Query, Table}

  defmodule Hash do
    use Remnesia.Table, type: :set, attributes: [:id, :a, :b], index: [:a]
  end

  defmodule Ordered do
    use Remnesia.Table, type: :ordered_set, attributes: [:id, :a, :b], index: [:a]
  end

  defmodule Bag do
    use Remnesia.Table, type: :bag, attributes: [:id, :a, :b], index: [:a]
  end

  defmodule Copies do
    use Remnesia.Table, type: :duplicate_bag, attributes: [:id, :a, :b], index: [:a]
  end

  @tables [Hash, Ordered, Bag, Copies]

  setup do
    Enum.each(@tables, &Table.create!/1)
    on_exit(fn -> Enum.each(@tables, &Table.delete!/1) end)
  end

  defp run!(fun), do: Remnesia.transaction!(fun)

  # Few values, so that some are equal; among them numbers of both types and strings with common beginnings.
  @values [0, 1, 2, 3, 4, 5, 1.0, 2.5, -1, :a, :b, nil, "", "a", "al", "alb", <<255>>, <<255, 1>>] ++
            ["am", {1, :a}, [1], %{a: 1}, <<1::3>>, 123_456_789_012_345_678_901]

  defp value, do: Enum.random(@values)
  defp key, do: Enum.random([:rand.uniform(12), value()])

  defp record(table) do
    key = key()
    struct!(table, id: if(key == nil, do: :none, else: key), a: value(), b: value())
  end

  defp change(table) do
    case :rand.uniform(5) do
      1 -> Query.delete(table, key())
      2 -> for one <- Enum.take_random(Query.all(table), 1), do: Query.delete_record(one)
      _ -> Query.write(record(table))
    end
  end

  # A condition as guards, and as Elixir.
  defp condition do
    {x, y} = {value(), value()}
    some = Enum.take_random(@values, 3)
    prefix = Enum.random(["", "a", "al", <<255>>, "b"])

    Enum.random([
      {[], fn _ -> true end},
      {{:==, :a, {:const, x}}, &(&1.a == x)},
      {{:===, :b, {:const, x}}, &(&1.b === x)},
      {{:<, :a, {:const, x}}, &(&1.a < x)},
      {[{:>=, :id, {:const, x}}, {:<, :id, {:const, y}}], &(&1.id >= x and &1.id < y)},
      {{:in, :id, some}, &(&1.id in some)},
      {{:in, :a, some}, &(&1.a in some)},
      {{:in, :b, 1..3}, &(&1.b in 1..3)},
      {{:in, :id, 2..9}, &(&1.id in 2..9)},
      {{:in, :id, MapSet.new(1..12)}, &(is_integer(&1.id) and &1.id in 1..12)},
      {{:in, :a, []}, fn _ -> false end},
      {{:not, {:in, :b, some}}, &(&1.b not in some)},
      {{:prefix, :a, prefix}, &(is_binary(&1.a) and String.starts_with?(&1.a, prefix))},
      {{:prefix, :id, prefix}, &(is_binary(&1.id) and String.starts_with?(&1.id, prefix))},
      {{:prefix, :b, prefix}, &(is_binary(&1.b) and String.starts_with?(&1.b, prefix))},
      {{:is_nil, :a}, &is_nil(&1.a)},
      {{:or, {:==, :a, {:const, x}}, {:>, :id, {:const, y}}}, &(&1.a == x or &1.id > y)}
    ])
  end

  @orders [:a, {:desc, :a}, :b, {:asc, :id}, {:desc, :id}, [:a, :id], [desc: :a, desc: :id]] ++
            [[:b, {:desc, :a}], [{:desc, :b}, :id], [:id, :b], [], [desc: :a, asc: :id]]

  test "equal what Elixir makes of all records" do
    seed = String.to_integer(System.get_env("REMNESIA_SEED", "#{:os.system_time(:microsecond)}"))
    IO.puts("\nquery functions: REMNESIA_SEED=#{seed}")
    :rand.seed(:exsss, {seed, 5, 6})

    for _round <- 1..25, table <- @tables do
      Table.clear(table)
      run!(fn -> for _ <- 1..Enum.random([0, 3, 30, 90])//1, do: Query.write(record(table)) end)

      # What fails must fail outside of the transaction.
      {:error, {:transaction_aborted, outcomes}} =
        Remnesia.transaction(fn ->
          if :rand.uniform(3) > 1, do: for(_ <- 1..:rand.uniform(20), do: change(table))
          if :rand.uniform(3) == 1, do: run!(fn -> for(_ <- 1..5, do: change(table)) end)
          outcomes = for _ <- 1..25, do: read(table)
          changed = for _ <- 1..3, do: changed(table)

          # The values drawn must be those of the seed, whatever a restart does: there is none, and nothing is committed.
          Remnesia.Transaction.abort(List.flatten([outcomes, changed]))
        end)

      for {what, ours, expected} <- outcomes, do: assert({what, ours} == {what, expected})
    end
  end

  defp read(table) do
    all = Query.all(table)
    {guards, holds?} = condition()
    found = Enum.filter(all, holds?)
    {order, limit, offset} = {Enum.random(@orders), limit(), Enum.random([0, 0, 1, 3, 50])}
    attribute = Enum.random([:id, :a, :b])
    values = Enum.map(found, &Map.get(&1, attribute))
    about = {table, guards, order, limit, offset, attribute}

    [
      {{:count, about}, Query.count(table, guards), length(found)},
      {{:exists?, about}, Query.exists?(table, guards), found != []},
      {{:min, about}, Query.min(table, attribute, guards) == Enum.min(values, fn -> nil end),
       true},
      {{:max, about}, Query.max(table, attribute, guards) == Enum.max(values, fn -> nil end),
       true},
      {{:stream, about}, table |> Query.stream(guards, limit: 7) |> sorted(), sorted(found)},
      ordered(about, found)
    ]
  end

  defp limit, do: Enum.random([nil, nil, 1, 2, 10, 1000])

  # Equal places may be in any order: the places are compared, that the records are among those found, and each no more often than there.
  defp ordered({table, guards, order, limit, offset, _} = about, found) do
    ours = Query.select(table, guards, order_by: order, limit: limit, offset: offset)
    wanted = found |> Enum.sort(&before?(&1, &2, order)) |> Enum.drop(offset)
    wanted = if limit, do: Enum.take(wanted, limit), else: wanted
    order = if order == [] and table == Ordered, do: [:id], else: order
    {{:order, about, ours}, {places(ours, order), ours -- found}, {places(wanted, order), []}}
  end

  defp places(records, order),
    do: for(r <- records, do: for(by <- List.wrap(order), do: number(Map.get(r, attribute(by)))))

  # 1 and 1.0 are one place.
  defp number(n) when is_float(n) and trunc(n) == n, do: trunc(n)
  defp number(other), do: other

  defp attribute({_direction, attribute}), do: attribute
  defp attribute(attribute), do: attribute

  defp before?(one, other, order) do
    Enum.reduce_while(List.wrap(order), true, fn by, _ ->
      {x, y} = {Map.get(one, attribute(by)), Map.get(other, attribute(by))}

      cond do
        x == y -> {:cont, true}
        match?({:desc, _}, by) -> {:halt, x > y}
        true -> {:halt, x < y}
      end
    end)
  end

  defp changed(table) do
    all = Query.all(table)
    {guards, holds?} = condition()
    {found, others} = Enum.split_with(all, holds?)

    if :rand.uniform(2) == 1 do
      count = Query.delete_all(table, guards)

      {{:delete_all, table, guards}, {count, sorted(Query.all(table))},
       {length(found), sorted(others)}}
    else
      count =
        if :rand.uniform(2) == 1,
          do: Query.update_all(table, guards, b: :new),
          else: Query.update_all(table, guards, &%{&1 | b: :new})

      after_it = others ++ Enum.map(found, &%{&1 | b: :new})

      # Equal records of a bag are one; of a duplicate_bag all equal ones are replaced, each by a new one.
      after_it = if table == Bag, do: Enum.uniq(after_it), else: after_it

      {{:update_all, table, guards}, {count, sorted(Query.all(table))},
       {length(found), sorted(after_it)}}
    end
  end

  defp sorted(records), do: records |> Enum.map(&Query.Data.dump/1) |> Enum.sort()

  test "what is not asked well is refused" do
    for options <- [
          [order_by: :x],
          [order_by: {:up, :a}],
          [order_by: "a"],
          [order_by: :a, limit: 0],
          [offset: -1],
          [offset: :x]
        ] do
      assert_raise ArgumentError, fn -> run!(fn -> Query.select(Hash, [], options) end) end
    end

    assert_raise ArgumentError, ~r/:x is no attribute of .*Hash, they are :id, :a, :b/, fn ->
      run!(fn -> Query.min(Hash, :x) end)
    end

    run!(fn -> Query.write(%Hash{id: 1}) end)

    for changes <- [
          [x: 1],
          [id: 2],
          &%{&1 | id: 2},
          &%{&1 | id: 1.0},
          fn _ -> nil end,
          fn _ -> %Bag{id: 1} end
        ] do
      assert_raise ArgumentError, fn -> run!(fn -> Query.update_all(Hash, [], changes) end) end
    end

    assert_raise ArgumentError, fn -> run!(fn -> Query.select(Hash, {:prefix, :a, :x}) end) end
    assert run!(fn -> Query.all(Hash) end) == [%Hash{id: 1}]
  end

  test "outside of a transaction they exit" do
    for call <- [
          fn -> Query.select(Hash, [], order_by: :a) end,
          fn -> Query.count(Hash) end,
          fn -> Query.exists?(Hash) end,
          fn -> Query.min(Hash, :a) end,
          fn -> Query.max(where(Hash, a > 1), :a) end,
          fn -> Query.delete_all(Hash) end,
          fn -> Query.update_all(Hash, [], a: 1) end,
          fn -> Query.update_all(where(Hash, a > 1), a: 1) end
        ] do
      assert catch_exit(call.()) == {:aborted, :no_transaction}
      run!(fn -> :ok end)
      assert catch_exit(call.()) == {:aborted, :no_transaction}
    end
  end

  test "an unknown table, a read-only one, an unknown lock" do
    Table.delete!(Hash)

    for call <- [
          fn -> Query.count(Hash) end,
          fn -> Query.min(Hash, :a) end,
          fn -> Query.delete_all(Hash) end,
          fn -> Query.update_all(Hash, [], a: 1) end
        ] do
      assert Remnesia.transaction(call) == {:error, {:no_exists, Hash}}
    end

    Table.create!(Hash)
    run!(fn -> Query.write(%Hash{id: 1}) end)
    :ok = Remnesia.Native.table_access(Hash, :read_only)

    for call <- [fn -> Query.delete_all(Hash) end, fn -> Query.update_all(Hash, [], a: 1) end],
        do: assert(Remnesia.transaction(call) == {:error, {:no_exists, Hash}})

    assert run!(fn -> Query.count(Hash) end) == 1

    assert Remnesia.transaction(fn -> Query.count(Hash, [], lock: :foo) end) ==
             {:error, {:bad_type, Hash, :foo}}
  end

  describe "an order by key or index looks at the first records only" do
    setup do
      run!(fn ->
        for table <- [Hash, Ordered], id <- 1..20_000 do
          Query.write(struct!(table, id: id, a: 20_001 - id, b: rem(id, 7)))
        end
      end)

      :ok
    end

    defp reductions(fun) do
      run!(fun)
      {:reductions, before} = Process.info(self(), :reductions)
      result = run!(fun)
      {:reductions, now} = Process.info(self(), :reductions)
      {result, now - before}
    end

    test "in both directions" do
      for {table, order, first} <- [
            {Hash, :a, 20_000},
            {Hash, {:desc, :a}, 1},
            {Ordered, :a, 20_000},
            {Ordered, [:a, :id], 20_000},
            {Ordered, {:desc, :a}, 1},
            {Ordered, [desc: :a, desc: :id], 1},
            {Ordered, :id, 1},
            {Ordered, {:desc, :id}, 20_000}
          ] do
        {[record], cheap} =
          reductions(fn -> Query.select(table, [], order_by: order, limit: 1) end)

        assert {order, record.id} == {order, first}

        # A native call tells the scheduler how long it was: a scan of 20,000 records is worth a thousand reductions or more.
        {[_], dear} = reductions(fn -> Query.select(table, [], order_by: :b, limit: 1) end)
        assert cheap * 3 < dear, "#{inspect({table, order})}: #{cheap} and #{dear} reductions"
      end
    end

    test "with conditions and pages" do
      ids = fn records -> Enum.map(records, & &1.id) end

      assert ids.(
               run!(fn ->
                 Query.select(Ordered, {:==, :b, 3},
                   order_by: {:desc, :id},
                   limit: 3,
                   offset: 2
                 )
               end)
             ) ==
               1..20_000 |> Enum.filter(&(rem(&1, 7) == 3)) |> Enum.reverse() |> Enum.slice(2, 3)

      guards = [{:>=, :a, 5_000}, {:<, :a, 9_000}, {:==, :b, 3}]

      for {order, pick} <- [{:a, & &1}, {{:desc, :a}, &Enum.reverse/1}],
          table <- [Hash, Ordered] do
        found = run!(fn -> Query.select(table, guards, order_by: order, limit: 4, offset: 1) end)

        expected =
          5_000..8_999
          |> Enum.filter(&(rem(20_001 - &1, 7) == 3))
          |> pick.()
          |> Enum.slice(1, 4)

        assert Enum.map(found, & &1.a) == expected
      end

      assert run!(fn ->
               {Query.min(Ordered, :id), Query.max(Ordered, :id), Query.max(Hash, :a)}
             end) ==
               {1, 20_000, 20_000}
    end
  end

  test "in a transaction that has written, an order is that of what it sees" do
    run!(fn -> for id <- 1..3000, do: Query.write(%Ordered{id: id, a: id}) end)

    assert run!(fn ->
             Query.write(%Ordered{id: 4000, a: -1})
             Query.delete(Ordered, 3000)
             Query.write(%Ordered{id: 1, a: 5000})
             ids = &Enum.map(&1, fn record -> record.id end)

             {ids.(Query.select(Ordered, [], order_by: {:desc, :id}, limit: 2)),
              ids.(Query.select(Ordered, [], order_by: :a, limit: 2)),
              ids.(Query.select(Ordered, [], order_by: {:desc, :a}, limit: 2)),
              Query.count(Ordered), Query.min(Ordered, :a), Query.max(Ordered, :id)}
           end) == {[4000, 2999], [4000, 2], [1, 2999], 3000, -1, 4000}
  end

  test "membership in a long list uses the keys, and is no loop over the list" do
    run!(fn -> for id <- 1..20_000, do: Query.write(%Hash{id: id, a: id}) end)
    list = Enum.to_list(1..20_000//2)
    assert Query.explain(Hash, {:in, :id, Enum.take(list, 50)}).plan == :key
    assert run!(fn -> Query.count(Hash, {:in, :id, list}) end) == 10_000

    {time, 10_000} =
      :timer.tc(fn -> run!(fn -> Query.count(Hash, {:in, :b, list ++ [nil]}) - 10_000 end) end)

    # 20,000 records against a list of 10,000: one by one it would take a second or more.
    assert time < 1_000_000
  end

  test "a prefix uses a key or an index" do
    assert Query.explain(Ordered, {:prefix, :id, "al"}).plan == :key_range
    run!(fn -> for id <- 1..2_000, do: Query.write(%Hash{id: id, a: "name #{id}"}) end)
    plan = Query.explain(Hash, {:prefix, :a, "name 199"}, analyze: true)
    assert {plan.plan, plan.visited, plan.matched} == {:index_range, 11, 11}
  end

  test "delete_all and update_all of records that could be patterns" do
    for table <- @tables do
      run!(fn -> for id <- 1..3, do: Query.write(struct!(table, id: id, a: :_, b: :"$1")) end)
      assert run!(fn -> Query.update_all(table, {:==, :id, 1}, b: {:tuple, :_}) end) == 1
      assert run!(fn -> Query.read(table, 1) end).b == {:tuple, :_}
      assert run!(fn -> Query.delete_all(table) end) == 3
      assert run!(fn -> Query.count(table) end) == 0
    end
  end

  @tag :long
  @tag timeout: :infinity
  test "a stream takes no more memory for more records" do
    peak = fn n ->
      Table.clear(Ordered)

      for chunk <- Enum.chunk_every(1..n, 10_000),
          do: run!(fn -> for id <- chunk, do: Query.write(%Ordered{id: id, b: "some text"}) end)

      heap = fn -> elem(Process.info(self(), :total_heap_size), 1) end

      Example.elsewhere(fn ->
        run!(fn ->
          Ordered |> Query.stream() |> Enum.reduce(0, fn _, peak -> max(peak, heap.()) end)
        end)
      end)
    end

    assert peak.(500_000) <= 2 * peak.(20_000)
  end
end
