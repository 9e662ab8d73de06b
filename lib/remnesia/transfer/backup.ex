defmodule Remnesia.Transfer.Backup do
  @moduledoc false

  # A checkpoint as a backup in Mnesia's format: a header, the definitions, the records, each under the name of its table.

  alias Remnesia.Engine.Local.Checkpoints
  alias Remnesia.Transfer.{Items, Media, MnesiaBackup}

  @doc "All tables as they are now."
  @spec run(module, term) :: :ok | {:error, term}
  def run(module, opaque) do
    with {:ok, snapshot} <- Checkpoints.take(nil, Remnesia.Engine.system_info(:tables)) do
      result = write(snapshot, snapshot.tables, module, opaque)
      Checkpoints.release(snapshot)
      result
    end
  end

  @doc "These tables of a checkpoint."
  @spec run_checkpoint(term, [atom] | :all, module, term) :: :ok | {:error, term}
  def run_checkpoint(name, tables, module, opaque) do
    with {:ok, snapshot} <- Checkpoints.fetch(name) do
      cstructs =
        for %{name: table} = cstruct <- snapshot.tables,
            tables == :all or table in tables,
            do: cstruct

      case if(tables == :all, do: [], else: tables -- Enum.map(cstructs, & &1.name)) do
        [] -> write(snapshot, cstructs, module, opaque)
        [table | _] -> {:error, exit_of({~c"No retainer attached to table", [table, name]})}
      end
    else
      {:error, reason} -> {:error, exit_of({:error, reason})}
    end
  end

  # As it reaches the caller of Mnesia, whose writer is a process of its own.
  defp exit_of(reason), do: {:EXIT, {:error, reason}}

  defp write(snapshot, cstructs, module, opaque) do
    media = module |> Media.open_or_abort(opaque) |> Media.put([MnesiaBackup.header()])
    media = Media.put(media, definitions(cstructs))

    cstructs
    |> Enum.reject(&(&1.name == :schema))
    |> Enum.reduce(media, &table(snapshot, &1, &2))
    |> Media.commit()

    :ok
  catch
    {Media, reason} -> {:error, exit_of(reason)}
  end

  defp definitions(cstructs) do
    [schema | tables] = Items.schema(cstructs)
    if Enum.any?(cstructs, &(&1.name == :schema)), do: [schema | tables], else: tables
  end

  defp table(snapshot, cstruct, media) do
    put = fn records, media -> Media.put(media, Items.records(cstruct, records)) end

    case Checkpoints.fold(snapshot, cstruct.name, media, put) do
      {:ok, media} ->
        media

      {:error, reason} ->
        Media.abort(media)
        Media.stop({~c"Tab copier iteration failed", reason})
    end
  end
end
