defmodule Remnesia.Partition.Side do
  @moduledoc false

  # A node that loses: a process of its own, which the healer (Remnesia.Partition.Heal) starts.
  #
  #   1. It holds the tables against transactions, is told of every dirty write, and writes to a file what it has and the winners do not.
  #   2. When all losers have done that, the healer commits. Before, everything can be given up, and nothing has changed.
  #   3. From then on the losers need no healer: they tell each other where they are. One after the other stops Mnesia, completes its file, and
  #      when all are stopped they start in the opposite order: the last that stopped is the first, as Mnesia wants it.
  #   4. Tables are loaded from the winners (master nodes), and what is to be merged is merged.
  #
  # No Mnesia of a losing node runs between the first start and the last stop, or it would hand on what was dropped.

  alias Remnesia.Engine.Choice
  alias Remnesia.Engine.Cluster.Start
  alias Remnesia.Partition.{Decision, Files, Finish, Policy, Versions}
  alias Remnesia.Transfer.{BackupFile, NewFile}

  require Logger

  # Transactions that are under way end before that.
  @lock_timeout 15_000
  # Another losing node may have got the commit of a healer that went down.
  @rumour 2_000

  @type work :: %{compare: Decision.comparisons(), load: Decision.tables(), winners: [node]}

  @doc "Begins, for this healer. It gets `{:compared, side}`, then `{:done, side, result}`; or a side ends."
  @spec begin(pid, work, Policy.t()) :: {:ok, pid} | {:error, :busy | File.posix()}
  def begin(healer, work, policy) do
    caller = self()
    mark = make_ref()

    pid =
      spawn(fn ->
        if register() do
          prepared = Files.prepare()
          send(caller, {mark, prepared})
          if prepared == :ok, do: run(healer, work, policy)
        end
      end)

    monitor = Process.monitor(pid)

    receive do
      {^mark, prepared} ->
        Process.demonitor(monitor, [:flush])
        with :ok <- prepared, do: {:ok, pid}

      {:DOWN, ^monitor, _, _, _} ->
        {:error, :busy}
    end
  end

  # One at a time.
  defp register do
    Process.register(self(), __MODULE__)
  rescue
    ArgumentError -> false
  end

  @doc "Is this node at it?"
  @spec busy?() :: boolean
  def busy?, do: Process.whereis(__MODULE__) != nil

  defp run(healer, work, policy) do
    Process.flag(:trap_exit, true)
    # What this process logs and starts is of this node.
    Process.group_leader(self(), Process.whereis(:init))
    state = %{healer: healer, monitor: Process.monitor(healer), work: work, policy: policy}
    path = Files.new_path()
    tables = for {table, _nodes, _like} <- work.compare, do: table
    holder = hold(tables)
    written = write(path, state)
    release(holder)

    case written do
      {:ok, {sides, counts}} ->
        path = if counts == %{}, do: nothing(path), else: path
        if path, do: Logger.warning("remnesia: what this side of a partition had is in #{path}")
        back(sides, state)
        finish = Finish.start(policy)
        # What is not loaded may have to be healed again: the links may be cut meanwhile.
        Process.unregister(__MODULE__)
        result = Finish.await(finish)
        send(healer, {:done, self(), %{path: path, losing: counts, finished: result}})

      {:error, :given_up} ->
        thaw(tables)

      {:error, reason} ->
        if :mnesia.system_info(:is_running) == :no, do: stay_down(path, reason)
        thaw(tables)
        exit({:not_written, path, reason})
    end
  end

  defp write(path, state) do
    BackupFile.write(path, false, &fill(&1, state, path))
  catch
    # Whatever it is: Mnesia may be stopped by then.
    kind, reason -> {:error, {kind, reason, __STACKTRACE__}}
  end

  # Started, it would take the winners' tables, and nothing would tell what it had.
  defp stay_down(path, reason) do
    Logger.error(
      "remnesia: #{path} cannot be completed: #{inspect(reason)}. Mnesia stays stopped on this losing side of a partition, because " <>
        "with its start the versions of its records would be gone."
    )

    exit({:stopped, path, reason})
  end

  defp nothing(path) do
    File.rm(path)
    nil
  end

  # --- 1: hold, and compare ---

  # Dirty writes are told from before the comparison on; a lock keeps transactions out.
  defp hold(tables) do
    for table <- tables, do: :mnesia.subscribe({:table, table, :detailed})
    me = self()

    pid =
      spawn_link(fn ->
        :mnesia.transaction(fn ->
          for table <- tables, do: :mnesia.read_lock_table(table)
          send(me, {:held, self()})
          receive do: (:release -> :ok)
        end)
      end)

    receive do
      {:held, ^pid} -> pid
    after
      @lock_timeout ->
        Process.exit(pid, :kill)
        exit(:tables_in_use)
    end
  end

  defp release(holder) do
    Process.unlink(holder)
    Process.exit(holder, :kill)
  end

  defp thaw(tables),
    do: for(table <- tables, do: :mnesia.unsubscribe({:table, table, :detailed}))

  defp fill(put, %{work: work} = state, path) do
    types =
      for {table, _, _} <- work.compare, into: %{}, do: {table, :mnesia.table_info(table, :type)}

    put.({:partition, %{node: node(), tables: Map.keys(types)}})

    counts =
      for {table, nodes, like} <- work.compare,
          count = Versions.compare(table, nodes, like, &put.({:versions, table, &1})),
          count > 0,
          into: %{},
          do: {table, count}

    send(state.healer, {:compared, self()})
    sides = wait_for_commit(state)
    others = sides -- [self()]
    monitors = Map.new(others, &{Process.monitor(&1), &1})
    for side <- others, do: send(side, {:commit, sides})
    wait_for(:stopped, Enum.take_while(sides, &(&1 != self())), monitors)
    {masters, disc?} = stop(state)
    counts = late(put, types, counts)
    merge = if merge?(state) and counts != %{}, do: [path], else: []
    ok!(Files.note(%{masters: masters, merge: merge}))
    put.({:end, Enum.to_list(counts)})
    for side <- others, do: send(side, {:stopped, self()})
    {{sides, monitors, disc?}, counts}
  end

  defp merge?(%{policy: policy}), do: Policy.kind(policy) == :merge

  # What was written since this side is told of it; in the order of time.
  defp late(put, types, counts) do
    receive do
      {:mnesia_table_event, {_, table, _, _, _} = event} ->
        {table, key, records} = Versions.after_event(event, types[table])
        put.({:versions, table, [{key, records}]})
        late(put, types, Map.update(counts, table, 1, &(&1 + 1)))
    after
      0 -> counts
    end
  end

  # --- 2: the commit ---

  defp wait_for_commit(%{healer: healer, monitor: monitor}) do
    receive do
      {:commit, sides} -> sides
      {:give_up, ^healer} -> NewFile.stop(:given_up)
      {:DOWN, ^monitor, _, _, _} -> rumour()
    end
  end

  defp rumour do
    receive do
      {:commit, sides} -> sides
    after
      @rumour -> NewFile.stop(:given_up)
    end
  end

  # A side that is down is as one that has done everything.
  defp wait_for(what, sides, monitors), do: Enum.each(sides, &wait_for_one(what, &1, monitors))

  defp wait_for_one(what, side, monitors) do
    receive do
      {^what, ^side} ->
        :ok

      {:DOWN, monitor, _, _, _} when is_map_key(monitors, monitor) ->
        for all <- [:stopped, :started], do: send(self(), {all, monitors[monitor]})
        wait_for_one(what, side, monitors)
    end
  end

  # --- 3: down, and up again ---

  # Mnesia writes master nodes to its log at once.
  defp stop(%{work: work}) do
    tables = [{:schema, work.winners} | work.load]
    before = for {table, _} <- tables, do: {table, :mnesia.table_info(table, :master_nodes)}

    for {table, nodes} <- tables,
        {:error, reason} <- [:mnesia.set_master_nodes(table, nodes)] do
      for {table, nodes} <- before, do: :mnesia.set_master_nodes(table, nodes)
      NewFile.stop(reason)
    end

    Finish.cut_off()
    disc? = :mnesia.system_info(:use_dir)
    :stopped = Start.ending(&:mnesia.stop/0)
    {before, disc?}
  end

  defp back({sides, monitors, disc?}, %{work: work}) do
    {_before, [me | later]} = Enum.split_while(sides, &(&1 != self()))
    wait_for(:stopped, later, monitors)
    wait_for(:started, later, monitors)
    :ok = if Choice.cluster?(), do: Start.mnesia(), else: :mnesia.start()
    # A schema in memory is forgotten with the stop.
    if not disc?, do: {:ok, _} = :mnesia.change_config(:extra_db_nodes, work.winners)
    for side <- sides, side != me, do: send(side, {:started, me})
  end

  defp ok!(:ok), do: :ok
  defp ok!({:error, reason}), do: NewFile.stop(reason)
end
