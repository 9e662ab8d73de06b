defmodule Remnesia.Partition.Repair do
  @moduledoc false

  # The links of a partition do not break at one moment, so a last write of the losing side may have reached one node of the winning side and not
  # another, and Mnesia never finds out. Here a node of the winning side takes the versions of its first node, key by key, in transactions; what it had
  # goes to a file, as that of a losing side does.

  alias Remnesia.Partition.{Files, Versions}
  alias Remnesia.Transfer.{BackupFile, NewFile}

  @timeout 10_000

  @type counts :: %{atom => pos_integer}

  @doc "Repairs these tables, each by the copy on that node."
  @spec run([{atom, node}]) :: {:ok, Path.t() | nil, counts} | {:error, term}
  def run(tables) do
    path = Files.new_path()

    with :ok <- Files.prepare(),
         {:ok, counts} <- BackupFile.write(path, false, &fill(&1, tables)) do
      if counts == %{}, do: File.rm(path)
      {:ok, if(counts != %{}, do: path), counts}
    end
  end

  defp fill(put, tables) do
    put.({:partition, %{node: node(), tables: Keyword.keys(tables)}})

    counts =
      for {table, first} <- tables,
          count = table(table, first, put),
          count > 0,
          into: %{},
          do: {table, count}

    put.({:end, Enum.to_list(counts)})
    counts
  end

  # Most of what differs in the comparison is only on its way.
  defp table(table, first, put) do
    counter = :counters.new(1, [])

    Versions.compare(table, [first], nil, fn versions ->
      for {key, _records} <- versions, had = key(table, key, first) do
        :counters.add(counter, 1, 1)
        put.({:versions, table, [{key, had}]})
      end
    end)

    :counters.get(counter, 1)
  end

  defp key(table, key, first) do
    case :mnesia.transaction(fn -> locked(table, key, first) end) do
      {:atomic, had} -> had
      # Nobody else writes there by transactions then.
      {:aborted, {:no_majority, _}} -> :mnesia.sync_dirty(fn -> take(table, key, first) end)
      {:aborted, reason} -> NewFile.stop({table, reason})
    end
  end

  defp locked(table, key, first) do
    :mnesia.lock({:record, table, key}, :write)
    take(table, key, first)
  end

  # What was here, if it was another version.
  defp take(table, key, first) do
    ours = :mnesia.dirty_read(table, key)
    theirs = :erpc.call(first, :mnesia, :dirty_read, [table, key], @timeout)

    if not Versions.same?(ours, theirs) do
      :mnesia.delete(table, key, :write)
      Enum.each(theirs, &:mnesia.write(table, &1, :write))
      ours
    end
  end
end
