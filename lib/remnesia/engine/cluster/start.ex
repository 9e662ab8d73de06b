defmodule Remnesia.Engine.Cluster.Start do
  @moduledoc false

  # Which engine a node has, and how Mnesia starts and ends with it. `config :remnesia, engine:` decides, else the schema: one over several nodes
  # leaves a mark beside the database of each.

  alias Remnesia.Backend
  alias Remnesia.Engine.Choice
  alias Remnesia.Engine.Cluster.{Convert, Mark, Nodes}
  alias Remnesia.Engine.Local.Directory
  alias Remnesia.Native

  @doc "The engine that this node starts with."
  @spec engine() :: :local | :cluster
  def engine do
    load()

    case Application.get_env(:remnesia, :engine) do
      engine when engine in [:local, :cluster] -> engine
      _not_said -> if Mark.exists?(), do: :cluster, else: :local
    end
  end

  # What the command line says, of directories for one, is known then.
  defp load do
    Application.load(:mnesia)
    Application.load(:remnesia)
  end

  @doc "Before the database runs. A node that has left its cluster begins anew."
  @spec choose() :: :ok | {:error, term}
  def choose do
    load()

    with {:ok, state} <- Mark.get(),
         :ok <- if(state == :leave, do: forget(), else: allowed(state, engine())),
         do: Choice.choose(engine())
  end

  # Nobody shall think that the data are gone.
  defp allowed(state, :local) when state != nil do
    {:error,
     {:not_available,
      "the tables of this database are those of a cluster, and `config :remnesia, engine: :local` would not see them"}}
  end

  defp allowed(_state, _engine), do: :ok

  @doc "Deletes everything that the node has of its cluster; nothing runs here."
  @spec forget() :: :ok | {:error, term}
  def forget do
    directory()

    # Mnesia knows its files. Where there is no schema any more there are none.
    if schema_on_disc?() and :mnesia.delete_schema([node()]) != :ok,
      do: {:error, {:not_deleted, directory()}},
      else: delete_database()
  end

  @doc "Mnesia's directory: its own setting, else that of the database."
  @spec directory() :: Path.t()
  def directory do
    Application.load(:mnesia)
    ours = Application.get_env(:remnesia, :dir)

    if ours != nil and Application.get_env(:mnesia, :dir) == nil,
      do: Application.put_env(:mnesia, :dir, String.to_charlist(Path.expand(to_string(ours))))

    Path.expand(to_string(Application.get_env(:mnesia, :dir) || "Mnesia.#{node()}"))
  end

  @doc "Does Mnesia have a schema on disc, or one that it takes at its next start?"
  @spec schema_on_disc?() :: boolean
  def schema_on_disc? do
    Enum.any?(["schema.DAT", "FALLBACK.BUP"], &File.exists?(Path.join(directory(), &1)))
  end

  @doc "Starts Mnesia with the backend, when the database runs."
  @spec mnesia() :: :ok | {:error, term}
  def mnesia do
    directory()
    # For a schema in memory; one on disc has its own list.
    schema = Application.get_env(:mnesia, :schema, [])

    Application.put_env(
      :mnesia,
      :schema,
      Keyword.put_new(schema, :backend_types, Backend.types())
    )

    with :ok <- Convert.schema(),
         :ok <- :mnesia.start(),
         :ok <- if(types?(), do: :ok, else: Backend.register()),
         :ok <- Convert.finish(),
         do: Nodes.agree()
  end

  @doc "The answer of a start, when Mnesia runs too: it may have ended alone, or have been stopped by its own name."
  @spec with_mnesia(answer) :: answer | :ok | {:error, term} when answer: term
  def with_mnesia(answer) when answer in [:ok, {:error, {:already_started, :remnesia}}] do
    if Choice.cluster?() and Native.running() and :mnesia.system_info(:is_running) == :no,
      do: mnesia(),
      else: answer
  end

  def with_mnesia(error), do: error

  defp types?, do: Keyword.keys(Backend.types()) -- :mnesia.system_info(:backend_types) == []

  @doc "Stops Mnesia before the database that has its tables. Asking the application controller would wait for ourselves."
  @spec stop_mnesia() :: :ok
  def stop_mnesia do
    supervisor = Process.whereis(:mnesia_sup)
    if supervisor && (Choice.cluster?() or tables?()), do: stop(supervisor), else: :ok
  end

  # Ordering it does not wait for it.
  defp stop(supervisor) do
    ending(fn ->
      monitor = Process.monitor(supervisor)
      :sys.terminate(supervisor, :shutdown)

      receive do
        {:DOWN, ^monitor, :process, ^supervisor, _reason} -> :ok
      end
    end)
  catch
    :exit, _gone -> :ok
  end

  @doc """
  Ends Mnesia by this function, then tells those who wait for its transaction manager. That links them when it takes what they ask for, so who
  asked just before its end would wait for ever.
  """
  @spec ending((() -> result)) :: result when result: term
  def ending(stop) do
    manager = Process.whereis(:mnesia_tm)
    result = stop.()

    for pid <- Process.list(),
        {:current_function, {:mnesia_tm, :rec, _arity}} <- [
          Process.info(pid, :current_function)
        ],
        do: send(pid, {:EXIT, manager, :shutdown})

    result
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

  @doc "Stops the database and starts it again, as what it was started."
  @spec again() :: :ok | {:error, term}
  def again do
    type = Keyword.get(:application.info()[:started] || [], :remnesia, :temporary)

    with :ok <- Application.stop(:remnesia),
         {:error, {reason, _where}} <- Application.start(:remnesia, type),
         do: {:error, reason}
  end

  # --- the schema ---

  @doc "Creates a schema on the disc of several nodes; the database is stopped on all of them."
  @spec create_schema([node]) :: :ok | {:error, term}
  def create_schema(nodes) do
    directories(nodes)

    with :ok <- :mnesia.create_schema(nodes, backend_types: Backend.types()),
         do: each_node(nodes, :put_mark)
  end

  @doc "Deletes it, with all tables."
  @spec delete_schema([node]) :: :ok | {:error, term}
  def delete_schema(nodes) do
    directories(nodes)

    with :ok <- :mnesia.delete_schema(nodes), do: each_node(nodes, :delete_database)
  end

  # Mnesia asks each node for its own. One that does not answer gets its reason from Mnesia.
  defp directories(nodes) do
    if is_list(nodes) and not List.improper?(nodes) and Enum.all?(nodes, &is_atom/1),
      do: :rpc.multicall(nodes, __MODULE__, :directory, [])
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
  def put_mark, do: Mark.put(:cluster)

  @doc false
  @spec delete_database() :: :ok | {:error, term}
  def delete_database do
    Choice.choose(:local)
    Directory.delete()
  end
end
