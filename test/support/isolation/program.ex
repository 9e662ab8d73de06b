defmodule Isolation.Program do
  @moduledoc false

  # Random transactions, as data. `:rand` is the only source of chance.

  @cells 4
  @registers 2
  @groups 3

  @doc "Cells, registers and groups of the history of this number; no two histories have any in common."
  def names(history) do
    %{
      cells: for(n <- 1..@cells, do: history * 100 + n),
      registers: for(n <- 1..@registers, do: history * 100 + 50 + n),
      groups: for(n <- 1..@groups, do: history * 10 + n),
      filler: history * 10 + 9
    }
  end

  @doc "A transaction: `{how, steps, ending}`."
  def random(names) do
    how = pick([:mnesia, :mnesia, :memento, :memento, :snapshot])
    steps = for _ <- 1..:rand.uniform(5), do: step(names, 2)

    case how do
      :snapshot ->
        {:snapshot, [], :ok}

      door ->
        {door, steps, pick(List.duplicate(:ok, 12) ++ [:abort, :raise, :killed, :kill_itself])}
    end
  end

  @doc "Reads everything."
  def everything(names) do
    reads =
      for(cell <- names.cells, read <- [{:list, cell, :read}, {:row, cell, :read}], do: read)

    registers = for cell <- names.registers, do: {:read, cell, :read}
    {:mnesia, reads ++ registers ++ [{:where, names.groups, :match}], :ok}
  end

  defp step(names, depth) do
    cell = pick(names.cells)
    register = pick(names.registers)

    case :rand.uniform(if(depth > 0, do: 22, else: 20)) do
      n when n <= 5 ->
        {:append, cell, pick([:gone | names.groups]), pick([:read, :write, :before])}

      n when n <= 8 ->
        {:list, cell, pick([:read, :read, :write])}

      n when n <= 10 ->
        {:row, cell, pick([:read, :read, :write])}

      n when n <= 14 ->
        {:where, Enum.take_random(names.groups, :rand.uniform(2)), way()}

      n when n <= 16 ->
        {:bump, register}

      17 ->
        {:write, register}

      18 ->
        {:read, register, :read}

      19 ->
        pick([{:fill, 3}, {:fill, 3}, {:fill, 3}, {:fill, 300}])

      20 ->
        {:pause, pick([0, 0, 1])}

      _ ->
        {:inner, for(_ <- 1..:rand.uniform(3), do: step(names, depth - 1)),
         pick([:ok, :ok, :abort])}
    end
  end

  # Ways to search; some know no groups and find the rows of all cells.
  defp way do
    pick([:index_read, :match, :select, :select_chunks, :index_range, :key_range, :fold, :walk])
  end

  defp pick(list), do: Enum.random(list)
end
