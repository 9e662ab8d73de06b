defmodule Remnesia.Transfer.Media do
  @moduledoc false

  # What backups are written to and read from: a module with the functions of Mnesia's backup modules, and what it was given to
  # open. Mnesia's own module is replaced by ours for the same files. Reasons are Mnesia's.

  alias Remnesia.Transfer.MnesiaBackup

  defstruct [:module, :data]

  @type t :: %__MODULE__{module: module, data: term}
  @type header :: tuple

  @versions [~c"0.1", ~c"1.1", ~c"1.2"]

  defp module(:mnesia_backup), do: MnesiaBackup
  defp module(module), do: module

  # --- writing ---

  # What fails is thrown as `{Media, reason}`, and the module has been told to leave nothing behind.

  @spec open_write(module, term) :: t
  def open_write(module, opaque),
    do: step(%__MODULE__{module: module(module), data: opaque}, :open_write, [opaque])

  @doc "The same; Mnesia's backup tells the module also then that nothing comes of it."
  @spec open_or_abort(module, term) :: t
  def open_or_abort(module, opaque),
    do: or_abort(%__MODULE__{module: module(module), data: opaque}, :open_write, [opaque])

  @spec put(t, [term]) :: t
  def put(media, []), do: media
  def put(media, items), do: or_abort(media, :write, [media.data, items])

  @spec commit(t) :: t
  def commit(media), do: or_abort(media, :commit_write, [media.data])

  defp or_abort(media, function, arguments) do
    step(media, function, arguments)
  catch
    :throw, {__MODULE__, reason} ->
      abort(media)
      stop(reason)
  end

  @spec abort(t) :: :ok
  def abort(media) do
    apply(media.module, :abort_write, [media.data])
    :ok
  catch
    _kind, _reason -> :ok
  end

  # --- reading ---

  @doc """
  Reads a backup: `begin` gets its header and definitions, `fun` lists of its items, the last list is empty.

  Errors are Mnesia's: those of the module, `{"Missing header. Cannot be used as backup.", item}` and the like.
  """
  @spec iterate(module, term, (header, [tuple] -> acc), ([term], acc -> acc)) ::
          {:ok, acc} | {:error, term}
        when acc: term
  def iterate(module, opaque, begin, fun) do
    media = step(%__MODULE__{module: module(module), data: opaque}, :open_read, [opaque])

    try do
      {media, header, items} = header(read(media))
      {media, schema, items} = schema(media, items, [])
      acc = begin.(header, schema)
      {:ok, each(media, items, acc, fun)}
    after
      close(media)
    end
  catch
    {__MODULE__, reason} -> {:error, reason}
  end

  @doc "The definitions of a backup."
  @spec schema(module, term) :: {:ok, header, [tuple]} | {:error, term}
  def schema(module, opaque) do
    begin = fn header, schema -> throw({:schema, header, schema}) end
    iterate(module, opaque, begin, fn _items, acc -> acc end)
  catch
    {:schema, header, schema} -> {:ok, header, schema}
  end

  defp header({_media, []}),
    do: stop({~c"Missing header. Cannot be used as backup.", {:EXIT, :badarg}})

  defp header({media, [header | items]}) do
    case header do
      {:log_header, :backup_log, version, _mnesia, _node, _now} ->
        if version in @versions,
          do: {media, header, items},
          else: stop({~c"Bad header version. Cannot be used as backup.", header})

      {:log_header, _kind, _version, _mnesia, _node, _now} ->
        stop({~c"Bad kind of header. Cannot be used as backup.", header})

      _other ->
        stop({~c"Missing header. Cannot be used as backup.", header})
    end
  end

  defp schema(media, [], schema) do
    case read(media) do
      {media, []} -> {media, Enum.reverse(schema), []}
      {media, items} -> schema(media, items, schema)
    end
  end

  defp schema(media, [item | items], schema)
       when is_tuple(item) and tuple_size(item) > 0 and elem(item, 0) == :schema,
       do: schema(media, items, [item | schema])

  defp schema(media, items, schema), do: {media, Enum.reverse(schema), items}

  defp each(media, [], acc, fun) do
    case read(media) do
      {_media, []} -> fun.([], acc)
      {media, items} -> each(media, [], fun.(items, acc), fun)
    end
  end

  defp each(media, items, acc, fun), do: each(media, [], fun.(items, acc), fun)

  defp read(media) do
    case call(media, :read, [media.data]) do
      {:ok, data, items} when is_list(items) -> {%{media | data: data}, items}
      {:error, reason} -> stop(reason(reason))
      other -> stop(other)
    end
  end

  defp close(media) do
    apply(media.module, :close_read, [media.data])
  catch
    _kind, _reason -> :ok
  end

  # --- calls of the module ---

  defp step(media, function, arguments) do
    case call(media, function, arguments) do
      {:ok, data} -> %{media | data: data}
      {:error, reason} -> stop(reason(reason))
      other -> stop(other)
    end
  end

  defp call(media, function, arguments) do
    apply(media.module, function, arguments)
  catch
    :throw, {__MODULE__, _reason} = own -> throw(own)
    _kind, reason -> stop(reason)
  end

  # Of our module, in Mnesia's words.
  defp reason({:not_a_backup, path}), do: {:not_a_log_file, to_charlist(path)}

  defp reason({:corrupt, path, _what}),
    do: {~c"Possibly truncated", {:corrupt_log_file, to_charlist(path)}}

  defp reason(reason), do: reason

  @doc "Ends what goes on with a reason."
  @spec stop(term) :: no_return
  def stop(reason), do: throw({__MODULE__, reason})
end
