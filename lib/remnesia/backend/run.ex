defmodule Remnesia.Backend.Run do
  @moduledoc false

  # Mnesia's run, as long as it lasts: `mnesia:stop` tells a plug-in nothing, but ends the processes under its supervisor.

  use GenServer

  alias Remnesia.Native

  @doc "Sees to it that the end of this run will be known."
  @spec ensure() :: :ok
  def ensure do
    if Process.whereis(__MODULE__) == nil do
      case :mnesia_ext_sup.start_proc(__MODULE__, __MODULE__, :start_link, []) do
        {:ok, _pid} -> :ok
        {:error, {:already_started, _pid}} -> :ok
      end
    end

    :ok
  end

  @spec start_link() :: GenServer.on_start()
  def start_link, do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  @impl true
  def init(nil) do
    Process.flag(:trap_exit, true)
    :ok = Native.near_begin()
    {:ok, nil}
  end

  @impl true
  def terminate(_reason, _state), do: Native.near_end()
end
