defmodule Remnesia.Backend.Table do
  @moduledoc false

  # Tables of Mnesia as native tables, named `{:mnesia, table}`: from their creation to their end, at start, and while a copy from another
  # node is on its way. What is on disc of them is what is there of any table (Remnesia.Engine.Local.Disc): number, definition, rows.
  #
  # Our log is the only authority about rows. Mnesia replays its own into a plug-in at start, which lags behind, lacks counters and is cut at every
  # dump: all of that is left out (`Change.replay/2`).

  alias Remnesia.Backend.{Change, Fatal, Run}
  alias Remnesia.Engine.Cluster.{Convert, Several}
  alias Remnesia.Engine.Cstruct
  alias Remnesia.Engine.Local.{Copies, Definitions, Disc, Transaction, Wait}
  alias Remnesia.Native

  @doc "Starts the database if it does not run."
  @spec ensure_started() :: :ok
  def ensure_started do
    # Its own data are not there yet where Mnesia's are: no reason to refuse to start.
    if not Native.running() do
      if Application.get_env(:remnesia, :import) == nil,
        do: Application.put_env(:remnesia, :import, :ignore)

      {:ok, _started} = Application.ensure_all_started(:remnesia)
    end

    :ok
  end

  @spec name(atom) :: {:mnesia, atom}
  def name(table), do: {:mnesia, table}

  # --- loading ---

  @doc "Makes the table ready, with the rows that it shall have for this reason."
  @spec load(atom, atom, term, keyword) :: :ok
  def load(alias, table, reason, properties) do
    :ok = ensure_started()
    :ok = Run.ensure()
    :ok = Native.near_doubt()
    wanted = definition(alias, table, properties)
    if Disc.rows?(wanted), do: ensure_disc()
    doubted? = Definitions.get({:doubted, wanted.name}, false)
    Definitions.put({:doubted, wanted.name}, false)

    case reason do
      {:net_load, _node} ->
        begin_copy(wanted)

      {:dumper, :create_table} ->
        if Convert.keeps_rows?(table), do: open(wanted), else: fresh(wanted)

      {:dumper, :change_table_copy_type} ->
        fresh(wanted)

      :startup ->
        before_replay(table, open(wanted))

      :restore when doubted? ->
        fresh(wanted)

      _local when alias == :remnesia_ram ->
        fresh(wanted)

      _local ->
        open(wanted)
    end

    :ok
  end

  defp definition(alias, table, properties) do
    attributes = Keyword.get(properties, :attributes, [:key, :val])

    %Cstruct{
      name: name(table),
      type: Keyword.get(properties, :type, :set),
      record_name: Keyword.get(properties, :record_name, table),
      attributes: attributes,
      index:
        for({position, _type} = index when is_integer(position) <- indexes(properties), do: index) ++
          several(Keyword.get(properties, :user_properties, [])),
      disc_copies: if(alias == :remnesia_disc, do: [node()], else: []),
      disc_only_copies: if(alias == :remnesia_disc_only, do: [node()], else: [])
    }
  end

  defp several(properties),
    do: for(positions <- Several.positions(properties), do: {positions, :ordered})

  defp indexes(properties), do: Keyword.get(properties, :index, [])

  @doc "The disc belongs to the database as a whole: it has one from the first table on that needs it."
  @spec ensure_disc() :: :ok
  def ensure_disc do
    if not Disc.used?() do
      case Copies.change_table_copy_type(:schema, node(), :disc_copies) do
        {:atomic, :ok} -> :ok
        {:aborted, reason} -> exit({:aborted, reason})
      end
    end

    :ok
  end

  defp fresh(wanted) do
    {:mnesia, table} = wanted.name
    remove(table)
    create(wanted)
  end

  defp create(wanted) do
    rows = Disc.rows(wanted)
    number = if rows, do: Disc.define(wanted)

    case Native.table_create(wanted.name, Cstruct.shape(wanted), wanted, number, rows) do
      :ok -> :created
      {:"$error", reason} -> exit({:aborted, reason})
    end
  end

  # What is there stays.
  defp open(wanted) do
    case Native.table_props(wanted.name) do
      :error -> create(wanted)
      {:ok, have} -> open(wanted, have)
    end
  end

  defp open(wanted, have) do
    {:mnesia, table} = wanted.name
    wait_until_loaded(table)

    cond do
      Disc.rows(have) != Disc.rows(wanted) or have.type != wanted.type ->
        fresh(wanted)

      Cstruct.arity(have) != Cstruct.arity(wanted) or reshaping?(have) ->
        # Cut off within transform_table: Mnesia's log has all of it.
        if Cstruct.arity(have) != Cstruct.arity(wanted), do: begin_reshape(wanted)
        :unfinished

      true ->
        for {position, _type} <- have.index -- wanted.index, do: drop_index(table, position)
        # Mnesia asks for the others itself.
        for {[_ | _] = positions, _type} <- wanted.index -- have.index,
            do: add_index(table, positions)

        :there
    end
  end

  # Rows come from the disc in the background, from the start of the database on.
  defp wait_until_loaded(table) do
    if loading?(table) do
      Process.sleep(2)
      wait_until_loaded(table)
    else
      :ok
    end
  end

  defp loading?(table) do
    loading? = Native.table_size(name(table)) == :error
    reason = if loading?, do: Definitions.get({:load_failed, name(table)}, nil)
    if reason, do: Fatal.halt(:load, table, reason)
    loading?
  end

  # --- Mnesia's log at start ---

  defp before_replay(_table, :unfinished), do: :ok
  defp before_replay(table, _complete), do: Change.replay(table, true)

  @doc "The end of a replay, or of nothing: the table is used afterwards. Everything is on disc."
  @spec close(atom) :: :ok
  def close(table) do
    Change.replay(table, false)
    finish_reshape(table)
    with {:"$error", reason} <- Disc.sync(), do: Fatal.halt(:close, table, reason)
    :ok
  end

  # --- the end of a table ---

  @doc "Deletes the table; while a copy comes in, the copy alone."
  @spec delete(atom) :: :ok
  def delete(table) do
    # The first call of a start from a fallback.
    :ok = ensure_started()
    if :mnesia.system_info(:is_running) == :starting, do: doubt(table), else: remove(table)
  end

  # At start this is a fallback, which then loads the table, or Mnesia's log, in which a restore deletes the table that it made: rows that the log
  # has need not be all. So it goes when that is sure: with its load, or once Mnesia runs without it.
  defp doubt(table) do
    if Native.table_props(name(table)) != :error and not aside?(table) do
      Definitions.put({:doubted, name(table)}, true)
      spawn(fn -> after_start(table) end)
    else
      remove(table)
    end

    :ok
  end

  defp after_start(table) do
    case {:mnesia.system_info(:is_running), Definitions.get({:doubted, name(table)}, false)} do
      {:starting, true} ->
        Process.sleep(20)
        after_start(table)

      {:yes, true} ->
        # Asked within a schema lock's reach, so no change is half done.
        :mnesia.transaction(fn ->
          :mnesia.read_lock_table(:schema)

          if not here?(table) and Definitions.get({:doubted, name(table)}, false),
            do: remove(table)
        end)

      _loaded_or_stopped ->
        :ok
    end
  end

  defp here?(table) do
    table in :mnesia.system_info(:tables) and
      :mnesia.table_info(table, :storage_type) != :unknown
  end

  defp remove(table) do
    cond do
      aside?(table) -> take_back(table)
      Convert.keeps_rows?(table) -> :ok
      Native.table_props(name(table)) == :error -> :ok
      true -> delete_loaded(table)
    end

    :ok
  end

  defp delete_loaded(table) do
    wait_until_loaded(table)
    delete_there(table)
  end

  defp delete_there(table) do
    case Native.table_delete(nil, name(table)) do
      :ok ->
        with {:"$error", reason} <- Disc.sync(), do: Fatal.halt(:delete_table, table, reason)

      {:"$room", bytes} ->
        Wait.room(bytes)
        delete_there(table)

      {:"$error", {:no_exists, _name}} ->
        :ok

      {:"$error", reason} ->
        Fatal.halt(:delete_table, table, reason)
    end
  end

  # --- a copy from another node ---

  # The table begins empty, because rows that are here and not there must go. The old one is kept until the copy is whole: Mnesia deletes the table
  # of a transfer that fails, and would lose the only copy.
  defp begin_copy(wanted) do
    {:mnesia, table} = wanted.name

    if Native.table_props(wanted.name) == :error,
      do: create(wanted),
      else: put_aside(table, wanted)
  end

  defp put_aside(table, wanted) do
    wait_until_loaded(table)
    half = if aside?(table), do: number(table)
    former = if aside?(table), do: former(table), else: number(table)
    new = if Disc.rows?(wanted), do: Disc.begin(wanted)
    aside(wanted, new)
    Definitions.put({:aside, wanted.name}, {:former, former, wanted})
    if half, do: Disc.change!([{:drop, half}])
    :ok
  end

  defp aside(wanted, number) do
    rows = Disc.rows(wanted)
    :ok = Native.table_put_aside(wanted.name, Cstruct.shape(wanted), number, rows)
  end

  defp aside?(table), do: match?({:former, _, _}, Definitions.get({:aside, name(table)}, nil))

  defp former(table) do
    {:former, number, _wanted} = Definitions.get({:aside, name(table)}, nil)
    number
  end

  defp number(table) do
    with {number, _rows} <- Native.table_disc(name(table)), do: number
  end

  @doc "The copy is whole: it is the table, also on disc when this answers."
  @spec keep_copy(atom) :: :ok
  def keep_copy(table) do
    case Definitions.get({:aside, name(table)}, nil) do
      {:former, former, wanted} -> keep(table, former, wanted)
      _complete_before -> :ok
    end

    with {:"$error", reason} <- Disc.sync(), do: Fatal.halt(:receive_done, table, reason)
    :ok
  end

  defp keep(table, former, wanted) do
    drop = if former, do: [{:drop, former}], else: []
    define = if number = number(table), do: [Disc.definition(number, wanted)], else: []
    if drop ++ define != [], do: Disc.change!(drop ++ define)
    Native.table_put_props(name(table), wanted)
    Definitions.put({:aside, name(table)}, nil)
    Native.table_keep_new(name(table))
  end

  defp take_back(table) do
    half = number(table)
    Native.table_take_back(name(table))
    Definitions.put({:aside, name(table)}, nil)
    if half, do: Disc.change!([{:drop, half}])
  end

  # --- records of another size ---

  # transform_table changes the definition and then writes every record, without a word to the plug-in before or after. The first record
  # of the new size begins an empty table of that size. On disc that table is marked until the schema change is over, so that a node that is
  # killed in between takes the records from Mnesia's log, which has all of them.

  @mark :reshaping

  @doc "Gets ready for records of this size; false if that is not what Mnesia's definition says."
  @spec reshape(atom, pos_integer) :: boolean
  def reshape(table, size) do
    {:ok, have} = Native.table_props(name(table))
    attributes = :mnesia.table_info(table, :attributes)
    record_name = :mnesia.table_info(table, :record_name)

    if length(attributes) + 1 == size do
      index =
        for {position, type} <- :mnesia.table_info(table, :cstruct) |> elem(10),
            is_integer(position),
            do: {position, type}

      index = index ++ several(:mnesia.table_info(table, :user_properties))
      begin_reshape(%{have | attributes: attributes, record_name: record_name, index: index})
      spawn(fn -> finish_after_schema_change(table) end)
      true
    else
      false
    end
  end

  defp begin_reshape(wanted) do
    {:mnesia, table} = wanted.name
    former = number(table)
    marked = %{wanted | user_properties: [@mark]}
    number = if Disc.rows?(wanted), do: Disc.begin(wanted)
    aside(wanted, number)
    Native.table_keep_new(wanted.name)
    Native.table_put_props(wanted.name, marked)
    if number, do: Disc.change!([{:drop, former}, Disc.definition(number, marked)])
    :ok
  end

  defp reshaping?(definition), do: definition.user_properties == [@mark]

  # A schema change holds the schema exclusively, everywhere, until its log is dumped.
  defp finish_after_schema_change(table) do
    case :mnesia.transaction(fn -> :mnesia.read_lock_table(:schema) end) do
      {:atomic, _ok} -> finish_reshape(table)
      {:aborted, _reason} -> :ok
    end
  end

  defp finish_reshape(table) do
    with {:ok, definition} <- Native.table_props(name(table)), true <- reshaping?(definition) do
      if loading?(table) do
        # A start that has not read it yet.
        Process.sleep(2)
        finish_reshape(table)
      else
        complete = %{definition | user_properties: []}
        Native.table_put_props(name(table), complete)
        if number = number(table), do: Disc.change!([Disc.definition(number, complete)])
      end
    end

    :ok
  end

  # --- indexes ---

  @doc "Has exactly these indexes on several attributes, if there is a copy here."
  @spec keep_several(atom, [[pos_integer]]) :: :ok
  def keep_several(table, wanted) do
    with {:ok, %{index: index}} <- Native.table_props(name(table)) do
      have = for {[_ | _] = positions, _type} <- index, do: positions
      for positions <- have -- wanted, do: drop_index(table, positions)
      for positions <- wanted -- have, do: add_index(table, positions)
    end

    :ok
  end

  @doc "Builds an index, unless there is one."
  @spec add_index(atom, Cstruct.position()) :: :ok
  def add_index(table, position) do
    {:ok, definition} = Native.table_props(name(table))

    if List.keymember?(definition.index, position, 0) do
      :ok
    else
      changed = %{definition | index: [{position, :ordered} | definition.index]}
      in_transaction(fn txn -> build(txn, name(table), position, changed) end)
      redefine(table, changed)
    end
  end

  defp build(txn, name, position, changed) do
    case Native.index_add(txn, name, position, false, changed) do
      :"$more" -> build(txn, name, position, changed)
      :ok -> :ok
      other -> exit({:aborted, other})
    end
  end

  @doc "Drops an index, if it is there."
  @spec drop_index(atom, Cstruct.position()) :: :ok
  def drop_index(table, position) do
    with {:ok, definition} <- Native.table_props(name(table)),
         true <- List.keymember?(definition.index, position, 0) do
      changed = %{definition | index: List.keydelete(definition.index, position, 0)}
      in_transaction(fn txn -> Native.index_drop(txn, name(table), position, changed) end)
      redefine(table, changed)
    end

    :ok
  end

  defp redefine(table, changed) do
    Native.table_put_props(name(table), changed)
    if Disc.rows?(changed), do: Disc.change!([Disc.definition(number(table), changed)])
    :ok
  end

  # In a process of its own: the caller may be in a transaction of the `Remnesia.*` API.
  defp in_transaction(fun) do
    {pid, monitor} =
      spawn_monitor(fn ->
        exit({:result, Transaction.run(fn -> fun.(Transaction.reference()) end, :infinity)})
      end)

    receive do
      {:DOWN, ^monitor, :process, ^pid, {:result, {:atomic, value}}} -> value
      {:DOWN, ^monitor, :process, ^pid, reason} -> exit({:aborted, reason})
    end
  end

  # --- information ---

  @spec info(atom, atom) :: term
  def info(table, :size), do: measured(Native.table_size(name(table)))
  def info(table, :memory), do: measured(Native.table_memory(name(table)))

  def info(table, :type) do
    with {:ok, %{type: type}} <- Native.table_props(name(table)), do: type
  end

  def info(_table, _item), do: :undefined

  defp measured(:error), do: 0
  defp measured(number), do: number
end
