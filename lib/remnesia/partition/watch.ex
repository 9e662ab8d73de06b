defmodule Remnesia.Partition.Watch do
  @moduledoc false

  # Hears Mnesia's events of an inconsistent database and looks what there is to do. It looks also when Mnesia has started and every few seconds:
  # an event may have come before it listened, or while a node could not be reached. Runs only with `config :remnesia, on_partition:`.

  use GenServer

  alias Remnesia.Partition.{Files, Finish, Heal, Policy, Side}

  require Logger

  # Mnesia's start is seen within this time; nodes that are not connected are called, and all is looked at, every so many.
  @tick 500
  @every 10

  @doc "Nothing to supervise without a policy."
  @spec children() :: [module]
  def children, do: if(Policy.configured() == {:ok, nil}, do: [], else: [__MODULE__])

  @spec start_link(term) :: GenServer.on_start()
  def start_link(_), do: GenServer.start_link(__MODULE__, [], name: __MODULE__)

  @doc "The kind of policy here, and for how long Mnesia has run (ms)."
  @spec status() :: {atom, non_neg_integer}
  def status,
    do: if(Process.whereis(__MODULE__), do: GenServer.call(__MODULE__, :status), else: {nil, 0})

  @doc "Tells subscribers of the system's events here."
  @spec tell(atom, map) :: :ok
  def tell(what, about) do
    if :mnesia.system_info(:is_running) == :yes,
      do: :mnesia.report_event({:remnesia_partition, what, about})

    :ok
  catch
    :exit, _stopping -> :ok
  end

  @impl true
  def init(_) do
    case Policy.configured() do
      {:ok, policy} ->
        Process.flag(:trap_exit, true)
        send(self(), :tick)

        {:ok,
         %{policy: policy, source: nil, since: nil, ticks: 0, look: nil, again: false, told: nil}}

      {:error, reason} ->
        {:stop, reason}
    end
  end

  @impl true
  def handle_call(:status, _from, state) do
    age = if state.since, do: now() - state.since, else: 0
    {:reply, {Policy.kind(state.policy), age}, state}
  end

  @impl true
  def handle_info(:tick, state) do
    Process.send_after(self(), :tick, @tick)
    state = %{listen(state) | ticks: state.ticks + 1}

    if state.source && rem(state.ticks, @every) == 0,
      do: {:noreply, look(state)},
      else: {:noreply, state}
  end

  def handle_info({:mnesia_system_event, {:inconsistent_database, _context, _node}}, state),
    do: {:noreply, look(state)}

  def handle_info({:look, pid, outcome}, %{look: pid} = state),
    do: {:noreply, outcome(outcome, state)}

  def handle_info({:EXIT, pid, reason}, %{look: pid} = state) do
    if reason != :normal,
      do: Logger.error("remnesia: a partition is not healed: #{inspect(reason)}")

    state = %{state | look: nil}
    if state.again, do: {:noreply, look(%{state | again: false})}, else: {:noreply, state}
  end

  def handle_info(_other, state), do: {:noreply, state}

  # --- listening ---

  defp listen(state) do
    source = Process.whereis(:mnesia_subscr)

    cond do
      source == nil -> %{state | source: nil, since: nil}
      source == state.source or :mnesia.system_info(:is_running) != :yes -> state
      true -> subscribe(%{state | source: source, since: now()})
    end
  catch
    :exit, _stopping -> state
  end

  defp subscribe(state) do
    case :mnesia.subscribe(:system) do
      {:ok, _node} ->
        finish(state.policy)
        look(state)

      {:error, _reason} ->
        %{state | source: nil, since: nil}
    end
  end

  # What this node left undone when it went down in the middle.
  defp finish(policy) do
    if Files.noted() && not Side.busy?() && not Finish.busy?() do
      spawn(fn ->
        with {:error, reason} <- policy |> Finish.start() |> Finish.await(),
             do: Logger.error("remnesia: after a partition, #{Finish.text(reason)}")
      end)
    end
  end

  # --- looking ---

  defp look(%{look: nil, policy: policy} = state) do
    me = self()

    pid =
      spawn_link(fn ->
        connect()
        send(me, {:look, self(), Heal.run(policy)})
      end)

    %{state | look: pid}
  end

  defp look(state), do: %{state | again: true}

  # Mnesia does not call nodes that it has lost.
  defp connect do
    missing = :mnesia.system_info(:db_nodes) -- [node() | Node.list()]
    pids = for node <- missing, do: spawn_monitor(fn -> Node.connect(node) end)
    for {_pid, monitor} <- pids, do: receive(do: ({:DOWN, ^monitor, _, _, _} -> :ok))
  end

  # Once for what is found and stays so.
  defp outcome(:whole, state), do: %{state | told: nil}

  defp outcome({:found, about}, %{told: about} = state), do: state

  defp outcome({:found, about}, state) do
    Logger.error("remnesia: the database is partitioned: #{inspect(about)}")
    tell(:found, about)
    %{state | told: about}
  end

  # It is tried again.
  defp outcome({:failed, about}, %{told: about} = state), do: state

  defp outcome({what, about}, state) do
    text = "remnesia: a partition, #{what}: #{inspect(about)}"
    if what == :healed, do: Logger.warning(text), else: Logger.error(text)
    :erpc.multicall([node() | Node.list()], __MODULE__, :tell, [what, about], 5_000)
    %{state | told: if(what == :failed, do: about)}
  end

  defp now, do: System.monotonic_time(:millisecond)
end
