defmodule Isolation.Versions do
  @moduledoc false

  # Dependencies from lists that are appended to, and from the rows that stand for their last values.
  #
  # The longest list that was read of a cell has all its versions in order; version 0 is the empty one. A read is of one version, or, where a row was
  # not found, of one of those that could not be found. All reads of a transaction are of one version: if those that are left are neighbours, from
  # `first` to `last`, then the reader comes after the writer of `first` and before the writer of what follows `last`.

  @doc "Edges between transactions, and what is wrong by itself."
  def dependencies(transactions) do
    writers =
      for txn <- transactions,
          {cell, values} <- txn.writes,
          {value, group} <- values,
          into: %{} do
        {{cell, value}, {txn.id, group}}
      end

    lists = for txn <- transactions, {:list, cell, values} <- txn.reads, do: {cell, values}

    cells =
      lists
      |> Enum.group_by(&elem(&1, 0), &elem(&1, 1))
      |> Map.new(fn {cell, lists} ->
        {cell, cell(cell, Enum.max_by(lists, &length/1), writers)}
      end)

    never = cell(nil, [], %{})
    cell_of = &Map.get(cells, &1, never)

    {sets, wrong} =
      transactions
      |> Enum.flat_map(fn txn ->
        for read <- txn.reads,
            elem(read, 0) != :read,
            found <- read(read, txn.id, cell_of),
            do: found
      end)
      |> Enum.split_with(&(tuple_size(&1) == 3))

    {edges, no_version} =
      sets
      |> Enum.group_by(fn {id, name, _} -> {id, name} end, &elem(&1, 2))
      |> Enum.flat_map(fn {{id, name}, sets} -> one_version(sets, cell_of.(name), id, name) end)
      |> Enum.split_with(&(tuple_size(&1) == 4))

    order = for {name, cell} <- cells, edge <- order(name, cell), do: edge
    wrong = wrong ++ no_version ++ lost(writers, cells) ++ unwritten(cells)
    {Enum.uniq(order ++ edges), wrong}
  end

  # Versions as `{value, writer, group}`; who wrote what nobody committed is nil.
  defp cell(name, values, writers) do
    versions =
      for value <- values do
        {writer, group} = Map.get(writers, {name, value}, {nil, nil})
        {value, writer, group}
      end

    versions = List.to_tuple([{nil, nil, :gone} | versions])
    count = tuple_size(versions) - 1
    places = values |> Enum.with_index(1) |> Map.new()
    cell = %{count: count, values: values, versions: versions, places: places}
    Map.put(cell, :visible, Enum.reject(0..count, &intermediate?(cell, &1)))
  end

  defp writer(cell, n), do: elem(elem(cell.versions, n), 1)
  defp group(cell, n), do: elem(elem(cell.versions, n), 2)

  # Its writer wrote again before anybody could see it.
  defp intermediate?(cell, n),
    do:
      n > 0 and n < cell.count and writer(cell, n) != nil and
        writer(cell, n) == writer(cell, n + 1)

  defp order(name, %{count: count} = cell) when count > 1 do
    for n <- 1..(count - 1),
        edge <- edge(writer(cell, n), :ww, writer(cell, n + 1), name),
        do: edge
  end

  defp order(_name, _cell), do: []

  defp edge(from, _kind, to, _why) when from == nil or to == nil or from == to, do: []
  defp edge(from, kind, to, why), do: [{from, kind, to, why}]

  # --- reads: the versions that they may have been of, or what is wrong ---

  defp read({:list, name, values}, id, cell_of) do
    cell = cell_of.(name)

    if List.starts_with?(cell.values, values),
      do: version(cell, length(values), id, name),
      else: [{:incompatible_order, {id, name, values}}]
  end

  defp read({:row, name, nil}, id, cell_of), do: [absent(name, &(&1 == :gone), id, cell_of)]

  defp read({:row, name, value}, id, cell_of),
    do: present(name, value, &(&1 != :gone), id, cell_of)

  defp read({:where, groups, names, found}, id, cell_of) do
    here = for {name, value} <- found, do: present(name, value, &(&1 in groups), id, cell_of)
    found = for {name, _value} <- found, do: name
    twice = for name <- found -- Enum.uniq(found), do: {:found_twice, {id, name}}
    not_here = for name <- names -- found, do: absent(name, &(&1 not in groups), id, cell_of)
    List.flatten([twice, not_here]) ++ Enum.concat(here)
  end

  defp present(name, value, fits?, id, cell_of) do
    cell = cell_of.(name)

    case cell.places do
      %{^value => n} ->
        cond do
          writer(cell, n) == nil -> [{:aborted_read, {id, name, value}}]
          fits?.(group(cell, n)) -> version(cell, n, id, name)
          true -> [{:wrong_row, {id, name, value, group(cell, n)}}]
        end

      _never_seen ->
        [{:aborted_read, {id, name, value}}]
    end
  end

  defp version(cell, n, id, name) do
    if intermediate?(cell, n),
      do: [{:intermediate_read, {id, name, n}}],
      else: [{id, name, {:versions, [n]}}]
  end

  defp absent(name, fits?, id, cell_of) do
    cell = cell_of.(name)
    {id, name, {:versions, Enum.filter(cell.visible, &fits?.(group(cell, &1)))}}
  end

  defp one_version([{:versions, first} | sets], cell, id, name) do
    case Enum.reduce(sets, first, fn {_, set}, left -> Enum.filter(left, &(&1 in set)) end) do
      [] ->
        [{:no_version, {id, name}}]

      [first | _] = versions ->
        last = List.last(versions)

        # Nothing is known where they are no neighbours.
        if Enum.filter(cell.visible, &(&1 in first..last)) == versions,
          do: between(cell, first, last, id, name),
          else: []
    end
  end

  defp between(cell, first, last, id, name) do
    seen = if first > 0, do: edge(writer(cell, first), :wr, id, name), else: []
    missed = if last < cell.count, do: edge(id, :rw, writer(cell, last + 1), name), else: []
    seen ++ missed
  end

  # --- what is wrong by itself ---

  defp lost(writers, cells) do
    for {{name, value}, {id, _group}} <- writers,
        not (is_map_key(cells, name) and is_map_key(cells[name].places, value)),
        do: {:lost_update, {id, name, value}}
  end

  defp unwritten(cells) do
    unwritten =
      for {name, cell} <- cells, cell.count > 0, n <- 1..cell.count, writer(cell, n) == nil do
        {:aborted_read, {:list, name, elem(elem(cell.versions, n), 0)}}
      end

    doubled =
      for {name, cell} <- cells,
          map_size(cell.places) != cell.count,
          do: {:duplicate, {name, cell.values}}

    unwritten ++ doubled
  end
end
