defmodule Mix.Tasks.Remnesia.Setup do
  @shortdoc "Creates the database on disc and its tables"
  @moduledoc """
  Creates the database on disc, if there is none, and the tables that are missing.

      mix remnesia.setup [--dir DIRECTORY] [--storage disc_copies|ram_copies] [TABLE ...]

  Tables are modules with `use Remnesia.Table`; those that are there are left, or converted to the storage that is asked for. It can be
  called as often as one likes.

  ## Options

    * `--dir` - the directory, else that of the configuration
    * `--storage` - how the tables are kept, `disc_copies` by default
    * `--help` - shows this
  """

  use Mix.Task

  import Mix.Tasks.Remnesia

  @impl true
  def run(arguments) do
    {options, names} = parse(arguments, __MODULE__, storage: :string)
    start(options)
    storage = storage(Keyword.get(options, :storage, "disc_copies"))
    tables = Enum.map(names, &table/1)

    case Remnesia.Schema.setup(tables: tables, storage: storage) do
      :ok ->
        :ok = Remnesia.sync()
        Mix.shell().info("#{Remnesia.system(:directory)}: #{length(tables)} tables are there")

      {:error, reason} ->
        fail("The tables cannot be set up", reason)
    end
  end

  defp storage("disc_copies"), do: :disc_copies
  defp storage("ram_copies"), do: :ram_copies

  defp storage(other),
    do: Mix.raise("Expected --storage disc_copies or ram_copies, got: #{other}")

  defp table(name) do
    module = Module.concat([name])

    if Code.ensure_loaded?(module) and function_exported?(module, :__info__, 0),
      do: module,
      else: Mix.raise("#{name} is not a module with `use Remnesia.Table`")
  end
end
