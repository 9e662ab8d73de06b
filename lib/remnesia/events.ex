defmodule Remnesia.Events do
  @moduledoc false

  # Who wants to be told of what. One process keeps the lists and watches the subscribers; whoever commits reads the lists from an
  # ETS table and sends the messages itself, so they are in its order and nobody waits for this process.
  #
  # Rows: {:system, pids}, {:activity, pids}, {{:table, name}, simple pids, detailed pids, {type, record name}}.

  use GenServer

  alias Remnesia.Engine.Local.Definitions
  alias Remnesia.Native

  @table __MODULE__

  # What the native side is told in the place of a table's name.
  @transactions :"$transactions"

  @type what ::
          :system | :activity | {:table, atom} | {:table, atom, :simple | :detailed}

  @spec start_link(term) :: GenServer.on_start()
  def start_link(_), do: GenServer.start_link(__MODULE__, [], name: __MODULE__)

  # --- subscribing ---

  @doc "Adds a process to those who are told."
  @spec subscribe(pid, what) :: {:ok, node} | {:error, term}
  def subscribe(pid, what), do: change(:subscribe, pid, what)

  @doc "Takes it out; it may not be among them."
  @spec unsubscribe(pid, what) :: {:ok, node} | {:error, term}
  def unsubscribe(pid, what), do: change(:unsubscribe, pid, what)

  @doc "Forgets those of a table that is deleted."
  @spec forget(atom) :: :ok
  def forget(table) do
    if :ets.whereis(@table) != :undefined and :ets.member(@table, {:table, table}),
      do: GenServer.call(__MODULE__, {:forget, table}),
      else: :ok
  end

  @doc "Forgets everybody."
  @spec forget_all() :: :ok
  def forget_all,
    do: if(Process.whereis(__MODULE__), do: GenServer.call(__MODULE__, :forget_all), else: :ok)

  defp change(how, pid, what) do
    case topic(what) do
      {:error, _} = error ->
        error

      topic ->
        if Native.running() and Process.whereis(__MODULE__) != nil,
          do: GenServer.call(__MODULE__, {how, pid, topic}, :infinity),
          else: {:error, {:node_not_running, node()}}
    end
  end

  defp topic(what) when what in [:system, :activity], do: what
  defp topic({:table, table}), do: {:table, table, :simple}
  defp topic({:table, _, level} = what) when level in [:simple, :detailed], do: what
  defp topic(what), do: {:error, {:badarg, what}}

  # --- telling ---

  @doc "The processes that are told of a table's changes: briefly, and in detail."
  @spec subscribers(atom) :: {[pid], [pid]}
  def subscribers(table) do
    case lookup({:table, table}) do
      [{_, simple, detailed, _}] -> {simple, detailed}
      [] -> {[], []}
    end
  end

  @doc "All of that with one look: briefly, in detail, type and record name."
  @spec watchers(atom) :: {[pid], [pid], atom, atom}
  def watchers(table) do
    case lookup({:table, table}) do
      [{_, simple, detailed, {type, record_name}}] -> {simple, detailed, type, record_name}
      [] -> {[], [], :set, table}
    end
  end

  @doc "Type and record name of a table that has subscribers."
  @spec table(atom) :: {atom, atom}
  def table(table) do
    case lookup({:table, table}) do
      [{_, _, _, table}] -> table
      [] -> {:set, table}
    end
  end

  @doc "The definition of a table was changed."
  @spec refresh(atom) :: :ok
  def refresh(table),
    do:
      if(subscribers(table) != {[], []},
        do: GenServer.call(__MODULE__, {:refresh, table}),
        else: :ok
      )

  @doc "The processes that are told of the system's events, or of transactions."
  @spec listeners(:system | :activity) :: [pid]
  def listeners(what) do
    case lookup(what) do
      [{_, pids}] -> pids
      [] -> []
    end
  end

  defp lookup(key) do
    :ets.lookup(@table, key)
  rescue
    ArgumentError -> []
  end

  @doc "Sends changes of tables, in their order."
  @spec deliver([{[pid], term}]) :: :ok
  def deliver(messages) do
    for {pids, change} <- messages, do: tell(pids, change)
    :ok
  end

  @doc "Sends one change."
  @spec tell([pid], term) :: :ok
  def tell([], _change), do: :ok

  def tell([pid | pids], change) do
    send(pid, {:mnesia_table_event, change})
    tell(pids, change)
  end

  @doc "Tells that a transaction is done."
  @spec complete(term) :: :ok
  def complete(id) do
    for pid <- listeners(:activity), do: send(pid, {:mnesia_activity_event, {:complete, id}})
    :ok
  end

  @doc "Tells an event of the system."
  @spec report(term) :: :ok
  def report(event) do
    for pid <- listeners(:system), do: send(pid, {:mnesia_system_event, event})
    :ok
  end

  # --- the process ---

  @impl true
  def init([]) do
    Process.flag(:trap_exit, true)
    :ets.new(@table, [:named_table, :protected, read_concurrency: true])
    Definitions.new()
    # Were this process to start again, nobody would be subscribed any more.
    for table <- [@transactions | Native.tables()], do: Native.watch(table, false)
    {:ok, %{}}
  end

  # The state has a monitor for each subscriber.
  @impl true
  def handle_call({:subscribe, pid, topic}, _from, monitors) do
    with :ok <- known(topic), :ok <- new(pid, topic) do
      add(topic, pid)
      {:reply, {:ok, node()}, Map.put_new_lazy(monitors, pid, fn -> Process.monitor(pid) end)}
    else
      error -> {:reply, error, monitors}
    end
  end

  def handle_call({:unsubscribe, pid, topic}, _from, monitors) do
    case known(topic) do
      :ok ->
        remove(topic, pid)
        {:reply, {:ok, node()}, monitors}

      _unknown ->
        {:reply, {:error, :badarg}, monitors}
    end
  end

  def handle_call({:forget, table}, _from, monitors) do
    :ets.delete(@table, {:table, table})
    {:reply, :ok, monitors}
  end

  def handle_call(:forget_all, _from, monitors) do
    :ets.delete_all_objects(@table)
    {:reply, :ok, monitors}
  end

  def handle_call({:refresh, table}, _from, monitors) do
    {simple, detailed} = subscribers(table)
    :ets.insert(@table, {{:table, table}, simple, detailed, definition(table)})
    {:reply, :ok, monitors}
  end

  @impl true
  def handle_info({:DOWN, _monitor, :process, pid, _reason}, monitors) do
    for row <- :ets.tab2list(@table), topic <- topics(row), do: remove(topic, pid)
    {:noreply, Map.delete(monitors, pid)}
  end

  def handle_info(_other, monitors), do: {:noreply, monitors}

  @impl true
  def terminate(_reason, _monitors), do: report({:mnesia_down, node()})

  defp known({:table, :schema, _level}), do: :ok

  defp known({:table, table, _level}) do
    if is_atom(table) and Native.table_props(table) != :error,
      do: :ok,
      else: {:error, {:no_exists, table}}
  end

  defp known(_topic), do: :ok

  # Briefly and in detail exclude each other.
  defp new(pid, {:table, table, _level} = topic) do
    {simple, detailed} = subscribers(table)
    if pid in simple or pid in detailed, do: {:error, {:already_exists, topic}}, else: :ok
  end

  defp new(pid, topic),
    do: if(pid in listeners(topic), do: {:error, {:already_exists, topic}}, else: :ok)

  defp add({:table, table, level}, pid) do
    {simple, detailed} = subscribers(table)

    row =
      if level == :simple,
        do: {{:table, table}, [pid | simple], detailed, definition(table)},
        else: {{:table, table}, simple, [pid | detailed], definition(table)}

    :ets.insert(@table, row)
    if table != :schema, do: Native.watch(table, true)
  end

  defp add(topic, pid) do
    :ets.insert(@table, {topic, [pid | listeners(topic)]})
    if topic == :activity, do: Native.watch(@transactions, true)
  end

  defp remove({:table, table, _level}, pid) do
    {simple, detailed} = subscribers(table)

    case {List.delete(simple, pid), List.delete(detailed, pid)} do
      {[], []} ->
        :ets.delete(@table, {:table, table})
        if table != :schema, do: Native.watch(table, false)

      {simple, detailed} ->
        :ets.insert(@table, {{:table, table}, simple, detailed, definition(table)})
    end
  end

  defp remove(topic, pid) do
    pids = List.delete(listeners(topic), pid)
    :ets.insert(@table, {topic, pids})
    if topic == :activity and pids == [], do: Native.watch(@transactions, false)
  end

  defp definition(table) do
    case Native.table_props(table) do
      {:ok, %{type: type, record_name: record_name}} -> {type, record_name}
      :error -> {:set, table}
    end
  end

  defp topics({{:table, table}, _simple, _detailed, _definition}), do: [{:table, table, :simple}]
  defp topics({topic, _pids}), do: [topic]
end
