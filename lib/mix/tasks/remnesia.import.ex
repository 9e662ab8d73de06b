defmodule Mix.Tasks.Remnesia.Import do
  @shortdoc "Takes over the tables of stock Mnesia"
  @moduledoc """
  Takes over the tables of a directory of stock Mnesia: definitions, indexes, properties and records.

      mix remnesia.import [MNESIA_DIRECTORY] [--dir DIRECTORY] [--node NODE]

  Without an argument it is Mnesia's directory of the configuration. It is read through a copy and stays as it is; Mnesia must not
  run on it. The database on disc is created if there is none. An import that was cut off goes on where it was.

  ## Options

    * `--dir` - the directory of Remnesia, else that of the configuration
    * `--node` - whose tables, if the schema knows several nodes
    * `--help` - shows this
  """

  use Mix.Task

  import Mix.Tasks.Remnesia

  @impl true
  def run(arguments) do
    {options, rest} = parse(arguments, __MODULE__, node: :string)
    # Said by calling this task.
    Application.put_env(:remnesia, :import, :ignore)
    start(options)
    source = List.first(rest) || to_string(Remnesia.system(:directory))

    with {:error, reason} <- Remnesia.Schema.setup([]),
         do: fail("The database on disc cannot be created", reason)

    import_options =
      [progress: &Mix.shell().info/1] ++
        if(node = options[:node], do: [node: String.to_atom(node)], else: [])

    case Remnesia.import_mnesia(source, import_options) do
      {:ok, tables} ->
        :ok = Remnesia.sync()

        for {table, records} <- tables,
            do: Mix.shell().info("#{inspect(table)}: #{records} records")

      {:error, {:no_mnesia, directory}} ->
        Mix.raise("There is no Mnesia database in #{directory}")

      {:error, {:which_node, nodes}} ->
        Mix.raise("The schema knows several nodes: say --node with one of #{inspect(nodes)}")

      {:error, reason} ->
        fail("The import failed", reason)
    end
  end
end
