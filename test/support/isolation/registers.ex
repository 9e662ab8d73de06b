defmodule Isolation.Registers do
  @moduledoc false

  # Dependencies from registers, whose versions do not show what was before them. What is known of their order: a transaction that read a version of
  # another one and then wrote came after it; nothing comes before nil, the version of no write.

  @doc "Edges between transactions, and what is wrong by itself."
  def dependencies(transactions) do
    reads = for txn <- transactions, {:read, cell, value} <- txn.reads, do: {txn.id, cell, value}

    writers =
      for txn <- transactions, {cell, values} <- txn.registers, value <- values, into: %{} do
        {{cell, value}, {txn.id, value == List.last(values)}}
      end

    # For each version the writers that are known to come after it.
    first = for {{cell, _value}, {id, _last}} <- writers, do: {{cell, nil}, id}

    later =
      for txn <- transactions,
          {:read, cell, value} <- txn.reads,
          is_map_key(txn.registers, cell),
          do: {{cell, value}, txn.id}

    followers = Enum.group_by(Enum.uniq(first ++ later), &elem(&1, 0), &elem(&1, 1))

    {Enum.uniq(edges(reads, later, writers, followers)),
     wrong(reads, writers) ++ lost_updates(later)}
  end

  defp edges(reads, later, writers, followers) do
    seen =
      for {id, cell, value} <- reads,
          {writer, true} <- [Map.get(writers, {cell, value})],
          writer != id,
          do: {writer, :wr, id, {:register, cell}}

    missed =
      for {id, cell, value} <- reads,
          follower <- Map.get(followers, {cell, value}, []),
          follower != id,
          do: {id, :rw, follower, {:register, cell}}

    overwritten =
      for {{cell, value}, id} <- later,
          {writer, true} <- [Map.get(writers, {cell, value})],
          writer != id,
          do: {writer, :ww, id, {:register, cell}}

    seen ++ missed ++ overwritten
  end

  defp wrong(reads, writers) do
    Enum.flat_map(reads, fn {id, cell, value} ->
      case Map.get(writers, {cell, value}) do
        nil when value == nil ->
          []

        nil ->
          [{:aborted_read, {id, {:register, cell}, value}}]

        {writer, false} when writer != id ->
          [{:intermediate_read, {id, {:register, cell}, value}}]

        _last ->
          []
      end
    end)
  end

  # Two that read the same version and wrote.
  defp lost_updates(later) do
    for {{cell, value}, ids} <- Enum.group_by(Enum.uniq(later), &elem(&1, 0), &elem(&1, 1)),
        length(ids) > 1,
        do: {:lost_update, {ids, {:register, cell}, value}}
  end
end
