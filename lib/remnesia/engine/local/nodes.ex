defmodule Remnesia.Engine.Local.Nodes do
  @moduledoc false

  # The schema's place on this node's disc, other nodes, and whether tables are there. What would need another node gets the answer that Mnesia gives
  # where there is none, or, where Mnesia could do it, an error that says so.

  alias Remnesia.Engine.Cluster.Start
  alias Remnesia.Engine.Local.{Definitions, Directory, Disc}
  alias Remnesia.Native

  @no_cluster "`config :remnesia, engine: :local` says that tables live on this node"
  @convert "a node with tables of its own cannot join a cluster: Remnesia.Cluster.convert/1 makes it one, which others join"

  @spec create_schema(term) :: :ok | {:error, term}
  def create_schema([]), do: create_schema([node()])

  def create_schema(nodes) when is_list(nodes) do
    cond do
      nodes != Enum.uniq(nodes) -> {:error, {:combine_error, nodes}}
      joint?(nodes) or clustered?() -> Start.create_schema(nodes)
      refused = Enum.find_value(nodes, &schema_there/1) -> {:error, refused}
      true -> with {:error, reason} <- Disc.create(), do: {:error, {node(), reason}}
    end
  end

  def create_schema(nodes), do: {:error, {:badarg, nodes}}

  # Several nodes, which are there.
  defp joint?(nodes) do
    other = Enum.find(nodes, &(&1 != node()))
    other in Node.list() and not Native.running()
  end

  # A database that will start as one of a cluster, whatever this VM has started before.
  defp clustered?, do: not Native.running() and Start.engine() == :cluster

  # What keeps a node from getting a schema.
  defp schema_there(node) when not is_atom(node), do: {:badarg, node}

  defp schema_there(node) when node != node(),
    do: {node, {~c"All nodes not running", node, :nodedown}}

  defp schema_there(node) do
    if Native.running() or Directory.exists?(), do: {node, {:already_exists, node}}
  end

  @spec delete_schema(term) :: :ok | {:error, term}
  def delete_schema([_ | _] = nodes) do
    cond do
      Native.running() and node() in nodes ->
        {:error, {~c"Mnesia is not stopped everywhere", [node()]}}

      clustered?() ->
        Start.delete_schema(nodes)

      Enum.any?(nodes, &(&1 != node())) ->
        {:error, {~c"All nodes not running", Enum.reject(nodes, &(&1 == node()))}}

      true ->
        Directory.delete()
    end
  end

  def delete_schema(nodes), do: {:error, {:badarg, nodes}}

  @spec change_config(term, term) :: {:ok, term} | {:error, term}
  def change_config(:extra_db_nodes, nodes) when is_list(nodes) do
    {here, others} = Enum.split_with(nodes, &(&1 == node()))

    cond do
      not Native.running() -> {:error, {:node_not_running, node()}}
      not Enum.any?(others, &(:net_adm.ping(&1) == :pong)) -> connected(here)
      tables?() -> {:error, {:not_available, @convert}}
      Application.get_env(:remnesia, :engine) == :local -> {:error, {:not_available, @no_cluster}}
      true -> Start.join(others)
    end
  end

  def change_config(:dc_dump_limit, limit) when is_number(limit) and limit > 0 do
    if Native.running() do
      Definitions.put(:dc_dump_limit, limit)
      {:ok, limit}
    else
      {:error, {:not_started, :remnesia}}
    end
  end

  def change_config(key, _value), do: {:error, {:badarg, key}}

  defp connected(nodes) do
    known = Definitions.get(:extra_db_nodes, [])
    Definitions.put(:extra_db_nodes, Enum.uniq(nodes ++ known))
    {:ok, nodes}
  end

  defp tables?, do: Enum.any?(Definitions.names(), &is_atom/1)

  # --- waiting for tables ---

  # A table is ready when it is created, so what is waited for is its creation, which nobody announces: a process that
  # waits looks again every few milliseconds.
  @poll 10

  @spec wait_for_tables(term, term) :: :ok | {:timeout, [term]} | {:error, term}
  def wait_for_tables(tables, timeout)
      when is_list(tables) and (timeout == :infinity or (is_integer(timeout) and timeout >= 0)) do
    deadline = if timeout == :infinity, do: :infinity, else: now() + timeout
    wait(tables, deadline)
  end

  def wait_for_tables(tables, timeout), do: {:error, {:badarg, tables, timeout}}

  defp wait(tables, deadline) do
    missing = Enum.reject(tables, &(&1 == :schema or Native.table_size(&1) != :error))

    cond do
      not Native.running() -> {:error, {:node_not_running, node()}}
      missing == [] -> :ok
      deadline != :infinity and now() >= deadline -> {:timeout, missing}
      true -> pause(missing, deadline)
    end
  end

  @doc "Waits until all that are being loaded are there; refuses where one cannot be."
  @spec all_loaded() :: :ok | {:error, term}
  def all_loaded, do: loaded(Definitions.names())

  @doc "The same of these."
  @spec loaded([atom]) :: :ok | {:error, term}
  def loaded(tables) do
    case for table <- tables,
             reason = Definitions.get({:load_failed, table}, nil),
             do: {table, reason} do
      [] ->
        with {:timeout, missing} <- wait_for_tables(tables, 1_000),
             do: missing |> known() |> loaded()

      [{table, reason} | _more] ->
        {:error, {:load_failed, table, reason}}
    end
  end

  # Those that have not been deleted meanwhile.
  defp known(tables), do: Enum.filter(tables, &(Definitions.fetch(&1) != :error))

  defp pause(tables, deadline) do
    Process.sleep(
      if deadline == :infinity, do: @poll, else: min(@poll, deadline - now()) |> max(0)
    )

    wait(tables, deadline)
  end

  defp now, do: System.monotonic_time(:millisecond)
end
