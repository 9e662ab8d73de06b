defmodule Remnesia.Transfer.Export do
  @moduledoc false

  # Remnesia's tables as a file in the format of `:mnesia.backup/1`, which `:mnesia.restore/2` and `:mnesia.install_fallback/1`
  # take. All tables as they were at one moment.

  alias Remnesia.Engine
  alias Remnesia.Engine.Local.Checkpoints
  alias Remnesia.Transfer.{Items, MnesiaBackup}

  @spec run(Path.t(), keyword) :: {:ok, [{atom, non_neg_integer}]} | {:error, term}
  def run(path, options) do
    progress = Keyword.get(options, :progress, fn _line -> :ok end)
    tables = Enum.sort(Engine.system_info(:tables) -- [:schema])

    with :ok <- possible(tables), {:ok, snapshot} <- Checkpoints.take(nil, tables) do
      result = write(path, snapshot, progress)
      Checkpoints.release(snapshot)
      result
    end
  end

  # What Mnesia has no form for is refused, rather than changed on the way.
  defp possible(tables) do
    case Enum.filter(tables, &(Engine.table_info(&1, :type) == :duplicate_bag)) do
      [] -> :ok
      bags -> {:error, {:not_in_mnesia, :duplicate_bag, bags}}
    end
  end

  defp write(path, snapshot, progress) do
    MnesiaBackup.write_with(path, fn put ->
      put.(snapshot.tables |> Enum.map(&storage/1) |> Items.schema())

      for cstruct <- snapshot.tables do
        progress.("#{inspect(cstruct.name)}: #{Engine.table_info(cstruct.name, :size)} records")

        add = fn records, number ->
          put.(Items.records(cstruct, records))
          number + length(records)
        end

        {:ok, number} = Checkpoints.fold(snapshot, cstruct.name, 0, add)
        {cstruct.name, number}
      end
    end)
  end

  # Mnesia has no ordered_set on disc alone.
  defp storage(%{type: :ordered_set, disc_only_copies: [_ | _] = nodes} = cstruct),
    do: %{cstruct | disc_copies: nodes, disc_only_copies: []}

  defp storage(cstruct), do: cstruct
end
