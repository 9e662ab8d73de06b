defmodule Isolation.Graph do
  @moduledoc false

  # Cycles of dependencies, named as Adya does ("Weak Consistency: A Generalized Theory and Optimistic Implementations for Distributed
  # Transactions", 1999). An edge is `{from, kind, to, why}`:
  #
  #   * `:ww` - `to` wrote the version that follows one of `from`
  #   * `:wr` - `to` read what `from` wrote
  #   * `:rw` - `from` read a version that `to` wrote the next one of
  #   * `:rt` - `from` had ended when `to` began

  @type edge :: {from :: term, kind :: :ww | :wr | :rw | :rt, to :: term, why :: term}
  @type class :: :g0 | :g1c | :g_single | :g2 | :realtime

  @doc "A cycle of the worst class that there is, as its edges; nil where the transactions can stand in one order."
  @spec cycle([edge]) :: {class, [edge]} | nil
  def cycle(edges) do
    if acyclic?(edges) do
      nil
    else
      kinds = [g0: [:ww], g1c: [:ww, :wr], g2: [:ww, :wr, :rw], realtime: [:ww, :wr, :rw, :rt]]

      Enum.find_value(kinds, fn {class, kinds} ->
        edges = Enum.filter(edges, &(elem(&1, 1) in kinds))
        with [_ | _] = cycle <- shortest(class, edges), do: {class(class, cycle), cycle}
      end)
    end
  end

  # One reader that misses one writer's change is a class of its own.
  defp class(:g2, cycle),
    do: if(Enum.count(cycle, &(elem(&1, 1) == :rw)) == 1, do: :g_single, else: :g2)

  defp class(class, _cycle), do: class

  # Takes away whatever nothing leads to, until nothing is left.
  defp acyclic?(edges) do
    next = Enum.group_by(edges, &elem(&1, 0), &elem(&1, 2))
    before = Enum.frequencies_by(edges, &elem(&1, 2))
    free = for from <- Map.keys(next), not is_map_key(before, from), do: from
    map_size(strip(free, next, before)) == 0
  end

  defp strip([], _next, before), do: before

  defp strip([node | free], next, before) do
    {free, before} =
      next
      |> Map.get(node, [])
      |> Enum.reduce({free, before}, fn to, {free, before} ->
        case before do
          %{^to => 1} -> {[to | free], Map.delete(before, to)}
          %{^to => n} -> {free, %{before | to => n - 1}}
        end
      end)

    strip(free, next, before)
  end

  # A shortest cycle; one with a single `:rw` edge before all others.
  defp shortest(class, edges) do
    next = Enum.group_by(edges, &elem(&1, 0))
    single = class == :g2 && Enum.reject(edges, &(elem(&1, 1) == :rw))
    found = single && through(Enum.filter(edges, &(elem(&1, 1) == :rw)), by_start(single))
    found || through(edges, next)
  end

  defp by_start(edges), do: Enum.group_by(edges, &elem(&1, 0))

  defp through(edges, next) do
    edges
    |> Enum.map(fn {from, _, to, _} = edge ->
      with path when is_list(path) <- path([{to, []}], [], from, next, MapSet.new([to])),
           do: [edge | path]
    end)
    |> Enum.filter(& &1)
    |> Enum.min_by(&length/1, fn -> nil end)
  end

  # Breadth first.
  defp path([], [], _goal, _next, _seen), do: nil
  defp path([], later, goal, next, seen), do: path(Enum.reverse(later), [], goal, next, seen)
  defp path([{goal, way} | _], _later, goal, _next, _seen), do: Enum.reverse(way)

  defp path([{node, way} | rest], later, goal, next, seen) do
    new =
      for {_, _, to, _} = edge <- Map.get(next, node, []), to not in seen, do: {to, [edge | way]}

    seen = Enum.reduce(new, seen, &MapSet.put(&2, elem(&1, 0)))
    path(rest, Enum.reverse(new) ++ later, goal, next, seen)
  end
end
