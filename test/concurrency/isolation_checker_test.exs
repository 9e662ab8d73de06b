defmodule Remnesia.IsolationCheckerTest do
  use ExUnit.Case, async: true

  # The checker finds each anomaly by its name where it is planted, and nothing where there is none.

  alias Isolation.Checker

  # Transactions that all begin before any ends, and one afterwards that reads these lists.
  defp at_once(transactions, lists \\ [], registers \\ []) do
    reads = for({cell, list} <- lists, do: {:list, cell, list})
    registers = for {cell, value} <- registers, do: {:read, cell, value}
    last = %{id: :last, status: :ok, begun: 100, ended: 101, ops: reads ++ registers}

    for {{id, ops}, n} <- Enum.with_index(transactions) do
      {status, ops} = if is_tuple(ops), do: ops, else: {:ok, ops}
      %{id: id, status: status, begun: n, ended: 50 + n, ops: ops}
    end ++ [last]
  end

  defp classes(history), do: history |> Checker.check() |> Enum.map(&elem(&1, 0)) |> Enum.uniq()

  defp append(cell, value, group \\ :gone), do: {:append, cell, value, group}

  describe "what is right" do
    test "nothing, one, one after the other" do
      assert classes([]) == []
      assert classes(at_once([a: [append(:x, 1)]], x: [1])) == []
      history = at_once([a: [append(:x, 1)], b: [{:list, :x, [1]}, append(:x, 2)]], x: [1, 2])
      assert classes(history) == []
    end

    test "a transaction sees itself; what an inner one took back is gone" do
      ops = [
        append(:x, 1, :g),
        {:list, :x, [1]},
        {:row, :x, 1},
        {:inner, :aborted, [append(:x, 2, :h), {:list, :x, [1, 2]}, {:where, [:g], [:x], []}]},
        {:where, [:g], [:x], [{:x, 1}]},
        {:inner, :ok, [append(:x, 3)]},
        {:row, :x, nil},
        {:write, :r, 4},
        {:read, :r, 4}
      ]

      assert classes(at_once([a: ops], [x: [1, 3]], r: 4)) == []
    end

    test "who was killed has committed if somebody saw it, or has not" do
      killed = {:unknown, [append(:x, 1), append(:y, 2)]}
      assert classes(at_once([a: killed], x: [1], y: [2])) == []
      assert classes(at_once([a: killed], x: [], y: [])) == []
    end

    test "who was killed has committed if one saw it who was killed too, and was seen" do
      chain = [
        a: {:unknown, [{:write, :r, 1}]},
        b: {:unknown, [{:read, :r, 1}, {:write, :r, 2}]},
        c: {:unknown, [{:read, :r, 2}, {:write, :r, 3}]}
      ]

      assert classes(at_once(chain, [], r: 3)) == []
      # None of them, as nobody saw one of them.
      assert classes(at_once([d: [{:write, :r, 4}]] ++ chain, [], r: 4)) == []
      aborted = Keyword.put(chain, :a, {:aborted, [{:write, :r, 1}]})
      assert :aborted_read in classes(at_once(aborted, [], r: 3))
    end

    test "what was not found may have been several versions" do
      # Out of :g, in, out, in: between the first and the last nobody knows.
      ops = [append(:x, 1, :h), append(:y, 9), append(:x, 2, :g)]

      writers = [
        a: [hd(ops)],
        b: [List.last(ops)],
        c: [append(:x, 3, :h)],
        d: [append(:x, 4, :g)]
      ]

      reader = [e: [{:where, [:g], [:x], []}]]
      assert classes(at_once(writers ++ reader, x: [1, 2, 3, 4])) == []
    end
  end

  describe "one anomaly each" do
    test "g0: two write over each other" do
      history =
        at_once([a: [append(:x, 1), append(:y, 2)], b: [append(:x, 3), append(:y, 4)]],
          x: [1, 3],
          y: [4, 2]
        )

      assert classes(history) == [:g0]
    end

    test "g1a: what was aborted is read" do
      aborted = {:aborted, [append(:x, 1)]}
      assert :aborted_read in classes(at_once([a: aborted, b: [{:list, :x, [1]}]], x: []))
      assert :aborted_read in classes(at_once([a: aborted, b: [{:row, :x, 1}]], x: []))

      assert :aborted_read in classes(
               at_once(a: {:aborted, [{:write, :r, 1}]}, b: [{:read, :r, 1}])
             )

      inner = [a: [{:inner, :aborted, [append(:x, 1)]}]]
      assert :aborted_read in classes(at_once(inner, x: [1]))
    end

    test "g1b: what was overwritten by its writer is read" do
      writer = [a: [append(:x, 1, :g), append(:x, 2, :g), {:write, :r, 3}, {:write, :r, 4}]]
      final = &at_once(writer ++ [b: &1], [x: [1, 2]], r: 4)
      assert classes(final.([{:list, :x, [1]}])) == [:intermediate_read]
      assert classes(final.([{:row, :x, 1}])) == [:intermediate_read]
      assert classes(final.([{:where, [:g], [:x], [{:x, 1}]}])) == [:intermediate_read]
      assert classes(final.([{:read, :r, 3}])) == [:intermediate_read]
    end

    test "g1c: two read each other's" do
      history =
        at_once([a: [append(:x, 1), {:list, :y, [2]}], b: [append(:y, 2), {:list, :x, [1]}]],
          x: [1],
          y: [2]
        )

      assert classes(history) == [:g1c]

      history =
        at_once(a: [{:write, :r, 1}, {:read, :s, 2}], b: [{:write, :s, 2}, {:read, :r, 1}])

      assert classes(history) == [:g1c]
    end

    test "g-single: one sees half of another" do
      history =
        at_once([a: [append(:x, 1), append(:y, 2)], b: [{:list, :x, [1]}, {:list, :y, []}]],
          x: [1],
          y: [2]
        )

      assert classes(history) == [:g_single]
    end

    test "two reads of a transaction are of two versions" do
      # A list and the row beside it.
      history = at_once([a: [append(:x, 1, :g)], b: [{:list, :x, [1]}, {:row, :x, nil}]], x: [1])
      assert classes(history) == [:no_version]
      # The same twice.
      history = at_once([a: [append(:x, 1)], b: [{:list, :x, []}, {:list, :x, [1]}]], x: [1])
      assert classes(history) == [:no_version]
    end

    test "g2: write skew" do
      history =
        at_once([a: [{:list, :x, []}, append(:y, 1)], b: [{:list, :y, []}, append(:x, 2)]],
          x: [2],
          y: [1]
        )

      assert classes(history) == [:g2]

      history =
        at_once(a: [{:read, :r, nil}, {:write, :s, 1}], b: [{:read, :s, nil}, {:write, :r, 2}])

      assert classes(history) == [:g2]
    end

    test "phantoms: a search that misses a row" do
      # Each looks for what the other puts there.
      a = [{:where, [:g], [:x, :y], []}, append(:x, 1, :g)]
      b = [{:where, [:g], [:x, :y], []}, append(:y, 2, :g)]
      assert classes(at_once([a: a, b: b], x: [1], y: [2])) == [:g2]
      # The second look finds what the first did not.
      reader = [{:where, [:g], [:x], []}, {:where, [:g], [:x], [{:x, 1}]}]
      assert classes(at_once([a: [append(:x, 1, :g)], b: reader], x: [1])) == [:no_version]
      # One that was moved is found in neither place.
      moved = [a: [append(:x, 1, :g)], b: [append(:x, 2, :h)]]
      reader = [c: [{:list, :x, [1]}, {:where, [:g], [:x], []}, {:where, [:h], [:x], []}]]
      assert classes(at_once(moved ++ reader, x: [1, 2])) == [:no_version]
      # There is no version that a search could have missed.
      reader = [b: [{:list, :x, [1]}, {:where, [:g, :gone], [:x], []}]]
      assert :no_version in classes(at_once([a: [append(:x, 1, :g)]] ++ reader, x: [1]))
    end

    test "a row that does not fit, or comes twice" do
      writer = [a: [append(:x, 1, :g)]]
      found = &at_once(writer ++ [b: [{:where, [&1], [:x], &2}]], x: [1])
      assert classes(found.(:h, [{:x, 1}])) == [:wrong_row]
      assert classes(found.(:g, [{:x, 1}, {:x, 1}])) == [:found_twice]
      gone = at_once([a: [append(:x, 1)], b: [{:row, :x, 1}]], x: [1])
      assert classes(gone) == [:wrong_row]
    end

    test "lost updates" do
      both = [a: [{:list, :x, []}, append(:x, 1)], b: [{:list, :x, []}, append(:x, 2)]]
      assert classes(at_once(both, x: [2])) |> Enum.member?(:lost_update)
      registers = [a: [{:read, :r, 7}, {:write, :r, 1}], b: [{:read, :r, 7}, {:write, :r, 2}]]
      assert :lost_update in classes(at_once([c: [{:write, :r, 7}]] ++ registers, [], r: 2))
      # Half of what a killed process committed.
      killed = {:unknown, [append(:x, 1), append(:y, 2)]}
      assert :lost_update in classes(at_once([a: killed], x: [1], y: []))
    end

    test "versions that are no order, or come twice" do
      writers = [a: [append(:x, 1)], b: [append(:x, 2)]]

      assert :incompatible_order in classes(
               at_once(writers ++ [c: [{:list, :x, [2]}]], x: [1, 2])
             )

      assert :duplicate in classes(at_once(writers, x: [1, 2, 1]))
    end

    test "a transaction that does not see itself" do
      for ops <- [
            [append(:x, 1), {:list, :x, []}],
            [append(:x, 1, :g), {:row, :x, nil}],
            [append(:x, 1), {:row, :x, 1}],
            [append(:x, 1, :g), {:where, [:g], [:x], []}],
            [append(:x, 1, :g), {:where, [:h], [:x], [{:x, 1}]}],
            [
              {:inner, :aborted, [append(:x, 2)]},
              append(:x, 1),
              {:list, :x, [2, 1]},
              {:row, :x, 2}
            ],
            [append(:x, 1), {:write, :r, 1}, {:read, :r, 2}]
          ] do
        assert :internal in classes(at_once([a: ops], [x: [1]], r: nil)), inspect(ops)
      end
    end

    test "stale: what had ended before is not seen" do
      old = %{id: :old, status: :ok, begun: 1, ended: 2, ops: [append(:x, 1)]}
      reader = %{id: :reader, status: :ok, begun: 3, ended: 4, ops: [{:list, :x, []}]}
      last = %{id: :last, status: :ok, begun: 5, ended: 6, ops: [{:list, :x, [1]}]}
      assert classes([old, reader, last]) == [:realtime]
      assert classes([old, %{reader | begun: 2}, last]) == []
    end
  end

  # Histories of a database that does one transaction after the other, some of whose answers are then made false.
  describe "a serial database" do
    test "is serial" do
      for seed <- 1..300, do: assert({seed, classes(serial(seed))} == {seed, []})
    end

    test "a read of an older version is found nearly always" do
      found = for seed <- 1..300, history = stale(serial(seed)), do: classes(history) != []
      assert Enum.count(found) > 200
      assert Enum.count(found, & &1) > 0.95 * Enum.count(found)
    end
  end

  defp serial(seed) do
    :rand.seed(:exsss, seed)
    cells = [:x, :y, :z]
    groups = [:g, :h, :gone]

    {transactions, state} =
      Enum.map_reduce(1..20, %{}, fn n, state ->
        {ops, {state, _}} =
          Enum.map_reduce(1..:rand.uniform(4), {state, n * 10}, fn _, {state, value} ->
            cell = Enum.random(cells)

            case :rand.uniform(4) do
              1 ->
                group = Enum.random(groups)
                state = Map.update(state, cell, [{value, group}], &(&1 ++ [{value, group}]))
                {append(cell, value, group), {state, value + 1}}

              2 ->
                {{:list, cell, values(state, cell)}, {state, value}}

              3 ->
                {{:row, cell, row(state, cell, [:g, :h])}, {state, value}}

              4 ->
                found = for c <- cells, v = row(state, c, [:g]), do: {c, v}
                {{:where, [:g], cells, found}, {state, value}}
            end
          end)

        {{n, ops}, state}
      end)

    # Overlapping, so that times say little.
    at_once(transactions, for(cell <- cells, do: {cell, values(state, cell)}))
  end

  defp values(state, cell), do: for({value, _} <- Map.get(state, cell, []), do: value)

  defp row(state, cell, groups) do
    case List.last(Map.get(state, cell, [])) do
      {value, group} -> if group in groups, do: value
      nil -> nil
    end
  end

  # A transaction that reads a list and then writes elsewhere, after another one wrote there and it saw that: an older list is a contradiction.
  defp stale(history) do
    Enum.find_value(history, fn txn ->
      lists = for {:list, cell, [_ | _] = list} <- txn.ops, do: {cell, list}
      own? = fn cell -> Enum.any?(txn.ops, &match?({:append, ^cell, _, _}, &1)) end

      case Enum.reject(lists, fn {cell, _} -> own?.(cell) end) do
        [{cell, list} | _] when txn.id != :last ->
          # The same transaction sees both the version and the one before.
          ops = txn.ops ++ [{:list, cell, Enum.drop(list, -1)}]
          Enum.map(history, &if(&1 == txn, do: %{txn | ops: ops}, else: &1))

        _none ->
          nil
      end
    end)
  end
end
