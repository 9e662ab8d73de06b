defmodule Remnesia.Partition.Finish do
  @moduledoc false

  # The last part on a losing node, when its Mnesia runs again: its tables are loaded from the winners, the master nodes are as they
  # were, and what is to be merged is merged. A node that ended before does this when it is back.

  alias Remnesia.Partition.{Files, Policy, Versions}

  require Logger

  @wait 5_000
  # Of the file, written by this VM or the one before.
  @atoms 1_000_000

  @none %{merged: %{}, refused: %{}}

  @type counts :: %{merged: %{atom => pos_integer}, refused: %{atom => pos_integer}}

  @doc "Begins to do what is noted, in a process of its own."
  @spec start(Policy.t()) :: {pid, reference}
  def start(policy) do
    caller = self()
    mark = make_ref()

    started =
      spawn_monitor(fn ->
        Process.register(self(), __MODULE__)
        send(caller, mark)
        exit({:finished, run(policy)})
      end)

    {pid, monitor} = started

    receive do
      ^mark -> started
      {:DOWN, ^monitor, _, ^pid, _} = down -> send(self(), down) && started
    end
  end

  @doc "What came of it."
  @spec await({pid, reference}) :: {:ok, counts} | {:error, term}
  def await({pid, monitor}) do
    receive do
      {:DOWN, ^monitor, _, ^pid, {:finished, result}} -> result
      {:DOWN, ^monitor, _, ^pid, reason} -> {:error, reason}
    end
  end

  @doc "Is it under way?"
  @spec busy?() :: boolean
  def busy?, do: Process.whereis(__MODULE__) != nil

  @doc "Ends it, if it is under way: what is noted stays."
  @spec cut_off() :: :ok
  def cut_off do
    with pid when is_pid(pid) <- Process.whereis(__MODULE__) do
      monitor = Process.monitor(pid)
      Process.exit(pid, :kill)
      receive(do: ({:DOWN, ^monitor, _, _, _} -> :ok))
    end

    :ok
  end

  defp run(policy) do
    case Files.noted() do
      nil ->
        {:ok, @none}

      note ->
        wait_for_tables()
        for {table, nodes} <- note.masters, do: :mnesia.set_master_nodes(table, nodes)

        with {:ok, counts} <- merge_all(note.merge, policy, @none) do
          Files.forget()
          {:ok, counts}
        end
    end
  end

  defp merge_all([], _policy, counts), do: {:ok, counts}

  defp merge_all([path | paths], policy, counts) do
    with {:ok, counts} <- merge(path, policy, counts), do: merge_all(paths, policy, counts)
  end

  defp wait_for_tables do
    case :mnesia.wait_for_tables(:mnesia.system_info(:local_tables), @wait) do
      :ok ->
        :ok

      {:timeout, tables} ->
        Logger.info("remnesia: after a partition, still waiting for #{inspect(tables)}")
        wait_for_tables()

      {:error, reason} ->
        exit(reason)
    end
  end

  defp merge(path, {:heal, {:merge, fun}}, counts) do
    # The last version of each key.
    versions = :ets.new(__MODULE__, [:private])

    insert = fn table, key, records, :ok ->
      :ets.insert(versions, {{table, key}, records})
      :ok
    end

    case Versions.fold(path, @atoms, :ok, insert) do
      {:ok, :ok} ->
        {:ok, :ets.foldl(&merge_one(&1, &2, fun), counts, versions)}

      {:error, reason} ->
        {:error, {:not_merged, path, reason}}
    end
  catch
    :throw, {:aborted, reason} -> {:error, {:not_merged, path, reason}}
  end

  # The policy has changed meanwhile.
  defp merge(path, _other, _counts), do: {:error, {:not_merged, path, :no_function}}

  defp merge_one({{table, key}, theirs}, counts, fun) do
    merged = :mnesia.sync_transaction(fn -> merge_key(table, key, theirs, fun) end)

    case merged do
      {:atomic, :ok} ->
        count(counts, :merged, table)

      {:aborted, {__MODULE__, reason}} ->
        Logger.error(
          "remnesia: #{inspect(table)}, key #{inspect(key)}: the two versions are not merged, " <>
            "that of the kept side stays: #{reason}"
        )

        count(counts, :refused, table)

      {:aborted, reason} ->
        throw({:aborted, reason})
    end
  end

  defp count(counts, what, table), do: update_in(counts, [what, table], &((&1 || 0) + 1))

  defp merge_key(table, key, theirs, fun) do
    type = :mnesia.table_info(table, :type)
    ours = :mnesia.read(table, key, :write)
    new = records(answer(fun, table, shown(ours, type), shown(theirs, type)), table, key, type)

    if Enum.sort(new) != Enum.sort(ours) do
      if ours != [], do: :mnesia.delete(table, key, :write)
      Enum.each(new, &:mnesia.write(table, &1, :write))
    end

    :ok
  end

  defp shown(records, :bag), do: records
  defp shown([], _set), do: nil
  defp shown([record], _set), do: record

  defp answer(fun, table, ours, theirs) do
    case fun do
      {module, function} -> apply(module, function, [table, ours, theirs])
      fun -> fun.(table, ours, theirs)
    end
  rescue
    error -> refuse(Exception.format(:error, error, __STACKTRACE__))
  catch
    :throw, value -> refuse("throw of #{inspect(value)}")
    # Mnesia's own way to begin a transaction again.
    :exit, {:aborted, _reason} = restart -> exit(restart)
    :exit, reason -> refuse("exit of #{inspect(reason)}")
  end

  defp records(:delete, _table, _key, _type), do: []

  defp records(record, table, key, type) when is_tuple(record),
    do: records([record], table, key, type)

  defp records(records, table, key, type) when is_list(records) do
    size = length(:mnesia.table_info(table, :attributes)) + 1
    name = :mnesia.table_info(table, :record_name)

    for record <- records do
      if not (is_tuple(record) and tuple_size(record) == size and elem(record, 0) == name and
                elem(record, 1) == key),
         do: refuse("#{inspect(record)} is no record of this key")
    end

    if type != :bag and length(records) > 1, do: refuse("several records of one key")
    records
  end

  defp records(other, _table, _key, _type), do: refuse("answer #{inspect(other)}")

  @spec refuse(String.t()) :: no_return
  defp refuse(text), do: :mnesia.abort({__MODULE__, text})

  @doc "Reasons for people."
  @spec text(term) :: String.t()
  def text({:not_merged, path, reason}),
    do: "the versions in #{path} are not merged: #{inspect(reason)}"

  def text(reason), do: inspect(reason)
end
