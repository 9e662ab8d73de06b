defmodule Remnesia.Query.PlanPropertyTest do
  @moduledoc false

  # Every legal plan gives what the scan gives, and both give what ETS gives, for random specs on random tables of every type, in
  # and outside of transactions that have written, with indexes that come and go. REMNESIA_SEED=n repeats a run; REMNESIA_PLANS=n makes it longer.

  use ExUnit.Case

  alias Remnesia.{Engine, Native}
  alias Remnesia.Engine.Local.{Scan, Transaction}

  require Transaction

  @types [:set, :ordered_set, :bag, :duplicate_bag]
  @indexes [:a, :b, [:a, :b], [:b, :a], [:b, :id], [:id, :a]]

  setup context do
    storage = Map.get(context, :storage, :ram_copies)
    if storage != :ram_copies, do: Remnesia.OnDisc.start()

    for type <- @types do
      options = [{storage, [node()]}, type: type, attributes: [:id, :a, :b], index: @indexes]
      {:atomic, :ok} = Engine.create_table(name(type), options)
    end

    on_exit(fn -> for type <- @types, do: {:atomic, :ok} = Engine.delete_table(name(type)) end)
  end

  defp name(type), do: :"plans_#{type}"

  @tag timeout: :infinity
  test "each plan gives what the scan and ETS give", do: plans("60")

  @tag timeout: :infinity, storage: :disc_only_copies
  test "each plan gives what the scan and ETS give, on disc" do
    Remnesia.OnDisc.flush_from_now()
    plans("40")
  end

  defp plans(count) do
    seed = String.to_integer(System.get_env("REMNESIA_SEED", "#{:os.system_time(:microsecond)}"))
    rounds = String.to_integer(System.get_env("REMNESIA_PLANS", count))
    IO.puts("\nplans: #{rounds} rounds, REMNESIA_SEED=#{seed}")
    :rand.seed(:exsss, {seed, 3, 4})

    ways =
      for _ <- 1..rounds, type <- @types, reduce: MapSet.new() do
        ways -> MapSet.union(ways, one_round(type))
      end

    wanted = [:nothing, :key, :key_range, :index, :index_range, :both, :union, :scan]

    for way <- wanted ++ [{:several, :index}, {:several, :index_range}],
        do: assert(way in ways, "no random spec led to #{inspect(way)}: #{inspect(ways)}")

    assert Native.lock_count() == 0
    for type <- @types, do: assert(Native.table_check(name(type)) == :ok)
  end

  defp one_round(type) do
    table = name(type)
    {:atomic, :ok} = Engine.clear_table(table)
    model = :ets.new(:model, [type, keypos: 2])
    many = Specs.pick([0, 5, 40, 120])
    for _ <- 1..many//1, do: put(model, Specs.record(table), &Engine.dirty_write(table, &1))
    Remnesia.OnDisc.flush_sometimes()
    specs = for _ <- 1..20, do: Specs.spec(table)
    for spec <- specs, do: agree(nil, type, model, spec)

    # The same specs again, with other indexes: nothing is left of the plans that were made.
    for index <- Enum.take_random(@indexes, 2), do: toggle(table, index)
    for spec <- specs, do: agree(nil, type, model, spec)
    assert Native.table_check(table) == :ok

    me = self()

    # What fails must fail outside of the transaction, which would make a reason of it.
    Engine.transaction(fn ->
      for _ <- 1..:rand.uniform(30), do: change(model, table)
      outcomes = for spec <- specs, do: {spec, outcomes(Transaction.current(), table, spec)}
      send(me, {:outcomes, outcomes})
    end)

    outcomes = receive do: ({:outcomes, outcomes} -> outcomes)
    ways = for {spec, outcome} <- outcomes, do: check(outcome, type, model, spec)
    :ets.delete(model)
    ways |> List.flatten() |> MapSet.new()
  end

  defp toggle(table, index) do
    with {:aborted, {:no_exists, ^table, _position}} <- Engine.del_table_index(table, index),
         do: {:atomic, :ok} = Engine.add_table_index(table, index)
  end

  defp put(model, record, write) do
    :ets.insert(model, record)
    write.(record)
  end

  defp change(model, table) do
    case :rand.uniform(4) do
      1 ->
        key = Specs.value()
        :ets.delete(model, key)
        Engine.delete(table, key, :write)

      2 ->
        record = Specs.pick([Specs.record(table) | :ets.tab2list(model)])
        # Stock deletes all equal objects of a duplicate_bag, and so do we.
        :ets.delete_object(model, record)
        Engine.dirty_read(table, elem(record, 1))
        Native.delete_object(Transaction.current(), table, record)

      _ ->
        put(model, Specs.record(table), &Engine.write(table, &1, :write))
    end
  end

  defp agree(ctx, type, model, spec),
    do: ctx |> outcomes(name(type), spec) |> check(type, model, spec)

  # What each legal plan gives.
  defp outcomes(ctx, table, spec) do
    {_way, _bounds, _locks, _rows, all, _bounded} = Native.select_plan(table, spec)
    for {{way, _count}, n} <- Enum.with_index(all), do: {way, forced(ctx, table, spec, n)}
  end

  defp check(outcomes, type, model, spec) do
    expected = expected(type, model, spec)
    {:scan, scan} = List.last(outcomes)

    if not map_in_key?(type, spec) and not same?(type, scan, expected),
      do: differ("the scan", spec, type, scan, expected)

    for {way, found} <- outcomes do
      if not same?(type, found, scan), do: differ(way, spec, type, found, scan)
      kind(way)
    end
  end

  defp kind({kind, positions}) when is_list(positions), do: {:several, kind}
  defp kind(way) when is_tuple(way), do: elem(way, 0)
  defp kind(way), do: way

  # Several clauses of which each binds some of the key of an ordered_set: ETS begins at the smallest of these keys, and takes the wrong one
  # when they hold numbers of both types. It misses {1.0, :a} with the keys {1, :b} and {1.0, :_}; see differences_test.exs.
  # The judge is the language alone then.
  defp expected(:ordered_set, model, [_, _ | _] = spec),
    do: :ets.match_spec_run(:ets.tab2list(model), :ets.match_spec_compile(spec))

  defp expected(_type, model, spec), do: :ets.select(model, spec)

  # Several clauses of which each binds the key of an ordered_set: ETS looks from the smallest of these keys to the greatest, and
  # a map in a head then matches whatever maps lie between them.
  defp map_in_key?(:ordered_set, [_, _ | _] = spec),
    do: Enum.any?(spec, fn {head, _, _} -> inspect(elem(head, 1)) =~ "%{" end)

  defp map_in_key?(_type, _spec), do: false

  defp forced(ctx, table, spec, n) do
    arguments = [ctx, table, spec, n]
    Scan.all(apply(Native, :test_select, arguments), :test_select, arguments)
  end

  # The order of keys is free but in an ordered_set.
  defp same?(:ordered_set, found, expected), do: found === expected
  defp same?(_type, found, expected), do: found -- expected == [] and expected -- found == []

  defp differ(what, spec, type, found, expected) do
    flunk("""
    #{inspect(what)} in a #{type} for
    #{inspect(spec, limit: :infinity)}
    only there: #{inspect(found -- expected, limit: :infinity)}
    missing:    #{inspect(expected -- found, limit: :infinity)}
    """)
  end
end
