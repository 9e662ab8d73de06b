defmodule Remnesia.Engine.Local.Directory do
  @moduledoc false

  # Where a database is on disc: in `remnesia/` under Mnesia's directory, so that its files and ours stay apart.

  @data "remnesia"

  @doc "The directory: `config :remnesia, dir:`, else that of Mnesia, else `Remnesia.<node>` under the current one."
  @spec path() :: Path.t()
  def path do
    dir = Application.get_env(:remnesia, :dir) || Application.get_env(:mnesia, :dir)
    Path.expand(to_string(dir || "Remnesia.#{node()}"))
  end

  @doc "Our part of it."
  @spec data() :: Path.t()
  def data, do: Path.join(path(), @data)

  @doc "Is there a database?"
  @spec exists?() :: boolean
  def exists?, do: File.exists?(Path.join(data(), "data.mdb"))

  @doc "Deletes the database, and the directory if nothing else is in it."
  @spec delete() :: :ok | {:error, File.posix()}
  def delete do
    with {:ok, _files} <- File.rm_rf(data()) do
      # Mnesia's files, or those of the user, stay.
      File.rmdir(path())
      :ok
    else
      {:error, reason, _file} -> {:error, reason}
    end
  end
end
