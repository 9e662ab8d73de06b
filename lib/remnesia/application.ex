defmodule Remnesia.Application do
  @moduledoc false

  # The application is the database: it runs from start/2 to stop/1. There is no process in the path of an
  # operation: those here tell subscribers and look after the disc.

  use Application

  alias Remnesia.Backend.Kept
  alias Remnesia.Engine.Choice
  alias Remnesia.Engine.Cluster.Start
  alias Remnesia.Engine.Local.{Checkpoints, Disc}
  alias Remnesia.Native
  alias Remnesia.Partition.Watch

  require Logger

  @impl true
  def start(_type, _args) do
    with :ok <- load(), :ok <- Start.choose(), :ok <- start_database() do
      options = [strategy: :one_for_one, name: Remnesia.Supervisor]

      children = [Remnesia.Events, Disc, Checkpoints, Kept | Watch.children()]

      case Supervisor.start_link(children, options) do
        {:ok, supervisor} ->
          start_cluster(supervisor)

        {:error, reason} ->
          Native.db_stop()
          {:error, reason(reason)}
      end
    end
  end

  # Mnesia runs on our tables: it starts after and stops before them.
  defp start_cluster(supervisor) do
    with true <- Choice.cluster?(), {:error, reason} <- Start.mnesia() do
      Start.stop_mnesia()
      Supervisor.stop(supervisor)
      Native.db_stop()
      {:error, reason}
    else
      _started -> {:ok, supervisor}
    end
  end

  @impl true
  def prep_stop(state) do
    Start.stop_mnesia()
    state
  end

  defp reason({:shutdown, {:failed_to_start_child, child, reason}}) when child in [Disc, Watch],
    do: reason

  defp reason(reason), do: reason

  @impl true
  def stop(_state) do
    Native.db_stop()

    with {:error, reason} <- Disc.close(),
         do: Logger.error("remnesia: the database on disc was not closed: #{inspect(reason)}")
  end

  defp load do
    case Code.ensure_loaded(Native) do
      {:module, Native} -> :ok
      {:error, reason} -> {:error, {:native_library, reason, explain()}}
    end
  end

  # A database that an earlier start left running is ours: nothing else may have used it.
  defp start_database do
    case Native.db_start() do
      {:error, :already_started} -> :ok
      started -> started
    end
  end

  defp explain do
    library = "priv/native/remnesia_nif"

    "Remnesia cannot load its native library (#{library}): it is missing, or was built for another system. " <>
      "Run `mix compile --force` in the project, or set REMNESIA_NIF_PATH to a prebuilt library before compiling."
  end
end
