defmodule Remnesia.Transfer.MnesiaBackup do
  @moduledoc false

  # Files in the format of `:mnesia.backup/1`: a disk log of terms. First a header, then the definitions of tables as
  # `{:schema, table, options}`, then the records, each with its table's name in front.
  #
  # The functions are those of a backup module of Mnesia, and are called in the place of its own, `:mnesia_backup`.
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

  # --- writing ---

  @doc "The first item of a file."
  @spec header() :: tuple
  def header, do: {:log_header, @kind, @version, mnesia_version(), node(), :erlang.timestamp()}

  @doc "Begins a file; what is there under the name goes only when the new one is complete and on disc."
  @spec open_write(term) :: {:ok, map} | {:error, reason}
  def open_write(opaque) do
    with {:ok, path} <- path(opaque) do
      temporary = "#{path}.#{System.pid()}.new"
      File.rm(temporary)

      with {:ok, log} <-
             :disk_log.open(name: make_ref(), file: to_charlist(temporary), repair: false) do
        File.chmod(temporary, Application.get_env(:remnesia, :file_mode, 0o600))
        {:ok, %{log: log, path: path, opaque: opaque, temporary: temporary}}
      end
    end
  end

  @doc "Adds items."
  @spec write(map, [term]) :: {:ok, map} | {:error, reason}
  def write(file, items) do
    with :ok <- :disk_log.log_terms(file.log, items), do: {:ok, file}
  end

  @doc "The file is complete."
  @spec commit_write(map) :: {:ok, term} | {:error, reason}
  def commit_write(file) do
    with :ok <- :disk_log.sync(file.log),
         :ok <- :disk_log.close(file.log),
         :ok <- File.rename(file.temporary, file.path),
         do: {:ok, file.opaque}
  end

  @doc "Nothing is left of the file."
  @spec abort_write(map) :: {:ok, term}
  def abort_write(file) do
    :disk_log.close(file.log)
    File.rm(file.temporary)
    {:ok, file.opaque}
  end

  # --- reading ---

  @doc """
  Opens a file. `budget` is the number of atoms that it may bring.

  Errors: `:enoent` and the like, `{:not_a_backup, path}`; of `read/1` `{:corrupt, path, what}` and `:too_many_atoms`.
  """
  @spec open_read(term, SafeTerm.budget()) :: {:ok, map} | {:error, reason}
  def open_read(opaque, budget \\ budget()) do
    with {:ok, path} <- path(opaque),
         {:ok, size} <- size(path),
         {:ok, file} <- :file.open(path, [:read, :raw, :binary, read_ahead: 256 * 1024]) do
      # Whether it was closed does not matter: what is missing at the end is seen.
      case :file.read(file, @file_header) do
        {:ok, <<1, 2, 3, 4, _status::binary-4>>} ->
          left = size - @file_header
          {:ok, %{file: file, path: path, opaque: opaque, left: left, budget: budget}}

        _other ->
          :file.close(file)
          {:error, {:not_a_backup, path}}
      end
    end
  end

  @doc "The next items; none at the end."
  @spec read(map) :: {:ok, map, [term]} | {:error, reason}
  def read(file) do
    {items, left, budget} = take(file.file, file.path, file.left, file.budget, [], 0)
    {:ok, %{file | left: left, budget: budget}, items}
  catch
    :throw, {__MODULE__, reason} -> {:error, reason}
  end

  @spec close_read(map) :: {:ok, term}
  def close_read(file) do
    :file.close(file.file)
    {:ok, file.opaque}
  end

  defp budget, do: Application.get_env(:remnesia, :max_atoms, 500_000)

  defp path(path) when is_binary(path), do: {:ok, path}
  defp path(path) when is_atom(path), do: {:ok, Atom.to_string(path)}

  defp path(path) do
    {:ok, List.to_string(path)}
  rescue
    _no_text -> {:error, :badarg}
  end

  # --- both, for whoever wants no steps ---

  @doc """
  Writes a file: `fill` gets a function that writes a list of items.

  Answers `{:ok, what_fill_returned}` or `{:error, reason}`; then nothing is left of it.
  """
  @spec write_with(Path.t(), ((list -> :ok) -> result)) :: {:ok, result} | {:error, reason}
        when result: term
  def write_with(path, fill) do
    with {:ok, file} <- open_write(path) do
      try do
        put = fn items -> ok!(write(file, items)) end
        put.([header()])
        result = fill.(put)
        ok!(commit_write(file))
        {:ok, result}
      catch
        :throw, {__MODULE__, reason} -> {:error, reason}
      after
        abort_write(file)
      end
    end
  end

  @doc """
  Folds over the items of a file, in lists, the header left out.

  Answers `{:ok, acc}` or `{:error, reason}` with those of `open_read/2` and `{:bad_version, version}`.
  """
  @spec fold(Path.t(), SafeTerm.budget(), acc, ([term], acc -> acc)) ::
          {:ok, acc} | {:error, reason}
        when acc: term
  def fold(path, budget, acc, fun) do
    with {:ok, file} <- open_read(path, budget) do
      try do
        {:ok, chunks(file, {:header, acc}, fun)}
      catch
        :throw, {__MODULE__, reason} -> {:error, reason}
      after
        close_read(file)
      end
    end
  end

  defp chunks(file, acc, fun) do
    case {read(file), acc} do
      {{:ok, _file, []}, {:items, acc}} -> acc
      {{:ok, file, []}, {:header, _acc}} -> stop({:not_a_backup, file.path})
      {{:ok, file, items}, acc} -> chunks(file, items(items, acc, file.path, fun), fun)
      {{:error, reason}, _acc} -> stop(reason)
    end
  end

  defp size(path) do
    case File.stat(path) do
      {:ok, %{type: :regular, size: size}} -> {:ok, size}
      {:ok, _other} -> {:error, {:not_a_backup, path}}
      error -> error
    end
  end

  # Some items, so that few records are in memory at a time.
  # `left` bytes are still to come: a size that is larger is wrong, whatever it says.
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

  # The version of the Mnesia whose format this is; nobody reads it but people.
  defp mnesia_version do
    _ = Application.load(:mnesia)
    Application.spec(:mnesia, :vsn) || ~c"4.21"
  end

  defp ok!({:ok, _}), do: :ok
  defp ok!({:error, reason}), do: stop(reason)

  @spec stop(reason) :: no_return
  defp stop(reason), do: throw({__MODULE__, reason})
end
