defmodule Mix.Tasks.Remnesia.Restore do
  @shortdoc "Puts the tables of a backup into a database on disc"
  @moduledoc """
  Puts the tables of a backup into a database on disc that no process has in use, in the place of those of the same names. A program that runs calls
  `Remnesia.restore/2`. The database is created if there is none.

      mix remnesia.restore FILE [--dir DIRECTORY] [--table TABLE ...] [--max-atoms NUMBER]

  The file is read to its end and checked before anything is changed.

  ## Options

    * `--dir` - the directory, else that of the configuration
    * `--table` - a table, may be given again; all of the backup if none is
    * `--max-atoms` - how many atoms that the VM does not have yet the data may bring. Defaults to 500,000.
    * `--help` - shows this
  """

  use Mix.Task

  import Mix.Tasks.Remnesia

  @impl true
  def run(arguments) do
    {options, rest} = parse(arguments, __MODULE__, table: :keep, max_atoms: :integer)
    file = List.first(rest) || Mix.raise("Expected a file. See mix help remnesia.restore")
    start_or_create(options)

    [progress: &Mix.shell().info/1]
    |> Keyword.merge(tables(options))
    |> Keyword.merge(Keyword.take(options, [:max_atoms]))
    |> then(&Remnesia.restore(file, &1))
    |> done(file, "The restore failed")

    :ok = Remnesia.sync()
  end
end
