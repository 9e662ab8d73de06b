defmodule Mix.Tasks.Remnesia.Info do
  @shortdoc "Shows what a database on disc holds"
  @moduledoc """
  Shows the tables of a database on disc: type, storage, attributes, indexes and number of records.

      mix remnesia.info [--dir DIRECTORY]

  The database must not be in use by another process.

  ## Options

    * `--dir` - the directory, else that of the configuration
    * `--help` - shows this
  """

  use Mix.Task

  import Mix.Tasks.Remnesia

  @impl true
  def run(arguments) do
    {options, _rest} = parse(arguments, __MODULE__, [])
    start(options)

    if not Remnesia.system(:use_dir),
      do: Mix.raise("There is no database in #{Remnesia.system(:directory)}")

    Mix.shell().info("Directory #{Remnesia.system(:directory)}")

    for table <- Enum.sort(Remnesia.system(:tables)) -- [:schema] do
      info = &Remnesia.Engine.table_info(table, &1)
      index = Enum.map(info.(:index), fn position -> attribute(info.(:attributes), position) end)

      Mix.shell().info([
        "\n#{inspect(table)}: #{info.(:size)} records, #{info.(:type)}, #{info.(:storage_type)}",
        "\n  attributes #{inspect(info.(:attributes))}",
        if(index == [], do: "", else: "\n  index #{Enum.join(index, ", ")}")
      ])
    end
  end

  defp attribute(attributes, position) when is_integer(position),
    do: Enum.at(attributes, position - 2)

  defp attribute(_attributes, other), do: inspect(other)
end
