defmodule Remnesia.Application do
  @moduledoc false

  # The application is the database: it runs from start/2 to stop/1. There is no process in the path of an operation;
  # the empty supervisor is there because an application needs one.

  use Application

  alias Remnesia.Native

  @impl true
  def start(_type, _args) do
    with :ok <- load(), :ok <- start_database() do
      Supervisor.start_link([Remnesia.Events], strategy: :one_for_one, name: Remnesia.Supervisor)
    end
  end

  @impl true
  def stop(_state) do
    Native.db_stop()
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
