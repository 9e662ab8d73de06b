defmodule Remnesia.Transfer.MnesiaBackup do
  @moduledoc false

  # Files in the format of `:mnesia.backup/1`: a disk log of terms. First a header, then the definitions of tables as
  # `{:schema, table, options}`, then the records, each with its table's name in front.
  #
  # Written by OTP's disk_log. Read here: disk_log makes terms of what it reads, whatever they are, and was seen to go round in
  # circles in a damaged file. Terms are looked at before they are made, see SafeTerm.

  alias Remnesia.Transfer.SafeTerm

  @kind :backup_log
  @version ~c"1.2"

  # Versions that only lack what came later.
  @readable [~c"1.1", @version]

  # Bytes: magic and status of the file; terms that are handed on together.
  @file_header 8
  @chunk 64 * 1024

  @type reason :: term

  @doc """
  Writes a file: `fill` gets a function that writes a list of items. What was there under the name goes only when the new
  file is complete and on disc.

  Answers `{:ok, what_fill_returned}` or `{:error, reason}`; then nothing is left of it.
  """
  @spec write(Path.t(), ((list -> :ok) -> result)) :: {:ok, result} | {:error, reason}
        when result: term
  def write(path, fill) do
    temporary = "#{path}.#{System.pid()}.new"
    File.rm(temporary)

    with {:ok, log} <- open(temporary) do
      try do
        put = fn items -> ok!(:disk_log.log_terms(log, items)) end
        put.([{:log_header, @kind, @version, mnesia_version(), node(), :erlang.timestamp()}])
        result = fill.(put)
        ok!(:disk_log.sync(log))
        ok!(:disk_log.close(log))
        ok!(File.rename(temporary, path))
        {:ok, result}
      catch
        :throw, {__MODULE__, reason} -> {:error, reason}
      after
        :disk_log.close(log)
        File.rm(temporary)
      end
    end
  end

  @doc """
  Folds over the items of a file, in lists, the header left out. `budget` is the number of atoms that it may bring.

  Answers `{:ok, acc}` or `{:error, reason}` with `:enoent` and the like, `{:not_a_backup, path}`,
  `{:bad_version, version}`, `:too_many_atoms`, `{:corrupt, path, what}`.
  """
  @spec fold(Path.t(), SafeTerm.budget(), acc, ([term], acc -> acc)) ::
          {:ok, acc} | {:error, reason}
        when acc: term
  def fold(path, budget, acc, fun) do
    with {:ok, size} <- size(path),
         {:ok, file} <- :file.open(path, [:read, :raw, :binary, read_ahead: 256 * 1024]) do
      try do
        read_header(file, path)
        {:ok, chunks(file, path, size - @file_header, budget, {:header, acc}, fun)}
      catch
        :throw, {__MODULE__, reason} -> {:error, reason}
      after
        :file.close(file)
      end
    end
  end

  defp size(path) do
    case File.stat(path) do
      {:ok, %{type: :regular, size: size}} -> {:ok, size}
      {:ok, _other} -> {:error, {:not_a_backup, path}}
      error -> error
    end
  end

  # Whether it was closed does not matter: what is missing at the end is seen.
  defp read_header(file, path) do
    case :file.read(file, @file_header) do
      {:ok, <<1, 2, 3, 4, _status::binary-4>>} -> :ok
      _other -> stop({:not_a_backup, path})
    end
  end

  # `left` bytes are still to come: a size that is larger is wrong, whatever it says.
  defp chunks(file, path, left, budget, acc, fun) do
    {items, left, budget} = take(file, path, left, budget, [], 0)

    case items(items, acc, path, fun) do
      {:header, _acc} when left == 0 -> stop({:not_a_backup, path})
      {:items, acc} when left == 0 -> acc
      acc -> chunks(file, path, left, budget, acc, fun)
    end
  end

  # Some items, so that few records are in memory at a time.
  defp take(_file, _path, left, budget, items, taken) when left == 0 or taken > @chunk,
    do: {Enum.reverse(items), left, budget}

  defp take(file, path, left, budget, items, taken) do
    {size, head} = read_head(file, path)
    left = left - head - size
    if left < 0, do: stop({:corrupt, path, :truncated})

    case SafeTerm.decode(read!(file, path, size), budget) do
      {:ok, term, budget} -> take(file, path, left, budget, [term | items], taken + size)
      {:error, :too_many_atoms} -> stop(:too_many_atoms)
      {:error, reason} -> stop({:corrupt, path, reason})
    end
  end

  # Size and magic; the size of a large item has a checksum.
  defp read_head(file, path) do
    case read!(file, path, 8) do
      <<size::32, 98, 87, 76, 65>> when size < 65_528 ->
        {size, 8}

      <<size::32, 98, 87, 76, 65>> ->
        if read!(file, path, 16) != :erlang.md5(<<size::32>>), do: stop({:corrupt, path, :size})
        {size, 24}

      _other ->
        stop({:corrupt, path, :item})
    end
  end

  defp read!(_file, _path, 0), do: <<>>

  defp read!(file, path, size) do
    case :file.read(file, size) do
      {:ok, bytes} when byte_size(bytes) == size -> bytes
      _short -> stop({:corrupt, path, :truncated})
    end
  end

  defp items([], acc, _path, _fun), do: acc

  defp items([header | items], {:header, acc}, path, fun) do
    case header do
      {:log_header, @kind, version, _mnesia, _node, _now} when version in @readable ->
        items(items, {:items, acc}, path, fun)

      {:log_header, @kind, version, _mnesia, _node, _now} ->
        stop({:bad_version, version})

      _other ->
        stop({:not_a_backup, path})
    end
  end

  defp items(items, {:items, acc}, _path, fun), do: {:items, fun.(items, acc)}

  defp open(path) do
    :disk_log.open(name: make_ref(), file: to_charlist(path), repair: false)
  end

  # The version of the Mnesia whose format this is; nobody reads it but people.
  defp mnesia_version do
    _ = Application.load(:mnesia)
    Application.spec(:mnesia, :vsn) || ~c"4.21"
  end

  defp ok!(:ok), do: :ok
  defp ok!({:error, reason}), do: stop(reason)

  @spec stop(reason) :: no_return
  defp stop(reason), do: throw({__MODULE__, reason})
end
