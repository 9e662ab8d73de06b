defmodule Mix.Tasks.Remnesia.Dump do
  @shortdoc "Writes the tables of a database on disc as text"
  @moduledoc """
  Writes the tables of a database on disc, which no process has in use, as text: Erlang terms that people can read and change, and that
  `mix remnesia.load` and Mnesia read.

      mix remnesia.dump FILE [--dir DIRECTORY] [--table TABLE ...]

  ## Options

    * `--dir` - the directory, else that of the configuration
    * `--table` - a table, may be given again; all of them if none is
    * `--help` - shows this
  """

  use Mix.Task

  import Mix.Tasks.Remnesia

  @impl true
  def run(arguments) do
    {options, rest} = parse(arguments, __MODULE__, table: :keep)
    file = List.first(rest) || Mix.raise("Expected a file. See mix help remnesia.dump")
    start_existing(options)

    [progress: &Mix.shell().info/1]
    |> Keyword.merge(tables(options))
    |> then(&Remnesia.dump(file, &1))
    |> done(file, "The dump failed")
  end
end
