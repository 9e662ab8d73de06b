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

  @tables "data.mdb"

  @doc "Is there a database, or a part of one, or what may be one and cannot be looked into? Nobody shall think that there is none."
  @spec exists?() :: boolean
  def exists? do
    case File.ls(data()) do
      {:ok, names} -> Enum.any?(names, &(&1 == @tables or String.starts_with?(&1, "log-")))
      {:error, reason} -> reason not in [:enoent, :enotdir]
    end
  end

  @doc "Refuses what cannot be looked into, and a database whose tables' file is gone, before another is made in its place."
  @spec check() :: :ok | {:error, {:missing, Path.t()} | {:file_error, Path.t(), binary, atom}}
  def check do
    with {:ok, names} <- File.ls(data()) do
      if @tables in names, do: :ok, else: {:error, {:missing, Path.join(data(), @tables)}}
    else
      {:error, reason} -> {:error, {:file_error, data(), "list", reason}}
    end
  end

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
