defmodule Mix.Tasks.Remnesia.Load do
  @shortdoc "Adds the records of a text file to a database on disc"
  @moduledoc """
  Adds the records of a text file, of `mix remnesia.dump` or of Mnesia, to the tables of a database on disc that no process has in use. Tables that are not
  there are created, and so is the database. All of it is added, or nothing if there is a mistake in it.

      mix remnesia.load FILE [--dir DIRECTORY] [--max-atoms NUMBER]

  ## Options

    * `--dir` - the directory, else that of the configuration
    * `--max-atoms` - how many atoms that the VM does not have yet the file may bring. Defaults to 500,000.
    * `--help` - shows this
  """

  use Mix.Task

  import Mix.Tasks.Remnesia

  @impl true
  def run(arguments) do
    {options, rest} = parse(arguments, __MODULE__, max_atoms: :integer)
    file = List.first(rest) || Mix.raise("Expected a file. See mix help remnesia.load")
    start_or_create(options)

    options
    |> Keyword.take([:max_atoms])
    |> then(&Remnesia.load(file, &1))
    |> done(file, "The load failed")

    :ok = Remnesia.sync()
  end
end
