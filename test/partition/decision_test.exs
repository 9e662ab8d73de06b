defmodule Remnesia.PartitionDecisionTest do
  use ExUnit.Case, async: true

  alias Remnesia.Partition.Decision

  doctest Decision
  doctest Remnesia.Partition

  # Every node of an island says the same.
  defp views(islands, more \\ []) do
    all = List.flatten(islands) ++ Keyword.get(more, :down, [])

    for island <- islands, node <- island, into: %{} do
      view = %{
        running: Enum.shuffle(island),
        db_nodes: all,
        age: get_in(more, [:ages, node]) || 0,
        schema: 1,
        policy: :same
      }

      {node, view}
    end
  end

  defp decide(islands, kind, more \\ []), do: Decision.decide(views(islands, more), kind)

  test "nothing is to be done where all run together, or alone" do
    for kind <- [:keep_majority, :keep_oldest, :merge, :report] do
      assert decide([[:a, :b, :c]], kind) == :whole
      assert decide([[:a]], kind, down: [:b, :c]) == :whole
      assert Decision.decide(%{}, kind) == :whole
    end
  end

  test "the majority is of all nodes of the schema, also those that are down" do
    assert decide([[:a], [:b, :c]], :keep_majority) == {:heal, [[:b, :c], [:a]]}
    assert decide([[:a], [:b]], :keep_majority) == {:undecided, :no_majority, [[:a], [:b]]}

    assert {:undecided, :no_majority, _} = decide([[:a], [:b, :c]], :keep_majority, down: [:d])

    assert {:undecided, :no_majority, _} = decide([[:a], [:b], [:c]], :keep_majority)

    assert decide([[:a], [:b, :c, :d], [:e]], :keep_majority, ages: [e: 9]) ==
             {:heal, [[:b, :c, :d], [:e], [:a]]}
  end

  test "the oldest node's side wins, and of equal ones that with the first name" do
    assert decide([[:a, :b], [:c]], :keep_oldest, ages: [a: 5, b: 1, c: 6]) ==
             {:heal, [[:c], [:a, :b]]}

    assert decide([[:c], [:a, :b]], :keep_oldest) == {:heal, [[:a, :b], [:c]]}
  end

  test "a merge begins from the larger side" do
    assert decide([[:a], [:b, :c]], :merge, ages: [a: 100]) == {:heal, [[:b, :c], [:a]]}
    assert decide([[:a], [:b]], :merge, ages: [b: 1]) == {:heal, [[:b], [:a]]}
  end

  test "who cannot be asked, or does not agree, is waited for" do
    views = views([[:a, :b], [:c]])
    assert Decision.decide(Map.delete(views, :b), :keep_majority) == {:wait, {:unreachable, [:b]}}
    # The link of two nodes alone is cut: no side has all of what was written.
    bridge = put_in(views.b.running, [:a, :b, :c])
    assert Decision.decide(bridge, :keep_majority) == {:wait, :overlapping}
    assert Decision.decide(put_in(views.c.running, []), :keep_majority) == {:wait, :overlapping}
  end

  test "different schemas or policies are nobody's to decide" do
    views = views([[:a, :b], [:c]])

    assert {:undecided, :schemas_differ, [[:a, :b], [:c]]} =
             Decision.decide(put_in(views.c.schema, 2), :keep_majority)

    assert {:undecided, :policies_differ, _} =
             Decision.decide(put_in(views.a.policy, nil), :keep_oldest)
  end

  test "every node comes to the same decision, with one winner" do
    :rand.seed(:exsss, {1, 2, 3})

    for _ <- 1..500 do
      nodes = Enum.take(~w(a b c d e f g)a, :rand.uniform(6) + 1)
      islands = nodes |> Enum.group_by(fn _ -> :rand.uniform(3) end) |> Map.values()
      ages = for node <- nodes, do: {node, :rand.uniform(3)}

      for kind <- [:keep_majority, :keep_oldest, :merge] do
        answers = for _ <- nodes, do: decide(Enum.shuffle(islands), kind, ages: ages)
        assert [answer] = Enum.uniq(answers)

        case answer do
          {:heal, [winner | losing]} ->
            assert Enum.sort(List.flatten([winner | losing])) == Enum.sort(nodes)
            assert if(kind == :keep_majority, do: 2 * length(winner) > length(nodes), else: true)

          {:undecided, :no_majority, _islands} ->
            assert kind == :keep_majority
            assert Enum.all?(islands, &(2 * length(&1) <= length(nodes)))

          :whole ->
            assert length(islands) == 1
        end
      end
    end
  end

  test "of each table the first island that has it keeps it, and every copy is compared" do
    copies = %{t: [:a, :c, :d, :e], own: [:d], shared: [:d, :e], none: [:gone]}

    assert Decision.plan([[:a, :b], [:c, :d], [:e]], copies) == %{
             c: %{compare: [{:t, [:a], nil}], load: [t: [:a]]},
             d: %{compare: [{:t, [:a], :c}], load: [t: [:a]]},
             e: %{
               compare: [{:shared, [:d], nil}, {:t, [:a], nil}],
               load: [shared: [:d], t: [:a]]
             }
           }
  end

  test "a copy that is not loaded has nothing to tell, and nobody loads from it" do
    copies = %{t: [:a, :b, :c, :d], u: [:a, :c], none: [:a, :c]}
    active = %{t: [:b, :d], u: [:c], none: []}

    assert Decision.plan([[:a, :b], [:c, :d]], copies, active) == %{
             c: %{compare: [], load: [t: [:b]]},
             d: %{compare: [{:t, [:b], nil}], load: [t: [:b]]}
           }
  end

  test "a node that does not answer makes no partition" do
    views = views([[:a, :b, :c]])
    assert Decision.decide(Map.delete(views, :b), :keep_majority) == :whole
  end
end
