defmodule Remnesia.Engine.Local.Directory do
  @moduledoc false

  alias Remnesia.Native

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
  # Is there while an import at a start goes on.
  @importing "importing"

  @doc "Is there a database, or a part of one, or what may be one and cannot be looked into? Nobody shall think that there is none."
  @spec exists?() :: boolean
  def exists? do
    case File.ls(data()) do
      {:ok, names} ->
        Enum.any?(names, &(&1 in [@tables, @importing] or String.starts_with?(&1, "log-")))

      {:error, reason} ->
        reason not in [:enoent, :enotdir]
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

  @doc "Makes our part of the directory, for its owner alone."
  @spec make() :: :ok | {:error, File.posix()}
  def make, do: make(data())

  @doc "Makes a directory, for its owner alone."
  @spec make(Path.t()) :: :ok | {:error, File.posix()}
  def make(directory) do
    with :ok <- File.mkdir_p(directory),
         do: File.chmod(directory, Application.get_env(:remnesia, :directory_mode, 0o700))
  end

  @doc "The names in a directory are on disc when this answers, where the system can do that."
  @spec sync(Path.t()) :: :ok
  def sync(directory) do
    with {:ok, file} <- :file.open(directory, [:read, :raw, :directory]) do
      :file.sync(file)
      :file.close(file)
    end

    :ok
  end

  @doc "Deletes the database, unless a process has it open, and the directory if nothing else is in it."
  @spec delete() :: :ok | {:error, term}
  def delete do
    with :ok <- if(File.dir?(data()), do: Native.disc_free(data()), else: :ok),
         {:ok, _files} <- File.rm_rf(deleted()),
         {:ok, _files} <- File.rm_rf(out_of_the_way()) do
      # Mnesia's files, or those of the user, stay.
      File.rmdir(path())
      :ok
    else
      {:error, reason, _file} -> {:error, reason}
      {:error, reason} -> {:error, reason}
    end
  end

  # Who is killed half-way, or cannot delete all of it, leaves no part of a database that the next start would find.
  defp out_of_the_way do
    case File.rename(data(), deleted()) do
      :ok -> deleted()
      {:error, _nothing_there_or_mounted} -> data()
    end
  end

  defp deleted, do: data() <> ".deleted"

  # --- the import at a start ---

  @doc "What is there from now on is a part of an import, which nobody shall take for the whole."
  @spec begin_import() :: :ok | {:error, File.posix()}
  def begin_import, do: with(:ok <- make(), do: File.touch(importing()))

  @doc "The import is complete."
  @spec end_import() :: :ok | {:error, File.posix()}
  def end_import, do: File.rm(importing())

  @doc "Was an import begun and not ended?"
  @spec importing?() :: boolean
  def importing?, do: File.exists?(importing())

  defp importing, do: Path.join(data(), @importing)
end
