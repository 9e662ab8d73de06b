defmodule Remnesia.Partition.Files do
  @moduledoc false

  # `partitions/` in the database's directory: the losing versions of each partition, and a note of what is still to do for one, so that
  # a node which ends in the middle does it when it is back.

  alias Remnesia.Engine.Local.Directory
  alias Remnesia.Transfer.SafeTerm

  @note "unfinished"

  @typedoc "What is to be undone and done: the master nodes of tables before, and files whose versions are to be merged."
  @type note :: %{masters: [{atom, [node]}], merge: [Path.t()]}

  @spec new_path() :: Path.t()
  def new_path do
    time = DateTime.utc_now() |> DateTime.to_iso8601(:basic)
    Path.join(directory(), "#{time}-#{node()}")
  end

  @doc "Makes the directory."
  @spec prepare() :: :ok | {:error, File.posix()}
  def prepare, do: File.mkdir_p(directory())

  @doc "Notes it, with what an earlier healing has left undone."
  @spec note(note) :: :ok | {:error, File.posix()}
  def note(note), do: write(add(noted(), note))

  defp add(nil, note), do: note

  defp add(earlier, note) do
    masters = Keyword.merge(note.masters, earlier.masters)
    %{masters: masters, merge: earlier.merge ++ note.merge}
  end

  defp write(note) do
    temporary = note_path() <> ".new"
    bytes = :erlang.term_to_binary(note)

    with :ok <- File.write(temporary, [<<:erlang.crc32(bytes)::32>>, bytes], [:sync]),
         do: File.rename(temporary, note_path())
  end

  @spec noted() :: note | nil
  def noted do
    with {:ok, <<check::32, bytes::binary>>} <- File.read(note_path()),
         true <- check == :erlang.crc32(bytes),
         {:ok, %{masters: _, merge: _} = note, _budget} <- SafeTerm.decode(bytes, 10_000) do
      note
    else
      _none -> nil
    end
  end

  @spec forget() :: :ok
  def forget do
    File.rm(note_path())
    :ok
  end

  defp note_path, do: Path.join(directory(), @note)
  defp directory, do: Path.join(Directory.path(), "partitions")
end
