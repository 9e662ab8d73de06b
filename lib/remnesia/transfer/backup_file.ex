defmodule Remnesia.Transfer.BackupFile do
  @moduledoc false

  # Remnesia's own backups: a head, then frames, each a term, the last one says that it is the last.
  #
  #     head    "REMNESIA-BACKUP\\n", version (u32), nothing (u32), CRC-32 of these
  #     frame   length in the file (u32), length (u32), CRC-32 (u32) of its number (u64), the two lengths and what follows
  #             external form of the term; deflated, if the lengths differ
  #     terms   {:tables, [{name, definition}]}, {:rows, name, records} .., {:end, [{name, number of records}]}
  #
  # The number in the checksum makes frames that stand in another place, or twice, damage.

  alias Remnesia.Transfer.{NewFile, SafeTerm}

  @magic "REMNESIA-BACKUP\n"
  @version 1
  @head 28
  @frame_head 12
  # A larger frame stands as it is: so what a deflated one may become is bounded.
  @deflated 32 * 1024 * 1024

  @type reason ::
          {:not_a_backup, Path.t()}
          | {:bad_version, pos_integer}
          | {:corrupt, Path.t(), term}
          | :too_many_atoms
          | File.posix()

  # --- writing ---

  @doc """
  Writes a file: `fill` gets a function that writes a term, and has to write the last one too. The file gets its name when it is complete, on disc,
  and has been read again and found sound.
  """
  @spec write(Path.t(), boolean, ((term -> :ok) -> result)) :: {:ok, result} | {:error, reason}
        when result: term
  def write(path, compact?, fill) do
    frames = fn file ->
      NewFile.put!(file, head(@version))
      number = :counters.new(1, [])

      fill.(fn term ->
        :counters.add(number, 1, 1)
        NewFile.put!(file, frame(term, :counters.get(number, 1), compact?))
      end)
    end

    # What it brings is there already, so no atom is new.
    NewFile.write(path, frames, &fold(&1, 0, :ok, fn _term, :ok -> :ok end))
  end

  defp head(version) do
    head = <<@magic, version::32, 0::32>>
    <<head::binary, :erlang.crc32(head)::32>>
  end

  defp frame(term, number, compact?) do
    bytes = :erlang.term_to_binary(term)
    raw = byte_size(bytes)
    # The length is 32 bits.
    if raw > 0xFFFF_FFFF, do: NewFile.stop({:too_large, raw})
    packed = if compact? and raw <= @deflated, do: :zlib.zip(bytes), else: bytes
    packed = if byte_size(packed) < raw, do: packed, else: bytes
    size = byte_size(packed)
    [<<size::32, raw::32, check(number, size, raw, packed)::32>>, packed]
  end

  defp check(number, size, raw, packed),
    do: :erlang.crc32(:erlang.crc32(<<number::64, size::32, raw::32>>), packed)

  # --- reading ---

  @doc """
  Folds over the terms of a file. `budget` is the number of atoms that it may bring. That it is sound to its end is known when this answers `:ok`, and
  not before.
  """
  @spec fold(Path.t(), SafeTerm.budget(), acc, (term, acc -> acc)) ::
          {:ok, acc} | {:error, reason}
        when acc: term
  def fold(path, budget, acc, fun) do
    with {:ok, %{type: :regular, size: size}} <- File.stat(path),
         {:ok, file} <- :file.open(path, [:read, :raw, :binary, read_ahead: 256 * 1024]) do
      try do
        head!(file, path, size)
        {:ok, frames(%{file: file, path: path, fun: fun}, size - @head, 1, budget, acc)}
      catch
        :throw, {__MODULE__, reason} -> {:error, reason}
      after
        :file.close(file)
      end
    else
      {:ok, _no_file} -> {:error, {:not_a_backup, path}}
      error -> error
    end
  end

  defp head!(file, path, size) do
    case if(size >= @head, do: :file.read(file, @head)) do
      {:ok, <<@magic, version::32, nothing::32, check::32>>} ->
        if check != :erlang.crc32(<<@magic, version::32, nothing::32>>),
          do: stop({:corrupt, path, :head})

        if version != @version, do: stop({:bad_version, version})

      _other ->
        stop({:not_a_backup, path})
    end
  end

  # `left` bytes are still to come: a length that is larger is wrong, whatever it says.
  defp frames(%{path: path}, left, number, _budget, _acc) when left < @frame_head,
    do: stop({:corrupt, path, {:truncated, number}})

  defp frames(%{path: path} = file, left, number, budget, acc) do
    <<size::32, raw::32, check::32>> = read!(file, @frame_head, number)
    left = left - @frame_head - size
    if left < 0, do: stop({:corrupt, path, {:truncated, number}})

    if size > raw or (size < raw and raw > @deflated),
      do: stop({:corrupt, path, {:length, number}})

    packed = read!(file, size, number)
    if check != check(number, size, raw, packed), do: stop({:corrupt, path, {:checksum, number}})
    bytes = if size == raw, do: packed, else: inflate(packed, raw, path, number)
    {term, budget} = term!(bytes, budget, path, number)

    case term do
      {:end, _counts} when left == 0 -> file.fun.(term, acc)
      {:end, _counts} -> stop({:corrupt, path, :too_long})
      term -> frames(file, left, number + 1, budget, file.fun.(term, acc))
    end
  end

  defp term!(bytes, budget, path, number) do
    case SafeTerm.decode(bytes, budget) do
      {:ok, term, budget} -> {term, budget}
      {:error, :too_many_atoms} -> stop(:too_many_atoms)
      {:error, reason} -> stop({:corrupt, path, {reason, number}})
    end
  end

  defp read!(_file, 0, _number), do: <<>>

  defp read!(%{file: file, path: path}, size, number) do
    case :file.read(file, size) do
      {:ok, bytes} when byte_size(bytes) == size -> bytes
      _short -> stop({:corrupt, path, {:truncated, number}})
    end
  end

  # In pieces, and no more than was said.
  defp inflate(packed, raw, path, number) do
    z = :zlib.open()

    try do
      :zlib.inflateInit(z, -15)
      pieces(:zlib.safeInflate(z, packed), z, raw, [], {path, number})
    rescue
      _damaged -> stop({:corrupt, path, {:deflate, number}})
    after
      :zlib.close(z)
    end
  end

  defp pieces({:continue, piece}, z, left, pieces, where) do
    left = left - IO.iodata_length(piece)
    if left < 0, do: too_long(where)
    pieces(:zlib.safeInflate(z, []), z, left, [pieces | piece], where)
  end

  defp pieces({:finished, piece}, _z, left, pieces, where) do
    if left != IO.iodata_length(piece), do: too_long(where)
    IO.iodata_to_binary([pieces | piece])
  end

  @spec too_long({Path.t(), pos_integer}) :: no_return
  defp too_long({path, number}), do: stop({:corrupt, path, {:length, number}})

  @doc "Ends the reading with a reason."
  @spec stop(term) :: no_return
  def stop(reason), do: throw({__MODULE__, reason})
end
