defmodule Remnesia.Engine.Cluster.Start do
  @moduledoc false

  # Which engine a node has, and how Mnesia starts and ends with it. `config :remnesia, engine:` decides, else the schema: one over several nodes
  # leaves a mark beside the database of each.

  alias Remnesia.Backend
  alias Remnesia.Engine.Choice
  alias Remnesia.Engine.Local.Directory
  alias Remnesia.Native

  @mark "cluster"

  @doc "The engine that this node starts with."
  @spec engine() :: :local | :cluster
  def engine do
    # What the command line says of Mnesia's directory is known when that is loaded.
    Application.load(:mnesia)

    case Application.get_env(:remnesia, :engine) do
      engine when engine in [:local, :cluster] -> engine
      _not_said -> if File.exists?(mark()), do: :cluster, else: :local
    end
  end

  defp mark, do: Path.join(Directory.data(), @mark)

  @doc "Before the database runs."
  @spec choose() :: :ok
  def choose, do: Choice.choose(engine())

  @doc "Starts Mnesia with the backend, when the database runs."
  @spec mnesia() :: :ok | {:error, term}
  def mnesia do
    # For a schema in memory; one on disc has its own list.
    schema = Application.get_env(:mnesia, :schema, [])

    Application.put_env(
      :mnesia,
      :schema,
      Keyword.put_new(schema, :backend_types, Backend.types())
    )

    with :ok <- :mnesia.start(),
         do: if(types?(), do: :ok, else: Backend.register())
  end

  defp types?, do: Keyword.keys(Backend.types()) -- :mnesia.system_info(:backend_types) == []

  @doc "Stops Mnesia before the database that has its tables. Asking the application controller would wait for ourselves."
  @spec stop_mnesia() :: :ok
  def stop_mnesia do
    if Process.whereis(:mnesia_sup) && (Choice.cluster?() or tables?()),
      do: :sys.terminate(:mnesia_sup, :shutdown)

    :ok
  catch
    :exit, _gone -> :ok
  end

  defp tables?, do: Enum.any?(Native.tables(), &match?({:mnesia, _table}, &1))

  @doc "The same node goes on as one of several; it has no tables."
  @spec join([node]) :: {:ok, [node]} | {:error, term}
  def join(nodes) do
    Choice.choose(:cluster)

    with :ok <- mnesia(),
         {:ok, [_ | _] = connected} <- :mnesia.change_config(:extra_db_nodes, nodes) do
      {:ok, connected}
    else
      other ->
        stop_mnesia()
        Choice.choose(:local)
        other
    end
  end

  # --- the schema ---

  @doc "Creates a schema on the disc of several nodes; the database is stopped on all of them."
  @spec create_schema([node]) :: :ok | {:error, term}
  def create_schema(nodes) do
    with :ok <- :mnesia.create_schema(nodes, backend_types: Backend.types()),
         do: each_node(nodes, :put_mark)
  end

  @doc "Deletes it, with all tables."
  @spec delete_schema([node]) :: :ok | {:error, term}
  def delete_schema(nodes) do
    with :ok <- :mnesia.delete_schema(nodes), do: each_node(nodes, :delete_database)
  end

  defp each_node(nodes, function) do
    Enum.reduce_while(nodes, :ok, fn node, :ok ->
      case :rpc.call(node, __MODULE__, function, []) do
        :ok -> {:cont, :ok}
        {:badrpc, reason} -> {:halt, {:error, {node, reason}}}
        {:error, reason} -> {:halt, {:error, {node, reason}}}
      end
    end)
  end

  @doc false
  @spec put_mark() :: :ok | {:error, File.posix()}
  def put_mark do
    with :ok <- File.mkdir_p(Directory.data()), do: File.write(mark(), "")
  end

  @doc false
  @spec delete_database() :: :ok | {:error, term}
  def delete_database do
    Choice.choose(:local)
    Directory.delete()
  end
end
