defmodule Mix.Tasks.Remnesia.Export do
  @shortdoc "Writes all tables to a backup file that stock Mnesia takes"
  @moduledoc """
  Writes all tables to a file that `:mnesia.restore/2` and `:mnesia.install_fallback/1` take.

      mix remnesia.export FILE [--dir DIRECTORY]

  ## Options

    * `--dir` - the directory, else that of the configuration
    * `--help` - shows this
  """

  use Mix.Task

  import Mix.Tasks.Remnesia

  @impl true
  def run(arguments) do
    {options, rest} = parse(arguments, __MODULE__, [])
    file = List.first(rest) || Mix.raise("Expected a file. See mix help remnesia.export")
    start(options)

    case Remnesia.export_mnesia(file, progress: &Mix.shell().info/1) do
      {:ok, tables} -> Mix.shell().info("#{file}: #{length(tables)} tables")
      {:error, reason} -> fail("The export failed", reason)
    end
  end
end
