defmodule Remnesia.MemoryBackup do
  @moduledoc false

  # A backup module: backups are lists in an ETS table. One whose name begins with `{:fail, function}` fails there.

  def new, do: :ets.new(__MODULE__, [:named_table, :public])
  def items(name), do: :ets.lookup_element(__MODULE__, name, 2)
  def put(name, items), do: :ets.insert(__MODULE__, {name, items})

  def open_write(name) do
    log(:open_write)
    with :ok <- may(name, :open_write), do: {:ok, {name, []}}
  end

  def write({name, items}, more) do
    with :ok <- may(name, :write), do: {:ok, {name, items ++ more}}
  end

  def commit_write({name, items}) do
    log(:commit_write)

    with :ok <- may(name, :commit_write) do
      put(name, items)
      {:ok, name}
    end
  end

  def abort_write({name, _items}) do
    log(:abort_write)
    {:ok, name}
  end

  def open_read(name) do
    with :ok <- may(name, :open_read), do: {:ok, {name, items(name)}}
  end

  # Two at a time.
  def read({name, items}) do
    with :ok <- may(name, :read),
         {now, later} = Enum.split(items, 2),
         do: {:ok, {name, later}, now}
  end

  def close_read({name, _items}) do
    log(:close_read)
    {:ok, name}
  end

  defp may({:fail, function}, function), do: {:error, {:broken, function}}
  defp may({:raise, function}, function), do: raise("broken")
  defp may(_name, _function), do: :ok

  def log, do: :ets.lookup(__MODULE__, :log) |> Keyword.get(:log, []) |> Enum.reverse()
  def forget, do: :ets.delete(__MODULE__, :log)

  defp log(call) do
    log = :ets.lookup(__MODULE__, :log) |> Keyword.get(:log, [])
    :ets.insert(__MODULE__, {:log, [call | log]})
  end
end
