defmodule Remnesia.Query.BadInputTest do
  use ExUnit.Case

  # What is no specification, asks for too much or for what there is not: refused or failing as ETS does, by every way in, and never a crash,
  # much memory, or a scheduler that is held. The judge is this VM's ETS.

  import Bitwise, only: [<<<: 2]
  import Example, only: [tables: 1]

  alias Example.User
  alias Remnesia.{Engine, Native, Query}

  setup :tables

  setup do
    Remnesia.transaction!(fn ->
      for id <- 1..50, do: Query.write(%User{id: id, name: "n", age: id})
    end)

    table = :ets.new(:judge, keypos: 2)
    for id <- 1..50, do: :ets.insert(table, {User, id, "n", id})
    {:ok, ets: table}
  end

  defp outcome(fun) do
    {:ok, fun.()}
  catch
    :error, %ArgumentError{} -> :badarg
    :error, :badarg -> :badarg
    :error, :system_limit -> :badarg
    :error, %SystemLimitError{} -> :badarg
    :exit, {:aborted, {:badarg, [User, _spec]}} -> :badarg
    :exit, {:aborted, {:bad_type, User, _spec}} -> :badarg
  end

  defp sorted({:ok, list}), do: {:ok, Enum.sort(list)}
  defp sorted(other), do: other

  # Like ETS by every way in; the way is in what is compared.
  defp agree(ets, spec) do
    expected = sorted(outcome(fn -> :ets.select(ets, spec) end))

    ways = [
      dirty: fn -> Engine.dirty_select(User, spec) end,
      raw: fn -> Remnesia.transaction!(fn -> Query.select_raw(User, spec, coerce: false) end) end,
      in_order: fn ->
        Remnesia.transaction!(fn -> Engine.select_in_order(User, spec, [2], 0, 0, :read) end)
      end
    ]

    for {way, fun} <- ways, do: assert({way, sorted(outcome(fun))} == {way, expected})

    counted = outcome(fn -> Remnesia.transaction!(fn -> Engine.count(User, spec, :read) end) end)

    case expected do
      {:ok, list} -> assert counted == {:ok, length(list)}
      :badarg -> assert counted == :badarg
    end

    assert Native.lock_count() == 0
    expected
  end

  defp where(guard), do: [{{User, :"$1", :"$2", :"$3"}, [guard], [:"$1"]}]
  defp body(body), do: [{{User, :"$1", :"$2", :"$3"}, [], [body]}]

  test "specifications that are no lists", %{ets: ets} do
    for spec <- [:a, 1, 1.5, "spec", {}, {:a}, %{}, self(), make_ref(), fn -> 1 end] do
      assert outcome(fn -> :ets.select(ets, spec) end) == :badarg
      assert outcome(fn -> Engine.dirty_select(User, spec) end) == :badarg

      assert Remnesia.transaction(fn -> Query.select_raw(User, spec) end) ==
               {:error, {:badarg, User, spec}}
    end

    for spec <- [
          [],
          [:a],
          [{}],
          [{:a}],
          [{:_, []}],
          [{:_, [], [], []}],
          [{:_, :a, [:"$_"]}],
          [{:_, [], :a}],
          [{:_, [], []}],
          [{:_, [true | :a], [:"$_"]}],
          [{:_, [], [:"$_" | :a]}],
          [{:_, [], [:"$_"]} | :a],
          [{:_, [], [:"$_"]}, :a],
          [{:a, [], [:"$_"]}],
          [{1, [], [:"$_"]}],
          [{[], [], [:"$_"]}],
          [{%{}, [], [:"$_"]}]
        ],
        do: agree(ets, spec)
  end

  test "variables that are not bound", %{ets: ets} do
    for spec <- [
          body(:"$4"),
          body({{:"$1", :"$9"}}),
          body([:"$1" | :"$7"]),
          body(%{a: :"$8"}),
          where({:==, :"$5", 1}),
          where({:orelse, true, :"$5"}),
          [{:_, [], [:"$1"]}],
          [{{User, :_, :_, :_}, [], [:"$1"]}],
          [{{User, :"$1", :_, :_}, [], [:"$1"]}, {{User, :_, :_, :_}, [], [:"$1"]}],
          [{{User, %{:"$1" => 1}, :_, :_}, [], [:"$_"]}],
          [{{User, %{:_ => 1}, :_, :_}, [], [:"$_"]}]
        ],
        do: assert(agree(ets, spec) == :badarg)
  end

  test "functions that there are not, and too many or too few operands", %{ets: ets} do
    for call <- [
          {:frobnicate, 1},
          {:+},
          {:+, 1, 2, 3},
          {:==, 1},
          {:is_atom},
          {:is_atom, 1, 2},
          {:not},
          {:not, true, false},
          {:and},
          {:orelse},
          {:const},
          {:const, 1, 2},
          {:element, 1},
          {:is_record, 1},
          {1, 2},
          {"x", 2},
          {{:a, :b}, 1},
          {{:a}, {:b}},
          {:get_tcw},
          {:message, 1},
          {:self, 1},
          {:process_dump}
        ],
        spec <- [where(call), body(call), where({:not, call}), body({{call}})],
        do: assert({call, agree(ets, spec)} == {call, :badarg})
  end

  test "guards that fail are false, and bodies that fail are 'EXIT'", %{ets: ets} do
    for call <- [
          {:+, :a, 1},
          {:div, 1, 0},
          {:rem, :"$1", 0},
          {:/, 1, 0},
          {:hd, []},
          {:element, 0, {{1}}},
          {:element, 99, :"$_"},
          {:map_get, :a, %{}},
          {:abs, "x"},
          {:length, [1 | 2]},
          {:and, 1, true},
          {:node, 1},
          {:bsl, 1, :a},
          {:bsl, 1.0, 1}
        ] do
      assert {call, agree(ets, where(call))} == {call, {:ok, []}}
      assert {:ok, ["EXIT" | _] = list} = call |> body() |> then(&agree(ets, &1)) |> exits()
      assert length(list) == 50
    end
  end

  defp exits({:ok, list}), do: {:ok, Enum.map(list, &Atom.to_string/1)}

  test "terms that would be enormous", %{ets: ets} do
    before = :erlang.memory(:total)

    for by <- [1_000_000_000, 10_000_000_000_000, 1 <<< 70, -1 <<< 70] do
      for call <- [
            {:bsl, 1, by},
            {:bsl, :"$1", by},
            {:bsr, 1, -by},
            {:bsl, {:bsl, 1, 100_000}, by}
          ],
          spec <- [where({:==, call, 1}), where(call), body({:is_integer, call})] do
        {time, _} = :timer.tc(fn -> outcome(fn -> Engine.dirty_select(User, spec) end) end)
        assert time < 2_000_000
        agree_if_small(ets, spec, by)
      end
    end

    # Squares of squares: 2 to the power of 2 to the power of 40.
    huge = Enum.reduce(1..40, 2, fn _, term -> {:*, term, {:const, 1 <<< 60_000}} end)
    assert {:ok, _} = outcome(fn -> Engine.dirty_select(User, where({:>, huge, 1})) end)
    assert :erlang.memory(:total) - before < 200_000_000
  end

  test "a term of a few words that is enormous when it is written out" do
    shared = Enum.reduce(1..60, :"$1", fn _, term -> {:*, term, term} end)
    before = :erlang.memory(:total)

    for spec <- [where(shared), body(shared), [{{User, shared, :_, :_}, [], [1]}]] do
      assert outcome(fn -> Engine.dirty_select(User, spec) end) == :badarg
      assert {:error, "The match specification" <> _} = Query.test({User, 1, 2, 3}, spec)
    end

    assert :erlang.memory(:total) - before < 200_000_000
    assert Native.lock_count() == 0
  end

  # ETS itself would take minutes or the memory of the machine for some.
  defp agree_if_small(_ets, _spec, by) when by in [1_000_000_000], do: :ok
  defp agree_if_small(ets, spec, _by), do: agree(ets, spec)

  defp nested(depth, wrap), do: Enum.reduce(1..depth, true, fn _, inner -> wrap.(inner) end)

  test "nesting of 100,000 levels" do
    depth = 100_000

    shapes = [
      not: &{:not, &1},
      and: &{:and, true, &1},
      andalso: &{:andalso, &1, true},
      orelse: &{:orelse, false, &1},
      tuple: &{{&1}},
      list: &[&1],
      map: &%{a: &1},
      const: &{:const, &1},
      call: &{:hd, [&1]}
    ]

    {:ok, other} = Task.start_link(fn -> beat(0) end)

    for {name, wrap} <- shapes, term = nested(depth, wrap) do
      heads = [
        {{User, term, :_, :_}, [], [:"$_"]},
        {{User, nested(depth, &{&1, :"$1"}), :_, :_}, [], [:"$_"]}
      ]

      for spec <- [where(term), body(term)] ++ Enum.map(heads, &[&1]) do
        {time, result} = :timer.tc(fn -> outcome(fn -> Engine.dirty_select(User, spec) end) end)
        assert {name, match?({:ok, _}, result) or result == :badarg} == {name, true}
        # A body makes fifty such terms.
        assert {name, time < 30_000_000} == {name, true}
      end
    end

    send(other, {:worst, self()})
    worst = receive do: ({:worst, worst} -> worst)

    # Another process was never kept waiting for long; on a loaded machine the system itself delays it by tens of milliseconds.
    assert worst < 1_500
    assert Native.lock_count() == 0
  end

  defp beat(worst) do
    begun = System.monotonic_time(:millisecond)

    receive do
      {:worst, pid} -> send(pid, {:worst, worst})
    after
      1 -> beat(max(worst, System.monotonic_time(:millisecond) - begun - 1))
    end
  end

  test "many clauses, guards, and values" do
    clauses = for n <- 1..20_000, do: {{User, n, :_, :_}, [], [:"$_"]}
    assert length(Engine.dirty_select(User, clauses)) == 50
    guards = [{{User, :"$1", :_, :_}, List.duplicate({:>, :"$1", 25}, 20_000), [:"$1"]}]
    assert length(Engine.dirty_select(User, guards)) == 25
    orelse = List.to_tuple([:orelse | for(n <- 1..100_000, do: {:==, :"$1", n})])
    assert length(Engine.dirty_select(User, where(orelse))) == 50

    assert Engine.dirty_select(User, [{:_, [], [List.duplicate(:"$_", 2_000) ++ [true]]}])
           |> hd()
           |> length() == 2001
  end

  test "tables, orders and limits that are none" do
    spec = where(true)

    for table <- [:no_such_table, "x", 1, {:a}] do
      assert {:exit, {:aborted, _}} = Example.exit_of(fn -> Engine.dirty_select(table, spec) end)
    end

    for {order, limit, offset} <- [
          {[1], 0, 0},
          {[9], 0, 0},
          {[:a], 0, 0},
          {[2], -1, 0},
          {[2], 0, -1},
          {[0], 0, 0}
        ] do
      assert_raise ArgumentError, fn ->
        Remnesia.transaction!(fn ->
          Engine.select_in_order(User, spec, order, limit, offset, :read)
        end)
      end
    end
  end
end
