defmodule Remnesia.Partition.Decision do
  @moduledoc false

  # Who keeps its data after a partition. Pure: what each node says of itself goes in, the same answer comes out on every node.
  #
  # An island is a set of nodes whose Mnesias run together. Islands are ranked, the winner first; of each table the first island that has a
  # copy of it is the keeper, so a table that the winner does not have is not lost.

  @typedoc """
  What a node says: the nodes that its Mnesia runs with (itself among them), all nodes of the schema, for how long it has run (ms), the version of
  its schema, and its policy.
  """
  @type view :: %{
          running: [node],
          db_nodes: [node],
          age: non_neg_integer,
          schema: term,
          policy: kind | :report | nil
        }
  @type kind :: :keep_majority | :keep_oldest | :merge
  @type island :: [node, ...]
  @type answer ::
          :whole
          | {:wait, {:unreachable, [node]} | :overlapping}
          | {:undecided, :no_majority | :policies_differ | :schemas_differ, [island]}
          | {:heal, [island, ...]}

  @doc """
  What is to be done. `{:wait, reason}` may settle by itself, and is `:undecided` if it does not.

      iex> view = &%{running: &1, db_nodes: [:a, :b, :c], age: &2, schema: 1, policy: :keep_majority}
      iex> views = %{a: view.([:a, :b], 5), b: view.([:a, :b], 5), c: view.([:c], 9)}
      iex> Remnesia.Partition.Decision.decide(views, :keep_majority)
      {:heal, [[:a, :b], [:c]]}
      iex> Remnesia.Partition.Decision.decide(%{views | c: view.([:c, :b], 9)}, :keep_majority)
      {:wait, :overlapping}
  """
  @spec decide(%{node => view}, kind | :report) :: answer
  def decide(views, kind) do
    case islands(views) do
      {:ok, [_, _ | _] = islands} -> agreed(islands, views, kind)
      {:ok, _one} -> :whole
      wait -> wait
    end
  end

  @doc "The islands, each in the order of its names; in the order of their first names."
  @spec islands(%{node => view}) :: {:ok, [island]} | {:wait, term}
  def islands(views) do
    sets = Map.new(views, fn {node, view} -> {node, Enum.sort(view.running)} end)
    named = sets |> Map.values() |> List.flatten() |> Enum.uniq()

    cond do
      together?(sets) ->
        {:ok, [Enum.sort(Map.keys(sets))]}

      (unknown = named -- Map.keys(views)) != [] ->
        {:wait, {:unreachable, Enum.sort(unknown)}}

      Enum.all?(sets, &alike?(&1, sets)) ->
        {:ok, sets |> Map.values() |> Enum.uniq() |> Enum.sort()}

      true ->
        {:wait, :overlapping}
    end
  end

  # Who does not answer is slow, or down; that is no partition.
  defp together?(sets), do: Enum.all?(sets, fn {_node, set} -> Map.keys(sets) -- set == [] end)

  # All that a node runs with run with the same ones.
  defp alike?({node, set}, sets), do: node in set and Enum.all?(set, &(sets[&1] == set))

  defp agreed(islands, views, kind) do
    cond do
      differ?(views, :policy) -> {:undecided, :policies_differ, islands}
      differ?(views, :schema) -> {:undecided, :schemas_differ, islands}
      true -> rank(kind, islands, views)
    end
  end

  defp differ?(views, item),
    do: views |> Map.values() |> Enum.uniq_by(& &1[item]) |> length() > 1

  defp rank(:keep_majority, islands, views) do
    all = views |> Map.values() |> Enum.flat_map(& &1.db_nodes) |> Enum.uniq() |> length()
    ranked = [first | _] = by_size(islands, views)
    if 2 * length(first) > all, do: {:heal, ranked}, else: {:undecided, :no_majority, islands}
  end

  defp rank(:keep_oldest, islands, views),
    do: {:heal, Enum.sort_by(islands, &{-age(&1, views), &1})}

  defp rank(_merge_or_report, islands, views), do: {:heal, by_size(islands, views)}

  defp by_size(islands, views), do: Enum.sort_by(islands, &{-length(&1), -age(&1, views), &1})
  defp age(island, views), do: island |> Enum.map(&views[&1].age) |> Enum.max()

  @typedoc "For a node: tables, each with the nodes that have the copy which counts."
  @type tables :: [{atom, [node]}]
  @type comparisons :: [{atom, [node], node | nil}]

  @doc """
  What each losing node does, of the ranked islands and the nodes that have copies of each table: it compares these tables with the copies
  that count, and loads those from there. The first node of an island tells for all of it, and each other one what only it has: the links do not
  break at one moment, and a write may have reached some. `active` are those of the copies that are loaded: a node that came back alone waits for
  others, and has nothing to tell.

      iex> Remnesia.Partition.Decision.plan([[:a, :b], [:c, :d]], %{t: [:b, :c, :d], own: [:c, :d]})
      %{c: %{compare: [{:t, [:b], nil}], load: [t: [:b]]}, d: %{compare: [{:t, [:b], :c}], load: [t: [:b]]}}
  """
  @spec plan([island], %{atom => [node]}, %{atom => [node]} | nil) ::
          %{node => %{compare: comparisons, load: tables}}
  def plan([_winner | losing] = ranked, copies, active \\ nil) do
    active = active || copies
    keepers = Map.new(active, fn {table, nodes} -> {table, first_island(ranked, nodes)} end)

    for island <- losing, node <- island, into: %{} do
      load =
        for {table, nodes} <- Enum.sort(copies),
            node in nodes,
            keepers[table] != [] and node not in keepers[table],
            keepers[table] -- island != [],
            do: {table, keepers[table]}

      compare =
        for {table, keepers} <- load, node in active[table] do
          first = Enum.find(island, &(&1 in active[table]))
          {table, keepers, if(first != node, do: first)}
        end

      {node, %{compare: compare, load: load}}
    end
  end

  @doc """
  What nodes of the winning island do before: they take the versions of its first node, each for tables that both have loaded.

      iex> Remnesia.Partition.Decision.repairs([:a, :b, :c], %{t: [:a, :c, :d], u: [:b], v: [:b, :c]})
      %{c: [t: :a, v: :b]}
  """
  @spec repairs(island, %{atom => [node]}) :: %{node => [{atom, node}]}
  def repairs(winner, active) do
    for {table, nodes} <- Enum.sort(active),
        [first | others] <- [Enum.filter(winner, &(&1 in nodes))],
        node <- others,
        reduce: %{} do
      repairs -> Map.update(repairs, node, [{table, first}], &(&1 ++ [{table, first}]))
    end
  end

  # Of the first island that has any of these nodes those that it has.
  defp first_island(ranked, nodes) do
    Enum.find_value(ranked, [], fn island ->
      if (there = Enum.filter(island, &(&1 in nodes))) != [], do: there
    end)
  end
end
