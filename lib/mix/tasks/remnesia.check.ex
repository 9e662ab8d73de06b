defmodule Mix.Tasks.Remnesia.Check do
  @shortdoc "Checks the files of a database on disc"
  @moduledoc """
  Checks the files of a database on disc without starting it: every page of the tables' file and every value in it, every file of the log up to its
  end. No process may have the database in use. Nothing is changed.

      mix remnesia.check [--dir DIRECTORY]

  Ends with an error if there is damage.

  ## Options

    * `--dir` - the directory, else that of the configuration
    * `--help` - shows this
  """

  use Mix.Task

  import Mix.Tasks.Remnesia

  alias Remnesia.Engine.Local.Directory

  @impl true
  def run(arguments) do
    {options, _rest} = parse(arguments, __MODULE__, [])
    configure(options)
    if not Directory.exists?(), do: Mix.raise("There is no database in #{Directory.path()}")
    Mix.shell().info("Checking #{Directory.data()}")

    case Remnesia.Native.disc_check(Directory.data()) do
      {:ok, found} ->
        info = Map.new(found)

        Mix.shell().info([
          "tables: #{info.rows} records in #{info.tables} tables, #{info.pages} pages, #{info.free_pages} of them free\n",
          "log: #{info.log_segments} files beyond the tables, #{info.log_end - info.position} bytes",
          if(info.torn_bytes > 0, do: ", an unfinished commit at its end", else: ""),
          "\nThe database is sound."
        ])

      {:error, reason} ->
        fail("The database is not sound", reason)
    end
  end
end
