defmodule Mix.Tasks.Remnesia.Convert do
  @shortdoc "Makes the database on disc one that other nodes can join"
  @moduledoc """
  Makes the local database on disc one of a cluster, with all its tables, see `Remnesia.Cluster.convert/1`.

      elixir --sname app -S mix remnesia.convert [--dir DIRECTORY]

  The schema of a cluster names its nodes, so the node needs the name that the application runs under. It can be called as often as one likes.

  ## Options

    * `--dir` - the directory, else that of the configuration
    * `--help` - shows this
  """

  use Mix.Task

  import Mix.Tasks.Remnesia

  @impl true
  def run(arguments) do
    {options, []} = parse(arguments, __MODULE__, [])
    start_existing(options)

    case Remnesia.Cluster.convert(progress: &Mix.shell().info/1) do
      :ok ->
        :ok = Application.stop(:remnesia)
        Mix.shell().info("#{node()} is a cluster that other nodes can join")

      {:error, reason} ->
        fail("The database cannot be converted", reason)
    end
  end
end
