defmodule Remnesia.Engine.Local.Checkpoints do
  @moduledoc false

  # Tables as they were at one moment, read while others write (native/engine/src/txn/snapshot.rs). A checkpoint has a name and lasts until
  # it is ended; a snapshot without one ends with the process that took it.
  #
  # The process knows which there are and ends those of dead processes. Readers do not go through it.

  use GenServer

  alias Remnesia.Engine.Cstruct
  alias Remnesia.Engine.Local
  alias Remnesia.Engine.Local.Definitions
  alias Remnesia.{Events, Native}

  defstruct [:id, :tables, :pause]

  @typedoc """
  Number of the snapshot, definitions of its tables, how long writers had to wait, in nanoseconds.
  """
  @type t :: %__MODULE__{
          id: pos_integer,
          tables: [Cstruct.t()],
          pause: non_neg_integer
        }

  # A large commit is being applied: so often it is waited for, a millisecond each, before new ones are kept away.
  @tries 200

  # --- taking ---

  @doc """
  The tables as they are now. Writers go on; a change of the schema that is going on is waited for.

  `name` is that of a checkpoint, or nil for one that belongs to the caller.

  Errors: `{:no_exists, table}`, `{:already_exists, name}`, `{:node_not_running, node}`.
  """
  @spec take(term, [atom]) :: {:ok, t} | {:error, term}
  def take(name, tables) do
    # The schema stays as it is until the snapshot is taken.
    taken =
      Local.transaction(
        fn ->
          Local.lock_global(:schema, :read)
          begin(name, for(table <- tables, do: definition!(table)), @tries)
        end,
        [],
        :infinity
      )

    with {:atomic, result} <- taken, do: result, else: ({:aborted, reason} -> {:error, reason})
  end

  defp definition!(table) do
    case Definitions.fetch(table) do
      {:ok, cstruct} -> cstruct
      :error -> exit({:aborted, {:no_exists, table}})
    end
  end

  defp begin(name, cstructs, tries) do
    case call({:begin, name, cstructs}) do
      :again when tries > 0 ->
        Process.sleep(1)
        begin(name, cstructs, tries - 1)

      # There is always one: wait for its end, and keep the next one away.
      :again ->
        for %{name: table} <- cstructs,
            table != :schema,
            do: Local.lock_table(table, :read)

        begin(name, cstructs, 0)

      result ->
        result
    end
  end

  @doc "Forgets a snapshot."
  @spec release(t) :: :ok
  def release(%__MODULE__{id: id}), do: with({:error, _stopped} <- call({:release, id}), do: :ok)

  @doc "Ends a checkpoint."
  @spec deactivate(term) :: :ok | {:error, {:no_exists, term}}
  def deactivate(name), do: named({:deactivate, name})

  @doc "A table goes, and with it the checkpoints that have it."
  @spec forget(atom) :: :ok
  def forget(table) do
    for name <- names(table), deactivate(name) == :ok do
      Events.report({:mnesia_checkpoint_deactivated, name})
    end

    :ok
  end

  @spec fetch(term) :: {:ok, t} | {:error, {:no_exists, term}}
  def fetch(name), do: named({:fetch, name})

  # While the database is stopped there is none.
  defp named({_what, name} = request) do
    with {:error, {:node_not_running, _node}} <- call(request), do: {:error, {:no_exists, name}}
  end

  @doc "The names of all checkpoints, the youngest first, or of those of one table."
  @spec names(atom | :all) :: [term]
  def names(table \\ :all) do
    with {:error, _stopped} <- call({:names, table}), do: []
  end

  defp call(request) do
    GenServer.call(__MODULE__, request, :infinity)
  catch
    :exit, _not_there -> {:error, {:node_not_running, node()}}
  end

  # --- reading ---

  @doc "Folds over the records of a table, in lists of about a thousand."
  @spec fold(t, atom, acc, ([tuple], acc -> acc)) :: {:ok, acc} | {:error, term} when acc: term
  def fold(%__MODULE__{id: id}, table, acc, fun), do: scan(id, table, nil, acc, fun)

  defp scan(_id, _table, :done, acc, _fun), do: {:ok, acc}

  defp scan(id, table, place, acc, fun) do
    case Native.snapshot_scan(id, table, place) do
      {[], place} when place != :done -> scan(id, table, place, acc, fun)
      {[], :done} -> {:ok, acc}
      {records, place} when is_list(records) -> scan(id, table, place, fun.(records, acc), fun)
      {:"$error", reason} -> {:error, reason}
    end
  end

  @doc "The records of a key."
  @spec read(t, atom, term) :: [tuple] | {:error, term}
  def read(%__MODULE__{id: id}, table, key) do
    with {:"$error", reason} <- Native.snapshot_read(id, table, key), do: {:error, reason}
  end

  # --- the process ---

  @spec start_link(term) :: GenServer.on_start()
  def start_link(_), do: GenServer.start_link(__MODULE__, [], name: __MODULE__)

  @impl true
  def init([]), do: {:ok, %{named: [], owners: %{}}}

  @impl true
  def handle_call({:begin, name, cstructs}, {pid, _tag}, state) do
    if name != nil and List.keymember?(state.named, name, 0),
      do: {:reply, {:error, {:already_exists, name}}, state},
      else: begin_now(name, cstructs, pid, state)
  end

  def handle_call({:release, id}, _from, state) do
    {_owner, state} = pop_in(state.owners[id])
    {:reply, Native.snapshot_end(id), state}
  end

  def handle_call({:deactivate, name}, _from, state) do
    case List.keytake(state.named, name, 0) do
      {{^name, snapshot}, named} ->
        {:reply, Native.snapshot_end(snapshot.id), %{state | named: named}}

      nil ->
        {:reply, {:error, {:no_exists, name}}, state}
    end
  end

  def handle_call({:fetch, name}, _from, state) do
    case List.keyfind(state.named, name, 0) do
      {^name, snapshot} -> {:reply, {:ok, snapshot}, state}
      nil -> {:reply, {:error, {:no_exists, name}}, state}
    end
  end

  def handle_call({:names, table}, _from, state) do
    names =
      for {name, %{tables: tables}} <- state.named,
          table == :all or Enum.any?(tables, &(&1.name == table)),
          do: name

    {:reply, names, state}
  end

  defp begin_now(name, cstructs, pid, state) do
    names = for %{name: table} <- cstructs, table != :schema, do: table

    case Native.snapshot_begin(names) do
      {:ok, id, pause} ->
        snapshot = %__MODULE__{id: id, tables: cstructs, pause: pause}
        {:reply, {:ok, snapshot}, keep(state, name, snapshot, pid)}

      :"$more" ->
        {:reply, :again, state}

      {:"$error", reason} ->
        {:reply, {:error, reason}, state}
    end
  end

  defp keep(state, nil, snapshot, pid),
    do: put_in(state.owners[snapshot.id], Process.monitor(pid))

  defp keep(state, name, snapshot, _pid),
    do: %{state | named: [{name, snapshot} | state.named]}

  @impl true
  def handle_info({:DOWN, monitor, :process, _pid, _reason}, state) do
    dead = for {id, ^monitor} <- state.owners, do: id
    Enum.each(dead, &Native.snapshot_end/1)
    {:noreply, %{state | owners: Map.drop(state.owners, dead)}}
  end

  def handle_info(_other, state), do: {:noreply, state}
end
