defmodule Remnesia.Transfer.Own do
  @moduledoc false

  # Remnesia's own backup of all tables or some, and back: everything of their definitions, all of their records.

  alias Remnesia.Engine.Choice
  alias Remnesia.Engine.Local.{Checkpoints, Disc, Refill, Schema, Signal}
  alias Remnesia.Transfer.{BackupFile, NewFile, Restore}

  @atoms 500_000
  # Records of one frame; large ones make it larger.
  @frame_bytes 1024 * 1024

  @type result :: {:ok, [{atom, non_neg_integer}]} | {:error, term}

  # --- writing ---

  @spec backup(Path.t(), keyword) :: result
  def backup(path, options) do
    progress = progress(options)
    compact? = Keyword.get(options, :compact, false)

    with {:ok, snapshot} <- snapshot(options) do
      result = BackupFile.write(path, compact?, &write(&1, snapshot, progress))
      Checkpoints.release(snapshot)
      result
    end
  end

  @doc "The tables that the options name, as they are now; the caller releases them."
  @spec snapshot(keyword) :: {:ok, Checkpoints.t()} | {:error, term}
  def snapshot(options) do
    case Keyword.get(options, :tables, :all) do
      :all -> running(fn -> Checkpoints.take(nil, all()) end)
      tables -> running(fn -> Checkpoints.take(nil, Enum.uniq(tables)) end)
    end
  end

  @no_cluster "on several nodes the backups of the Mnesia door are Mnesia's: :remnesia.backup/1, restore/2"

  @doc "Calls the function while the database of this node alone runs."
  @spec running((() -> result)) :: result | {:error, term} when result: term
  def running(fun) do
    cond do
      Remnesia.Engine.system_info(:is_running) != :yes -> {:error, {:node_not_running, node()}}
      Choice.cluster?() -> {:error, {:not_available, @no_cluster}}
      true -> fun.()
    end
  end

  defp all, do: Enum.sort(Remnesia.Engine.system_info(:tables) -- [:schema])

  defp write(put, snapshot, progress) do
    put.({:tables, for(cstruct <- snapshot.tables, do: {cstruct.name, definition(cstruct)})})

    counts =
      for %{name: table} <- snapshot.tables do
        progress.("#{inspect(table)}: writing")

        case Checkpoints.fold(snapshot, table, 0, &rows(&1, &2, table, put)) do
          {:ok, number} -> {table, number}
          {:error, reason} -> NewFile.stop(reason)
        end
      end

    put.({:end, counts})
    counts
  end

  defp definition(cstruct),
    do: cstruct |> Map.from_struct() |> Enum.sort() |> Keyword.drop([:cookie, :external_copies])

  defp rows(records, number, table, put) do
    if length(records) > 1 and :erlang.external_size(records) > @frame_bytes do
      {some, others} = Enum.split(records, div(length(records), 2))
      number = rows(some, number, table, put)
      rows(others, number, table, put)
    else
      put.({:rows, table, records})
      number + length(records)
    end
  end

  # --- reading ---

  @doc "What is in a backup, all of which is read: the definitions and numbers of records."
  @spec verify(Path.t(), keyword) :: {:ok, [{atom, keyword, non_neg_integer}]} | {:error, term}
  def verify(path, options) do
    budget = Keyword.get(options, :max_atoms, Application.get_env(:remnesia, :max_atoms, @atoms))
    fold(path, budget)
  end

  defp fold(path, budget) do
    case BackupFile.fold(path, budget, :begin, &check(&1, &2, path)) do
      {:ok, {:complete, tables, counts}} ->
        {:ok, for({name, definition} <- tables, do: {name, definition, counts[name]})}

      {:ok, _no_tables} ->
        {:error, {:corrupt, path, :no_tables}}

      error ->
        error
    end
  end

  defp check({:tables, tables}, :begin, path) do
    good? = fn
      {name, definition} -> is_atom(name) and name != :schema and Keyword.keyword?(definition)
      _other -> false
    end

    if is_list(tables) and Enum.all?(tables, good?),
      do: {tables, Map.new(tables, fn {name, _} -> {name, 0} end)},
      else: BackupFile.stop({:corrupt, path, :tables})
  end

  defp check({:rows, table, records}, {tables, counts}, _path)
       when is_map_key(counts, table) and is_list(records),
       do: {tables, Map.update!(counts, table, &(&1 + length(records)))}

  defp check({:end, said}, {tables, counts}, path) when is_list(said) do
    if Enum.sort(said) == Enum.sort(Map.to_list(counts)),
      do: {:complete, tables, counts},
      else: BackupFile.stop({:corrupt, path, :counts})
  end

  defp check(_other, _state, path), do: BackupFile.stop({:corrupt, path, :order})

  @spec restore(Path.t(), keyword) :: result
  def restore(path, options) do
    with :ok <- if(Choice.cluster?(), do: {:error, {:not_available, @no_cluster}}, else: :ok),
         {:ok, found} <- verify(path, options),
         {:ok, tables} <- wanted(found, Keyword.get(options, :tables, :all)),
         do: fill(path, tables, progress(options))
  end

  defp wanted(found, :all), do: {:ok, found}

  defp wanted(found, names) do
    case names -- Enum.map(found, &elem(&1, 0)) do
      [] -> {:ok, Enum.filter(found, &(elem(&1, 0) in names))}
      missing -> {:error, {:not_in_backup, missing}}
    end
  end

  defp fill(path, tables, progress) do
    result =
      Schema.changing(fn txn ->
        steps = for {name, definition, _} <- tables, do: {:recreate, cstruct(name, definition)}
        Refill.run(txn, steps, &records(path, &1, progress))
      end)

    case result do
      {:atomic, :ok} -> {:ok, Enum.sort(for {name, _, number} <- tables, do: {name, number})}
      {:aborted, reason} -> {:error, reason}
    end
  end

  # Where there is no schema on disc the tables come into memory.
  defp cstruct(name, definition) do
    disc? = Disc.used?()
    kinds = [:ram_copies, :disc_copies, :disc_only_copies]
    kind = Enum.find(kinds, :ram_copies, &(List.wrap(definition[&1]) != []))
    copies = [{if(disc?, do: kind, else: :ram_copies), [node()]}]
    Restore.cstruct(name, Keyword.drop(definition, kinds) ++ copies)
  end

  defp records(path, put, progress) do
    # It was found sound a moment ago, and its atoms are there; what has changed since is damage.
    each = fn
      {:rows, table, records}, last ->
        if table != last, do: progress.("#{inspect(table)}: reading")
        put.(for record <- records, is_tuple(record), do: put_elem(record, 0, table))
        table

      _other, last ->
        last
    end

    case BackupFile.fold(path, 0, nil, each) do
      {:ok, _last} -> :ok
      {:error, reason} -> Signal.abort(reason)
    end
  end

  defp progress(options), do: Keyword.get(options, :progress, fn _line -> :ok end)
end
