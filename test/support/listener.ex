defmodule Remnesia.Listener do
  @moduledoc false

  # A process on a peer that keeps what the policy for partitions tells.

  alias Remnesia.{Links, Peers}

  @doc "Starts it, in the place of one whose subscription ended with Mnesia."
  def start(peer), do: :ok = Peers.call(peer, __MODULE__, :begin, [])

  @doc "What it was told, oldest first."
  def told(peer), do: Peers.call(peer, __MODULE__, :ask, [])

  @doc "What was told of this, when it was. Others may come first where a node is slow: what is tried again, links that come back one by one."
  def wait(peer, what, fits? \\ fn _about -> true end) do
    Links.wait(fn ->
      Enum.find_value(told(peer), fn {kind, about} -> kind == what and fits?.(about) and about end)
    end)
  end

  @doc false
  def begin do
    with pid when is_pid(pid) <- Process.whereis(__MODULE__) do
      monitor = Process.monitor(pid)
      Process.exit(pid, :kill)
      receive(do: ({:DOWN, ^monitor, _, _, _} -> :ok))
    end

    me = self()

    spawn(fn ->
      Process.register(self(), __MODULE__)
      {:ok, _node} = :mnesia.subscribe(:system)
      send(me, :listening)
      loop([])
    end)

    receive(do: (:listening -> :ok))
  end

  @doc false
  def ask do
    send(__MODULE__, {:told, self()})
    receive(do: ({:told, told} -> told))
  end

  defp loop(told) do
    receive do
      {:mnesia_system_event, {:mnesia_user, {:remnesia_partition, what, about}}} ->
        loop([{what, about} | told])

      {:told, from} ->
        send(from, {:told, Enum.reverse(told)})
        loop(told)

      _other ->
        loop(told)
    end
  end
end
