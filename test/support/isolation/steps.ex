defmodule Isolation.Steps do
  @moduledoc false

  # What the steps of Isolation.Program do, by one door or the other, and how they are noted.

  alias Isolation.Run
  alias Remnesia.Query

  def abort(:mnesia), do: :remnesia.abort(:wanted)
  def abort(:memento), do: Remnesia.Transaction.abort(:wanted)

  def run({:append, cell, group, how}, door, context) do
    value = System.unique_integer([:positive])
    Run.note(context, {:append, cell, value, group})
    if how == :before, do: row(door, context.tables.rows, cell, value, group)
    append(door, context.tables, cell, value, how)
    if how != :before, do: row(door, context.tables.rows, cell, value, group)
  end

  def run({:list, cell, lock}, door, context),
    do:
      Run.note(
        context,
        {:list, cell, list(context.tables, read(door, context.tables.lists, cell, lock))}
      )

  def run({:row, cell, lock}, door, context),
    do: Run.note(context, {:row, cell, value(read(door, context.tables.rows, cell, lock))})

  def run({:read, cell, lock}, door, context),
    do: Run.note(context, {:read, cell, value(read(door, context.tables.registers, cell, lock))})

  def run({:write, cell}, door, context) do
    value = System.unique_integer([:positive])
    Run.note(context, {:write, cell, value})
    write(door, {context.tables.registers, cell, value})
  end

  def run({:bump, cell}, door, context) do
    run({:read, cell, Enum.random([:read, :write])}, door, context)
    if :rand.uniform(3) == 1, do: pause(0)
    run({:write, cell}, door, context)
  end

  def run({:where, groups, way}, door, context) do
    %{tables: %{rows: rows}, names: names} = context
    # Some ways know no groups: theirs are the rows of all.
    groups = if way in [:key_range, :fold, :walk], do: names.groups, else: groups

    groups =
      if way == :index_range, do: Enum.to_list(Enum.min(groups)..Enum.max(groups)), else: groups

    found =
      for {_, cell, value, _group} <- where(way, door, rows, groups, names), do: {cell, value}

    Run.note(context, {:where, groups, names.cells, found})
  end

  # Rows of no cell, so that a commit is a large one, which is applied in steps.
  def run({:fill, number}, door, context) do
    %{tables: %{rows: rows}, names: %{filler: filler, cells: [first | _]}} = context
    for n <- 1..number, do: write(door, {rows, -(first * 1000 + n), n, filler})
  end

  def run({:pause, milliseconds}, _door, _context), do: pause(milliseconds)

  def run({:inner, steps, ending}, door, context) do
    Run.inner(context, fn ->
      fun = fn ->
        Enum.each(steps, &run(&1, door, context))
        if ending == :abort, do: abort(door)
      end

      case transaction(door, fun) do
        {done, _} when done in [:atomic, :ok] -> :ok
        {failed, _} when failed in [:aborted, :error] -> :aborted
      end
    end)
  end

  @doc "Reads everything by a function of table and key."
  def run_snapshot(context, read) do
    %{tables: tables, names: names} = context

    for cell <- names.cells do
      Run.note(context, {:list, cell, list(tables, read.(tables.lists, cell))})
      Run.note(context, {:row, cell, value(read.(tables.rows, cell))})
    end

    for cell <- names.registers,
        do: Run.note(context, {:read, cell, value(read.(tables.registers, cell))})
  end

  defp transaction(:mnesia, fun), do: :remnesia.transaction(fun)
  defp transaction(:memento, fun), do: Remnesia.transaction(fun)

  defp pause(0), do: :erlang.yield()
  defp pause(milliseconds), do: Process.sleep(milliseconds)

  # --- lists ---

  # Records of a bag are appended blindly.
  defp append(door, %{bag?: true, lists: table}, cell, value, _how),
    do: write(door, {table, cell, value})

  defp append(door, %{lists: table} = tables, cell, value, how) do
    before = list(tables, read(door, table, cell, if(how == :write, do: :write, else: :read)))
    if :rand.uniform(4) == 1, do: pause(0)
    write(door, {table, cell, before ++ [value]})
  end

  defp list(%{bag?: true}, records), do: for({_, _, value} <- records, do: value)
  defp list(_tables, []), do: []
  defp list(_tables, [{_, _, values}]), do: values

  # --- rows ---

  defp row(door, table, cell, _value, :gone), do: delete(door, table, cell)
  defp row(door, table, cell, value, group), do: write(door, {table, cell, value, group})

  defp value([]), do: nil
  defp value([record]), do: elem(record, 2)

  defp read(:mnesia, table, cell, lock), do: :remnesia.read(table, cell, lock)

  defp read(:memento, table, cell, lock),
    do: table |> Query.read_all(cell, lock: lock) |> Enum.map(&Query.Data.dump/1)

  defp write(:mnesia, record), do: :remnesia.write(record)
  defp write(:memento, record), do: record |> Query.Data.load() |> Query.write()

  defp delete(:mnesia, table, cell), do: :remnesia.delete({table, cell})
  defp delete(:memento, table, cell), do: Query.delete(table, cell)

  # --- searches ---

  defp where(:index_read, :mnesia, rows, groups, _names),
    do: Enum.flat_map(groups, &:remnesia.index_read(rows, &1, :group))

  defp where(:match, :mnesia, rows, groups, _names),
    do: Enum.flat_map(groups, &:remnesia.match_object({rows, :_, :_, &1}))

  defp where(:select, :mnesia, rows, groups, _names),
    do: :remnesia.select(rows, spec(rows, any(groups)))

  defp where(:select_chunks, :mnesia, rows, groups, _names),
    do: chunks(:remnesia.select(rows, spec(rows, any(groups)), 2, :read), [])

  defp where(:index_range, :mnesia, rows, groups, _names) do
    guards = [{:>=, :"$3", Enum.min(groups)}, {:"=<", :"$3", Enum.max(groups)}]
    :remnesia.select(rows, spec(rows, guards))
  end

  defp where(:key_range, :mnesia, rows, _groups, names) do
    guards = [{:>=, :"$1", Enum.min(names.cells)}, {:"=<", :"$1", Enum.max(names.cells)}]
    :remnesia.select(rows, spec(rows, guards))
  end

  defp where(:fold, :mnesia, rows, groups, _names) do
    fun = fn record, found -> if elem(record, 3) in groups, do: [record | found], else: found end
    :remnesia.foldl(fun, [], rows)
  end

  defp where(:walk, :mnesia, rows, _groups, names) do
    keys = :remnesia.all_keys(rows)
    for cell <- names.cells, cell in keys, record <- :remnesia.read(rows, cell, :read), do: record
  end

  defp where(way, :memento, rows, groups, names),
    do: way |> query(rows, groups, names) |> Enum.map(&Query.Data.dump/1)

  defp query(:index_read, rows, groups, _names),
    do: Enum.flat_map(groups, &Query.select(rows, {:==, :group, &1}))

  defp query(:match, rows, groups, _names),
    do: Enum.flat_map(groups, &Query.match(rows, {:_, :_, &1}))

  defp query(:select, rows, [first | groups], _names) do
    guard = Enum.reduce(groups, {:==, :group, first}, &{:or, &2, {:==, :group, &1}})
    Query.select(rows, guard)
  end

  defp query(:select_chunks, rows, groups, _names),
    do:
      Enum.flat_map(
        groups,
        &(rows |> Query.stream({:==, :group, &1}, limit: 2) |> Enum.to_list())
      )

  defp query(:index_range, rows, groups, _names) do
    guards = [{:>=, :group, Enum.min(groups)}, {:<=, :group, Enum.max(groups)}]
    Query.select(rows, guards, order_by: {:desc, :group})
  end

  defp query(:key_range, rows, _groups, names) do
    guards = [{:>=, :cell, Enum.min(names.cells)}, {:<=, :cell, Enum.max(names.cells)}]
    Query.select(rows, guards)
  end

  defp query(:fold, rows, groups, _names),
    do: rows |> Query.all() |> Enum.filter(&(&1.group in groups))

  defp query(:walk, rows, _groups, names) do
    keys = Query.all_keys(rows)
    for cell <- names.cells, cell in keys, record <- Query.read_all(rows, cell), do: record
  end

  defp spec(rows, guards), do: [{{rows, :"$1", :"$2", :"$3"}, guards, [:"$_"]}]

  defp any(groups),
    do: [List.to_tuple([:orelse | for(group <- groups, do: {:"=:=", :"$3", group})])]

  defp chunks(:"$end_of_table", found), do: found
  defp chunks({records, more}, found), do: chunks(:remnesia.select(more), records ++ found)
end
