defmodule Soak.Mirror do
  @moduledoc false

  # A process that is told of every change of a table, and knows from that alone what is in it.

  def start(table) do
    me = self()

    pid =
      spawn_link(fn ->
        {:ok, _} = :remnesia.subscribe({:table, table, :detailed})
        rows = Map.new(Soak.Tables.rows(table), &{elem(&1, 1), &1})
        send(me, {:mirror, self()})
        follow(table, rows)
      end)

    receive do: ({:mirror, ^pid} -> pid)
  end

  def contents(pid) do
    send(pid, {:contents, self()})
    receive do: ({:contents, ^pid, contents} -> contents)
  end

  def stop(pid) do
    Process.unlink(pid)
    Process.exit(pid, :kill)
  end

  defp follow(table, rows) do
    receive do
      {:mnesia_table_event, {:write, ^table, row, old, _id}} ->
        expected = for {:ok, row} <- [Map.fetch(rows, elem(row, 1))], do: row
        if old != expected, do: exit({:not_what_was_there, table, old, expected})
        follow(table, Map.put(rows, elem(row, 1), row))

      {:mnesia_table_event, {:delete, ^table, {^table, key}, _old, _id}} ->
        follow(table, Map.delete(rows, key))

      {:mnesia_table_event, {:delete, ^table, row, _old, _id}} ->
        follow(table, Map.delete(rows, elem(row, 1)))

      # It was cleared.
      {:mnesia_table_event, {:delete, :schema, {:schema, ^table}, _old, _id}} ->
        follow(table, %{})

      {:mnesia_table_event, {:write, :schema, _definition, _old, _id}} ->
        follow(table, rows)

      {:contents, from} ->
        send(from, {:contents, self(), {table, Map.values(rows)}})
        follow(table, rows)
    end
  end
end
