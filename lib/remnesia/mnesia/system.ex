defmodule Remnesia.Mnesia.System do
  @moduledoc """
  Starting, stopping and looking at the database through `:remnesia`, by Mnesia's names; events.

  ## Events

  A process that subscribes gets messages:

    * `{:mnesia_system_event, event}`: `{:mnesia_down, node}` when the database stops, `{:mnesia_user, term}` from `report_event/1`
    * `{:mnesia_activity_event, {:complete, id}}` for each transaction that has changed something
    * `{:mnesia_table_event, {:write, record, id} | {:delete, {table, key}, id} | {:delete_object, record, id}}` for a table
    * `{:mnesia_table_event, {:write, table, record, old, id} | {:delete, table, what, old, id}}` for a table in detail; `old` are the records that
      were there before

  They are sent by the process that commits, in the order of its changes, and nothing is sent for a transaction that fails. `id` is `{:tid, serial, pid}` or
  `{:dirty, pid}`. The table `:schema` has the definitions.
  """

  alias Remnesia.Engine

  @doc """
  Starts the database; it may be running.

      iex> :remnesia.start()
      :ok
  """
  @spec start() :: :ok | {:error, term}
  def start, do: Engine.start([], &start_application/0)

  defp start_application do
    case Application.ensure_all_started(:remnesia) do
      {:ok, _started} -> :ok
      {:error, {:remnesia, reason}} -> {:error, reason}
      {:error, reason} -> {:error, reason}
    end
  end

  @doc """
  The same with settings, which are put into the application's environment first.

      iex> :remnesia.start(debug: :none)
      :ok
      iex> :remnesia.start(colour: :green)
      {:error, {:bad_type, :colour, :green}}
  """
  @spec start(keyword) :: :ok | {:error, term}
  def start(settings), do: Engine.start(settings, &start_application/0)

  @doc """
  Stops the database, and tells subscribers of the system.

      iex> :remnesia.stop()
      :stopped
      iex> :remnesia.system_info(:is_running)
      :no
  """
  @spec stop() :: :stopped | {:error, term}
  def stop do
    case Application.stop(:remnesia) do
      :ok -> :stopped
      {:error, {:not_started, :remnesia}} -> :stopped
      error -> error
    end
  end

  @doc """
  Stops the database at once, without telling: for tests of what survives.

      iex> :remnesia.lkill()
      :ok
      iex> :remnesia.system_info(:is_running)
      :no
  """
  @spec lkill() :: :ok
  def lkill, do: Engine.kill()

  @doc """
  The same on all nodes.

      iex> :remnesia.kill()
      {[:ok], []}
  """
  @spec kill() :: {[:ok], [node]}
  def kill, do: Engine.kill_all()

  @doc """
  Remnesia's own modules.

      iex> :remnesia in :remnesia.ms()
      true
  """
  @spec ms() :: [module]
  def ms, do: Engine.modules()

  @doc """
  Changes a setting of the running database.

      iex> :remnesia.change_config(:extra_db_nodes, [])
      {:ok, []}
  """
  @spec change_config(atom, term) :: {:ok, term} | {:error, term}
  def change_config(key, value), do: Engine.change_config(key, value)

  @doc """
  Changes how much is said about what goes on; answers what it was. Nothing is said in this version.

      iex> :remnesia.set_debug_level(:none)
      :none
  """
  @spec set_debug_level(atom) :: atom | {:error, term}
  def set_debug_level(level), do: Engine.set_debug_level(level)

  @doc """
  What is known of the database: one item, or `:all`. Exits with `{:aborted, {:badarg, item}}`.

      iex> :remnesia.system_info(:is_running)
      :yes
  """
  @spec system_info(term) :: term
  def system_info(item), do: Engine.system_info(item)

  @doc """
  Prints the state of the database.

      iex> :remnesia.info()
      :ok
  """
  @spec info() :: :ok
  def info, do: Engine.info()

  @doc """
  The same; answers whether it runs.

      iex> :remnesia.system_info()
      :yes
  """
  @spec system_info() :: :yes | :no
  def system_info do
    Engine.info()
    Engine.system_info(:is_running)
  end

  @doc """
  A text for a reason; a reason without one is its own.

      iex> :remnesia.error_description(:nested_transaction)
      ~c"Nested transactions are not allowed"
      iex> :remnesia.error_description({:aborted, {:no_exists, :city}})
      {~c"Tried to perform op on non-existing (non alive) item", :city}
  """
  @spec error_description(term) :: term
  def error_description(reason), do: Engine.error_description(reason)

  @doc """
  Subscribes to `:system`, `:activity`, `{:table, table}` or `{:table, table, :simple | :detailed}`.

      iex> :remnesia.subscribe({:table, :city, :detailed})
      {:ok, node()}
      iex> :remnesia.subscribe({:table, :city})
      {:error, {:already_exists, {:table, :city, :simple}}}
      iex> :remnesia.subscribe({:table, :nowhere})
      {:error, {:no_exists, :nowhere}}
  """
  @spec subscribe(term) :: {:ok, node} | {:error, term}
  def subscribe(what), do: Engine.subscribe(what)

  @doc """
  Ends a subscription; there may be none.

      iex> :remnesia.unsubscribe({:table, :city})
      {:ok, node()}
  """
  @spec unsubscribe(term) :: {:ok, node} | {:error, term}
  def unsubscribe(what), do: Engine.unsubscribe(what)

  @doc """
  Sends `{:mnesia_user, event}` to the subscribers of the system.

      iex> :remnesia.report_event(:hello)
      :ok
  """
  @spec report_event(term) :: :ok
  def report_event(event), do: Engine.report_event(event)

  @doc """
  Waits until everything that was committed before is on disc. The log goes to the tables by itself, see the guide
  "Durability". On several nodes Mnesia's own log is dumped, too.

      iex> :remnesia.dump_log()
      :dumped
  """
  @spec dump_log() :: :dumped | {:error, term}
  def dump_log, do: with(:ok <- running(), do: Engine.dump_log())

  @doc """
  The same; without a schema on disc there is no log.

      iex> :remnesia.sync_log()
      {:error, :no_such_log}
  """
  @spec sync_log() :: :ok | {:error, term}
  def sync_log, do: with(:ok <- running(), do: Engine.sync_log())

  defp running do
    if Engine.system_info(:is_running) == :yes,
      do: :ok,
      else: {:error, {:node_not_running, node()}}
  end
end
