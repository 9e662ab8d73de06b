defmodule Mix.Tasks.Remnesia.Backup do
  @shortdoc "Writes a backup of a database on disc"
  @moduledoc """
  Writes a backup of a database on disc that no process has in use. A program that runs calls `Remnesia.backup/2`.

      mix remnesia.backup FILE [--dir DIRECTORY] [--table TABLE ...] [--compact]

  The file is read again and found sound before it gets its name.

  ## Options

    * `--dir` - the directory, else that of the configuration
    * `--table` - a table, may be given again; all of them if none is
    * `--compact` - compresses it
    * `--help` - shows this
  """

  use Mix.Task

  import Mix.Tasks.Remnesia

  @impl true
  def run(arguments) do
    {options, rest} = parse(arguments, __MODULE__, table: :keep, compact: :boolean)
    file = List.first(rest) || Mix.raise("Expected a file. See mix help remnesia.backup")
    start_existing(options)

    [compact: options[:compact] || false, progress: &Mix.shell().info/1]
    |> Keyword.merge(tables(options))
    |> then(&Remnesia.backup(file, &1))
    |> done(file, "The backup failed")
  end
end
