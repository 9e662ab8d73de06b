defmodule Remnesia.Transfer.Fallback do
  @moduledoc false

  # A backup that the next start begins with, in the place of what is there. It waits in our part of the directory.
  #
  # What is there is set aside first and comes back when the backup cannot be taken; a start that was cut off begins again.

  alias Remnesia.Engine.Local.{Directory, Settings}
  alias Remnesia.Native
  alias Remnesia.Transfer.{Media, MnesiaBackup, Restore}

  @name "FALLBACK.BUP"
  @temporary "FALLBACK.TMP"
  # What was there, all of it; and under other names while it is being moved there or back, or deleted.
  @aside "before_fallback"
  @moving "before_fallback.part"
  @done "before_fallback.done"

  @type options :: %{module: module, scope: :local | :global, dir: term}

  # --- installing ---

  @spec install(term, options) :: :ok | {:error, {charlist, term}}
  def install(opaque, options) do
    begin = fn header, schema -> open(header, schema, options) end

    with {:ok, {media, file}} <- Media.iterate(options.module, opaque, begin, &add/2),
         :ok <- swap(media, file) do
      :ok
    else
      {:error, reason} -> {:error, {~c"Cannot install fallback", reason}}
    end
  end

  defp open(header, schema, options) do
    definition =
      case List.keyfind(schema, :schema, 1) do
        {:schema, :schema, definition} when is_list(definition) -> definition
        _none -> Media.stop({~c"Cannot lookup", :schema})
      end

    nodes = Keyword.get(definition, :disc_copies, [])

    if node() not in nodes,
      do: Media.stop({~c"No disc resident schema on local node", nodes})

    file = directory!(options) |> Path.join(@name)
    if File.exists?(file), do: Media.stop({:already_exists, node()})
    with {:error, reason} <- Directory.make(Path.dirname(file)), do: Media.stop(reason)

    temporary = Path.join(Path.dirname(file), @temporary)
    media = Media.open_write(MnesiaBackup, temporary)
    {media |> Media.put([header]) |> Media.put(schema), {temporary, file}}
  end

  # What fails here has been taken away by the writer already.
  defp add(items, {media, file}), do: {Media.put(media, items), file}

  defp swap(media, {temporary, file}) do
    Media.commit(media)
    File.rename(temporary, file)
  catch
    {Media, reason} -> {:error, reason}
  end

  defp directory!(%{dir: nil}), do: Directory.data()

  defp directory!(%{scope: :global}),
    do: Media.stop({:combine_error, :global, :dir, node()})

  defp directory!(%{dir: directory}) do
    directory |> to_string() |> Path.expand() |> Path.join(Path.basename(Directory.data()))
  rescue
    _no_text -> Media.stop({:badarg, {:dir, directory}, node()})
  end

  @spec uninstall(options) :: :ok | {:error, term}
  def uninstall(options) do
    options |> directory!() |> Path.join(@name) |> File.rm()
  catch
    {Media, reason} -> {:error, reason}
  end

  # --- starting ---

  @doc "Is there a fallback?"
  @spec installed?() :: boolean
  def installed?, do: File.regular?(file())

  @doc "Will the next start begin with it?"
  @spec wanted?() :: boolean
  def wanted?, do: installed?() and not Settings.get(:ignore_fallback_at_startup)

  @doc "Begins with it: `create` makes an empty database that runs. Everything is as before if that fails."
  @spec begin((() -> :ok | {:error, term}), (() -> term)) :: :ok | {:error, term}
  def begin(create, close) do
    with :ok <- check(),
         :ok <- Native.disc_free(Directory.data()),
         :ok <- set_aside(),
         :ok <- create.(),
         {:atomic, _tables} <- Restore.run(MnesiaBackup, file(), [], :recreate_tables),
         :ok <- File.rename(aside(), data(@done)) do
      File.rm(file())
      File.rm_rf(data(@done))
      :ok
    else
      failed ->
        close.()
        bring_back()
        {:error, {~c"Cannot start from fallback", reason(failed)}}
    end
  end

  defp reason({_what, reason}), do: reason

  # All of it can be read.
  defp check do
    with {:ok, :ok} <-
           Media.iterate(MnesiaBackup, file(), fn _header, _schema -> :ok end, fn _, :ok ->
             :ok
           end),
         do: :ok
  end

  # After a start that was cut off it is aside already, and what is there is a part of the new.
  defp set_aside do
    if File.dir?(aside()) do
      Enum.each(others(), &File.rm_rf!(data(&1)))
    else
      File.mkdir_p!(data(@moving))
      Enum.each(others(), &File.rename!(data(&1), Path.join(data(@moving), &1)))
      File.rename!(data(@moving), aside())
    end
  rescue
    error in File.RenameError -> {:error, error.reason}
    error in File.Error -> {:error, error.reason}
  end

  @doc "What was set aside comes back, after a start that was cut off and whose fallback is not wanted any more."
  @spec bring_back() :: :ok
  def bring_back do
    away = Enum.any?([aside(), data(@moving), data(@done)], &File.dir?/1)
    # Another process may be about to begin with it.
    if away and Native.disc_free(Directory.data()) == :ok, do: bring_all_back(), else: :ok
  end

  defp bring_all_back do
    if File.dir?(aside()) do
      Enum.each(others(), &File.rm_rf(data(&1)))
      File.rename(aside(), data(@moving))
    end

    with {:ok, names} <- File.ls(data(@moving)) do
      for name <- names, do: File.rename(Path.join(data(@moving), name), data(name))
      File.rmdir(data(@moving))
    end

    File.rm_rf(data(@done))
    :ok
  end

  defp others, do: File.ls!(Directory.data()) -- [@name, @temporary, @aside, @moving, @done]
  defp data(name), do: Path.join(Directory.data(), name)
  defp file, do: data(@name)
  defp aside, do: data(@aside)
end
