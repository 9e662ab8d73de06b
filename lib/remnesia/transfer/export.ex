defmodule Remnesia.Transfer.Export do
  @moduledoc false

  # Remnesia's tables as a file in the format of `:mnesia.backup/1`, which `:mnesia.restore/2` and `:mnesia.install_fallback/1`
  # take. All tables as they were at one moment.

  alias Remnesia.Engine
  alias Remnesia.Engine.Cstruct
  alias Remnesia.Transfer.MnesiaBackup

  @batch 1_000

  @spec run(Path.t(), keyword) :: {:ok, [{atom, non_neg_integer}]} | {:error, term}
  def run(path, options) do
    progress = Keyword.get(options, :progress, fn _line -> :ok end)
    tables = Enum.sort(Engine.system_info(:tables) -- [:schema])

    with :ok <- possible(tables) do
      case Engine.transaction(fn -> write(path, tables, progress) end) do
        {:atomic, result} -> result
        {:aborted, reason} -> {:error, reason}
      end
    end
  end

  # What Mnesia has no form for is refused, rather than changed on the way.
  defp possible(tables) do
    case Enum.filter(tables, &(Engine.table_info(&1, :type) == :duplicate_bag)) do
      [] -> :ok
      bags -> {:error, {:not_in_mnesia, :duplicate_bag, bags}}
    end
  end

  defp write(path, tables, progress) do
    for table <- tables, do: Engine.lock_table(table, :read)

    MnesiaBackup.write(path, fn put ->
      put.([schema() | for(table <- tables, do: {:schema, table, definition(table)})])

      for table <- tables do
        progress.("#{inspect(table)}: #{Engine.table_info(table, :size)} records")

        number =
          table |> Engine.select([{:_, [], [:"$_"]}], @batch, :read) |> records(table, put, 0)

        {table, number}
      end
    end)
  end

  defp records(:"$end_of_table", _table, _put, number), do: number

  defp records({records, continuation}, table, put, number) do
    put.(for record <- records, do: put_elem(record, 0, table))
    continuation |> Engine.select() |> records(table, put, number + length(records))
  end

  # Mnesia has no ordered_set on disc alone.
  defp storage(%{type: :ordered_set, disc_only_copies: [_ | _] = nodes} = cstruct),
    do: %{cstruct | disc_copies: nodes, disc_only_copies: []}

  defp storage(cstruct), do: cstruct

  # A schema on disc on this node.
  defp schema do
    cookie = {{System.os_time(), System.unique_integer(), 1}, node()}

    definition =
      Cstruct.to_list(%Cstruct{
        name: :schema,
        record_name: :schema,
        attributes: [:table, :cstruct],
        disc_copies: [node()],
        cookie: cookie
      })

    {:schema, :schema, definition}
  end

  defp definition(table) do
    cstruct = table |> Engine.definition() |> storage()
    # Positions alone: indexes over several attributes are ours.
    Cstruct.to_list(%{
      cstruct
      | index:
          for({position, _} when is_integer(position) <- cstruct.index, do: {position, :ordered})
    })
  end
end
