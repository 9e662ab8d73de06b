defmodule Remnesia.Engine.Local.Disc do
  @moduledoc false

  # The disc of the database: opened at start if there is a schema on it, closed at stop. What is there of a table is its
  # definition and, unless it is in memory alone, its rows; both are read here, the rows in the background.
  #
  # The process hears of failures from the native library (native/nif/src/disc.rs) and tells operators: by an alarm, by an event and by the log.
  # No operation goes through it.

  use GenServer

  alias Remnesia.Engine.Choice
  alias Remnesia.Engine.Cluster.Convert
  alias Remnesia.Engine.Cstruct
  alias Remnesia.Engine.Local.{Definitions, Directory, Wait}
  alias Remnesia.Events
  alias Remnesia.Native
  alias Remnesia.Transfer.{Fallback, Import, MnesiaSource, SafeTerm}

  require Logger

  @alarm {:remnesia, :disc}
  @settings [
    :sync_interval,
    :unsynced_bytes,
    :log_bytes,
    :segment_bytes,
    :max_atoms,
    :file_mode,
    :directory_mode
  ]
  @atoms 500_000
  # A load that takes longer than this says how far it is.
  @progress_every 5_000

  # --- the schema on disc ---

  @doc "Makes an empty database on disc. The database does not run."
  @spec create() :: :ok | {:error, term}
  def create do
    with {:ok, _number} <- begin_empty(schema()), do: Native.disc_close(Directory.data())
  end

  defp schema, do: Cstruct.put_storage(Cstruct.schema(), node(), :disc_copies)

  @doc "Makes an empty database on disc for the one that runs in memory."
  @spec adopt(Cstruct.t()) :: :ok | {:error, term}
  def adopt(schema) do
    with {:ok, number} <- begin_empty(schema), do: Definitions.put({:number, :schema}, number)
  end

  defp begin_empty(schema) do
    with :ok <- File.mkdir_p(Directory.path()),
         {:ok, []} <- Native.disc_open(Directory.data(), settings(), sync?()) do
      Native.disc_loaded()
      {:ok, define(schema)}
    else
      {:ok, _tables} -> {:error, {:already_exists, node()}}
      {:error, reason} -> {:error, reason}
    end
  end

  @doc "The database goes on in memory alone; what is on disc is deleted."
  @spec abandon() :: :ok | {:error, term}
  def abandon do
    Definitions.put({:number, :schema}, nil)
    with :ok <- close(), do: Directory.delete()
  end

  @doc "Is the schema on disc? Only while the database runs."
  @spec used?() :: boolean
  def used?, do: Native.log_tail() != nil

  @doc """
  Opens the database on disc if there is one, and begins its tables; those that have rows there are loaded afterwards.

  Refuses a directory that holds stock Mnesia's data and none of ours.
  """
  @spec open() :: {:ok, [Cstruct.t()]} | :none | :import | :fallback | {:error, term}
  def open do
    if Fallback.wanted?() do
      :fallback
    else
      Fallback.bring_back()
      open_what_is_there()
    end
  end

  defp open_what_is_there do
    cond do
      Directory.importing?() -> with :ok <- Directory.delete(), do: open()
      Directory.exists?() -> read()
      MnesiaSource.mnesia?(Directory.path()) -> foreign()
      true -> :none
    end
  end

  # Nobody shall think that the data are gone.
  defp foreign do
    cluster? = Choice.cluster?()

    case Application.get_env(:remnesia, :import) do
      :auto -> :import
      :ignore -> :none
      _backend when cluster? -> :none
      _not_said -> {:error, {:mnesia_directory, Directory.path(), foreign_text()}}
    end
  end

  defp foreign_text do
    "#{Directory.path()} holds the data of Mnesia and none of Remnesia: run `mix remnesia.import`, or set " <>
      "`config :remnesia, import: :auto` to take them over, or `import: :ignore` to begin without them"
  end

  defp read do
    with :ok <- Directory.check(),
         {:ok, tables} <- Native.disc_open(Directory.data(), settings(), sync?()) do
      with {:ok, cstructs} <- definitions(tables),
           {:ok, cstructs} <- cstructs |> with_schema() |> Convert.at_start() do
        for {number, cstruct} <- cstructs, do: restore(number, cstruct)
        {:ok, for({_number, cstruct} <- cstructs, do: cstruct)}
      else
        {:error, reason} ->
          Native.disc_close(Directory.data())
          {:error, reason}
      end
    end
  end

  # Who made the database may have been killed before that.
  defp with_schema(cstructs) do
    if Enum.any?(cstructs, fn {_number, cstruct} -> cstruct.name == :schema end),
      do: cstructs,
      else: [{define(schema()), schema()} | cstructs]
  end

  # One that was begun and not finished goes.
  defp definitions(tables) do
    Enum.reduce_while(tables, {:ok, []}, fn {number, bytes}, {:ok, all} ->
      case decode(bytes) do
        {:ok, cstruct} ->
          {:cont, {:ok, [{number, cstruct} | all]}}

        :unfinished ->
          change!([{:drop, number}])
          {:cont, {:ok, all}}

        {:error, reason} ->
          {:halt, {:error, {:bad_definition, number, reason}}}
      end
    end)
  end

  defp restore(number, %{name: :schema} = cstruct) do
    Definitions.put({:number, :schema}, number)
    Definitions.put(:schema, cstruct)
  end

  defp restore(number, cstruct) do
    # Who waits for the table asks as soon as it is there, and a fragment belongs to its table also while that is being loaded.
    Definitions.remember(cstruct)
    Definitions.put({:load_reason, cstruct.name}, :local_only)
    Definitions.put({:restored, cstruct.name}, {number, cstruct})
    rows = rows(cstruct) || dumped?(cstruct)
    :ok = Native.table_restore(cstruct.name, Cstruct.shape(cstruct), number, rows, cstruct)
    :ok = Native.table_access(cstruct.name, cstruct.access_mode)
    if rows == false, do: load(cstruct)
  end

  defp load(cstruct) do
    case Native.table_load(cstruct.name, not rows?(cstruct)) do
      :ok -> :ok
      {:"$error", {:no_exists, _table}} = gone -> deleted(cstruct.name, gone)
      {:"$error", reason} -> {:error, reason}
    end
  end

  # Meanwhile, and perhaps made again.
  defp deleted(table, gone) do
    if Native.table_props(table) == :error, do: Definitions.forget(table)
    gone
  end

  # A table in memory whose records were brought to disc once.
  defp dumped?(cstruct), do: Definitions.get({:dumped, cstruct.name}, false)

  @doc "Everything goes to disc, and the disc is let go."
  @spec close() :: :ok | {:error, term}
  def close, do: if(used?(), do: Native.disc_close(Directory.data()), else: :ok)

  defp settings do
    for key <- @settings, value = Application.get_env(:remnesia, key), do: {key, value}
  end

  defp sync?, do: Application.get_env(:remnesia, :durability) == :sync

  # --- definitions ---

  @doc "Do the rows of a table go to disc?"
  @spec rows?(Cstruct.t()) :: boolean
  def rows?(cstruct), do: cstruct.disc_copies ++ cstruct.disc_only_copies != []

  @doc "Where the rows of a table are, as the native side says it: in memory alone, there and on disc, on disc alone."
  @spec rows(Cstruct.t()) :: false | true | :only
  def rows(%{disc_only_copies: [_ | _]}), do: :only
  def rows(cstruct), do: rows?(cstruct)

  @doc "A number for a new table, or nil without a disc."
  @spec number(Cstruct.t()) :: non_neg_integer | nil
  def number(cstruct), do: if(used?(), do: Native.disc_number(ordered?(cstruct)))

  @doc "Brings the definition of a new table to disc: the number of the table there, or nil without a disc."
  @spec define(Cstruct.t()) :: non_neg_integer | nil
  def define(cstruct) do
    if used?() do
      number = Native.disc_number(ordered?(cstruct))
      change!([definition(number, cstruct)])
      number
    end
  end

  @doc "Appends a changed definition, if there is a number for it; see `append!/1`."
  @spec redefine(non_neg_integer | nil, Cstruct.t()) :: :ok
  def redefine(nil, _cstruct), do: :ok

  def redefine(number, cstruct) do
    append!([definition(number, cstruct)])
    :ok
  end

  @doc "A number for a table that is being built; it goes at the next start unless it is defined until then."
  @spec begin(Cstruct.t()) :: non_neg_integer | nil
  def begin(cstruct) do
    if used?() do
      number = Native.disc_number(ordered?(cstruct))
      change!([{:define, number, ordered?(cstruct), ""}])
      number
    end
  end

  @doc "The definition of a table, for `change!/1`."
  @spec definition(non_neg_integer, Cstruct.t()) :: tuple
  def definition(number, cstruct), do: {:define, number, ordered?(cstruct), encode(cstruct)}

  @doc "Changes definitions on disc, in one step, and waits until that is durable. Leaves by exit if it cannot be."
  @spec change!([tuple]) :: :ok | no_return
  def change!(changes) do
    with {:"$error", reason} <- changes |> append!() |> Wait.durable(),
         do: exit({:aborted, reason})
  end

  @doc """
  Appends changes of definitions to the log, in one step, and answers their position. Leaves by exit where that is refused: nothing has happened then.
  Changes of the schema wait for their positions at their end (`Schema.change/1`), when memory and disc say the same.
  """
  @spec append!([tuple]) :: non_neg_integer | no_return
  def append!(changes) do
    with {:"$error", reason} <- Wait.with_room(fn -> Native.disc_change(changes) end),
         do: exit({:aborted, reason})
  end

  @doc "Drops tables that were begun. What cannot be dropped now goes at the next start."
  @spec give_up([non_neg_integer]) :: :ok
  def give_up([]), do: :ok

  def give_up(numbers) do
    _ = Wait.with_room(fn -> Native.disc_change(for(number <- numbers, do: {:drop, number})) end)
    :ok
  end

  defp ordered?(cstruct), do: cstruct.type == :ordered_set

  # Version of the form, then the fields.
  defp encode(cstruct) do
    fields = Map.from_struct(cstruct)
    fields = if dumped?(cstruct), do: Map.put(fields, :dumped, true), else: fields
    :erlang.term_to_binary({1, fields})
  end

  defp decode(""), do: :unfinished

  defp decode(bytes) do
    case SafeTerm.decode(bytes, Application.get_env(:remnesia, :max_atoms, @atoms)) do
      {:ok, {1, fields}, _left} when is_map(fields) ->
        if fields[:dumped], do: Definitions.put({:dumped, fields.name}, true)
        {:ok, struct(Cstruct, fields)}

      {:ok, _other, _left} ->
        {:error, :newer_format}

      {:error, reason} ->
        {:error, reason}
    end
  end

  # --- failures ---

  @refusal {__MODULE__, :refusal}

  @doc "Why the disc takes no commits at present, or nil."
  @spec refusal() :: term | nil
  def refusal, do: :persistent_term.get(@refusal, nil)

  defp refuse(nil), do: :persistent_term.erase(@refusal)
  defp refuse(reason), do: :persistent_term.put(@refusal, reason)

  # --- waiting ---

  @doc "Waits for the last commit of the transaction, if every commit is waited for."
  @spec wait_if_synchronous(reference) :: :ok | {:"$error", term}
  def wait_if_synchronous(txn) do
    with true <- sync?(), position when position != nil <- Native.txn_position(txn) do
      Wait.durable(position)
    else
      _not_waited_for -> :ok
    end
  end

  @doc "Waits until what the process committed last is on disc, and what it may have read."
  @spec wait_for_last(reference | :undefined) :: :ok | {:"$error", term}
  def wait_for_last(txn) do
    case is_reference(txn) and Native.txn_position(txn) do
      position when is_integer(position) -> Wait.durable(position)
      _changed_nothing -> sync()
    end
  end

  @doc "Waits until everything that was committed before is on disc."
  @spec sync() :: :ok | {:"$error", term}
  def sync do
    case Native.log_tail() do
      nil -> :ok
      position -> Wait.durable(position)
    end
  end

  # --- the process ---

  @spec start_link(term) :: GenServer.on_start()
  def start_link(_), do: GenServer.start_link(__MODULE__, [], name: __MODULE__)

  @impl true
  def init([]) do
    refuse(nil)
    # It is open when this process is started again.
    case if(used?(), do: {:ok, begin_again()}, else: open()) do
      {:ok, cstructs} -> {:ok, state(cstructs), {:continue, :load}}
      :none -> {:ok, state([])}
      :import -> import_all()
      :fallback -> fall_back()
      {:error, reason} -> {:stop, reason}
    end
  end

  # What the process that was here before has not read. Threads that still read for it come to nothing, as these tables are other ones.
  defp begin_again do
    for {table, _rows} <- Native.tables_loading(),
        Definitions.get({:load_failed, table}, nil) == nil,
        {number, cstruct} = Definitions.get({:restored, table}, nil) do
      restore(number, cstruct)
      cstruct
    end
  end

  # Those that shall be there first come first.
  defp state(cstructs) do
    waiting = Enum.filter(cstructs, &(&1.name != :schema and (rows?(&1) or dumped?(&1))))
    %{waiting: Enum.sort_by(waiting, &{-&1.load_order, &1.name}), running: %{}}
  end

  # Nobody sees a part of it: the application starts when all is there.
  defp import_all do
    progress = fn line -> Logger.info("remnesia: import: #{line}") end

    with :ok <- Directory.begin_import(),
         :ok <- create(),
         {:ok, []} <- without_schema(read()),
         {:ok, _tables} <- Import.run(Directory.path(), progress: progress),
         :ok <- sync(),
         :ok <- Directory.end_import() do
      {:ok, state([])}
    else
      {:"$error", reason} -> {:stop, {:import_failed, reason}}
      {:error, reason} -> {:stop, {:import_failed, reason}}
    end
  end

  # The backup in the place of what is there.
  defp fall_back do
    create = fn ->
      with :ok <- create(), {:ok, []} <- without_schema(read()), do: :ok
    end

    case Fallback.begin(create, &close/0) do
      :ok -> {:ok, state([])}
      {:error, reason} -> {:stop, reason}
    end
  end

  defp without_schema({:ok, cstructs}), do: {:ok, Enum.reject(cstructs, &(&1.name == :schema))}
  defp without_schema(error), do: error

  @impl true
  def handle_continue(:load, state) do
    # Loads end with this process, and not this process with one of them.
    Process.flag(:trap_exit, true)
    {:noreply, start_loads(state)}
  end

  defp start_loads(%{waiting: [], running: running} = state) when running == %{} do
    if used?(), do: Native.disc_loaded()
    state
  end

  defp start_loads(%{waiting: [cstruct | waiting], running: running} = state)
       when map_size(running) < 4 do
    {_pid, monitor} = :erlang.spawn_opt(fn -> timed_load(cstruct) end, [:link, :monitor])
    start_loads(%{state | waiting: waiting, running: Map.put(running, monitor, cstruct.name)})
  end

  defp start_loads(state), do: state

  defp timed_load(cstruct) do
    begun = System.monotonic_time(:millisecond)
    teller = spawn_link(fn -> tell_progress(cstruct.name) end)

    case load(cstruct) do
      # Deleted while it was loaded, as Mnesia does where it starts from a fallback.
      {:"$error", {:no_exists, _table}} ->
        stop(teller)

      :ok ->
        stop(teller)
        time = System.monotonic_time(:millisecond) - begun

        if time > @progress_every,
          do: Logger.info("remnesia: #{inspect(cstruct.name)} loaded in #{div(time, 1000)} s")

      {:error, reason} ->
        exit({:load_failed, cstruct.name, reason})
    end
  end

  defp stop(teller) do
    Process.unlink(teller)
    Process.exit(teller, :kill)
  end

  defp tell_progress(table) do
    Process.sleep(@progress_every)

    for {^table, rows} <- Native.tables_loading(),
        do: Logger.info("remnesia: loading #{inspect(table)}, #{rows} records so far")

    tell_progress(table)
  end

  @impl true
  def handle_info({:DOWN, monitor, :process, _pid, reason}, state) do
    {table, running} = Map.pop(state.running, monitor)

    if reason not in [:normal, :killed] do
      Definitions.put({:load_failed, table}, reason)
      Logger.error("remnesia: #{inspect(table)} cannot be loaded: #{inspect(reason)}")
    end

    {:noreply, start_loads(%{state | running: running})}
  end

  def handle_info({:disc_failed, reason}, state) do
    Logger.error("remnesia: tables on disc are read-only, the log failed: #{inspect(reason)}")
    refuse(reason)
    alarm(:set_alarm, {@alarm, reason})
    Events.report({:mnesia_error, ~c"The log failed: ~p~n", [reason]})
    {:noreply, state}
  end

  def handle_info(:disc_recovered, state) do
    Logger.notice("remnesia: the log works again, everything committed is on disc")
    refuse(nil)
    alarm(:clear_alarm, @alarm)
    Events.report({:mnesia_info, ~c"The log works again~n", []})
    {:noreply, state}
  end

  def handle_info({:flush_failed, reason}, state) do
    Logger.warning("remnesia: the log cannot be moved to its place: #{inspect(reason)}")
    {:noreply, state}
  end

  def handle_info(_other, state), do: {:noreply, state}

  # There is an alarm handler where sasl runs.
  defp alarm(change, about) do
    if Process.whereis(:alarm_handler), do: apply(:alarm_handler, change, [about])
    :ok
  end
end
