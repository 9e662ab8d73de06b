defmodule Remnesia.Engine.Cluster.Mark do
  @moduledoc false

  # The file beside a database that makes it one of several nodes. What else is in it is to be done before it is used:
  #
  #   * `{:convert, definitions}` - the tables of the local engine are still to become Mnesia's (Remnesia.Engine.Cluster.Convert)
  #   * `{:drop, tables}` - they have, and these copies of the local engine are left over
  #   * `:leave` - the node was taken out of its cluster: all of it goes (Remnesia.Engine.Cluster.Nodes)
  #
  # It changes in one step, which is on disc when `put/1` answers: these steps are what a crash comes between.

  alias Remnesia.Engine.Cstruct
  alias Remnesia.Engine.Local.Directory
  alias Remnesia.Transfer.SafeTerm

  @type state :: nil | :cluster | :leave | {:convert, [Cstruct.t()]} | {:drop, [atom]}

  @version 1
  @atoms 500_000

  @spec exists?() :: boolean
  def exists?, do: File.exists?(path())

  @spec get() :: {:ok, state} | {:error, term}
  def get do
    case File.read(path()) do
      {:ok, ""} -> {:ok, :cluster}
      {:ok, bytes} -> decode(bytes)
      {:error, :enoent} -> {:ok, nil}
      {:error, reason} -> {:error, {reason, path()}}
    end
  end

  defp decode(bytes) do
    case SafeTerm.decode(bytes, Application.get_env(:remnesia, :max_atoms, @atoms)) do
      {:ok, {@version, {:convert, definitions}}, _left} ->
        {:ok, {:convert, Enum.map(definitions, &struct(Cstruct, &1))}}

      {:ok, {@version, state}, _left} ->
        {:ok, state}

      {:ok, _other, _left} ->
        {:error, {:newer_format, path()}}

      {:error, reason} ->
        {:error, {reason, path()}}
    end
  end

  @spec put(state) :: :ok | {:error, term}
  def put(nil) do
    with {:error, reason} when reason != :enoent <- File.rm(path()),
         do: {:error, reason},
         else: (_gone -> :ok)
  end

  def put(state) do
    new = path() <> ".new"

    with :ok <- File.mkdir_p(Directory.data()),
         {:ok, file} <- :file.open(new, [:write, :raw, :binary]),
         :ok <- write(file, encode(state)),
         :ok <- File.rename(new, path()),
         do: Directory.sync(Directory.data())
  end

  defp write(file, bytes) do
    with :ok <- :file.write(file, bytes), do: :file.sync(file)
  after
    :file.close(file)
  end

  defp encode(:cluster), do: ""

  defp encode({:convert, definitions}),
    do: encode_term({:convert, Enum.map(definitions, &Map.from_struct/1)})

  defp encode(state), do: encode_term(state)
  defp encode_term(state), do: :erlang.term_to_binary({@version, state})

  defp path, do: Path.join(Directory.data(), "cluster")
end
