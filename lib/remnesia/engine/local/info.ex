defmodule Remnesia.Engine.Local.Info do
  @moduledoc false

  # table_info and system_info. Where a thing does not exist in Remnesia, its item has the value that Mnesia has for none, and a row in
  # guides/differences.md.

  alias Remnesia.Engine.Cstruct

  alias Remnesia.Engine.Local.{
    Checkpoints,
    Definitions,
    Directory,
    Disc,
    Fragments,
    Locks,
    Settings
  }

  alias Remnesia.{Events, Native}

  @table_items [
                 :access_mode,
                 :active_replicas,
                 :all_nodes,
                 :arity,
                 :attributes,
                 :checkpoints,
                 :commit_work,
                 :cookie
               ] ++
                 [
                   :cstruct,
                   :disc_copies,
                   :disc_only_copies,
                   :external_copies,
                   :frag_properties,
                   :index,
                   :index_info
                 ] ++
                 [
                   :load_by_force,
                   :load_node,
                   :load_order,
                   :load_reason,
                   :local_content,
                   :majority,
                   :master_nodes
                 ] ++
                 [
                   :memory,
                   :ram_copies,
                   :record_name,
                   :record_validation,
                   :size,
                   :snmp,
                   :storage_properties
                 ] ++
                 [
                   :storage_type,
                   :subscribers,
                   :type,
                   :user_properties,
                   :version,
                   :where_to_commit,
                   :where_to_read
                 ] ++
                 [:where_to_wlock, :where_to_write, :wild_pattern]

  @schema_items [:local_tables, :tables]

  @doc "One item of a table, or all of them."
  @spec table(term, term) :: term | no_return
  def table(table, _item) when not is_atom(table), do: abort({:bad_type, table})

  # Mnesia answers these whatever the table.
  def table(table, :name), do: table
  def table(table, :master_nodes), do: Definitions.get({:master_nodes, table}, [])

  def table(table, item) when item in [:size, :memory] and table != :schema do
    measure = if item == :size, do: &Native.table_size/1, else: &Native.table_memory/1
    with :error <- measure.(table), do: 0
  end

  def table(table, item) do
    case Definitions.fetch(table) do
      {:ok, cstruct} -> table_item(cstruct, item)
      :error when item in [:size, :memory] -> 0
      :error -> abort({:no_exists, table, item})
    end
  end

  @doc "Size or memory, 0 of what is no table."
  @spec raw(term, term) :: non_neg_integer | no_return
  def raw(table, item) when item in [:size, :memory],
    do: if(is_atom(table), do: table(table, item), else: 0)

  def raw(table, item), do: abort({:no_exists, table, item})

  defp table_item(%{name: :schema} = cstruct, :all),
    do: all(cstruct, Enum.sort(@schema_items ++ @table_items))

  defp table_item(cstruct, :all) do
    if Fragments.state_of(cstruct),
      do: all(cstruct, Enum.sort([:frag_hash | @table_items])),
      else: all(cstruct, @table_items)
  end

  defp table_item(cstruct, :frag_hash),
    do: Fragments.state_of(cstruct) || abort({:no_exists, cstruct.name, :frag_hash})

  defp table_item(%{name: :schema}, item) when item in @schema_items, do: tables()
  defp table_item(%{name: :schema}, :size), do: length(tables())
  defp table_item(%{name: :schema}, :memory), do: 0
  defp table_item(%{name: :schema}, :load_reason), do: :initial
  defp table_item(%{name: name}, :size), do: Native.table_size(name)
  defp table_item(%{name: name}, :memory), do: Native.table_memory(name)
  defp table_item(cstruct, :cstruct), do: Cstruct.to_record(cstruct)
  # An older name of the type.
  defp table_item(cstruct, :setorbag), do: cstruct.type
  defp table_item(cstruct, :arity), do: Cstruct.arity(cstruct)
  defp table_item(cstruct, :index), do: Cstruct.positions(cstruct)
  defp table_item(cstruct, :index_info), do: {:index, cstruct.type, cstruct.index}

  # What a commit has to do beside the write, as Mnesia lists it.
  defp table_item(cstruct, :commit_work) do
    index = if cstruct.index == [], do: [], else: [table_item(cstruct, :index_info)]

    told =
      case Events.subscribers(cstruct.name) do
        {[], []} -> index
        {simple, detailed} -> [{:subscribers, simple, detailed} | index]
      end

    case Checkpoints.names(cstruct.name) do
      [] -> told
      names -> [{:checkpoints, names} | told]
    end
  end

  defp table_item(cstruct, :subscribers) do
    {simple, detailed} = Events.subscribers(cstruct.name)
    simple ++ detailed
  end

  defp table_item(cstruct, :master_nodes), do: table(cstruct.name, :master_nodes)

  defp table_item(cstruct, :record_validation),
    do: {cstruct.record_name, Cstruct.arity(cstruct), cstruct.type}

  defp table_item(cstruct, :wild_pattern),
    do: List.to_tuple([cstruct.record_name | Enum.map(cstruct.attributes, fn _ -> :_ end)])

  # Nowhere may a read-only table be written.
  defp table_item(%{access_mode: :read_only}, item)
       when item in [:where_to_write, :where_to_commit],
       do: []

  defp table_item(%{access_mode: :read_only} = cstruct, :where_to_wlock),
    do: {[], cstruct.majority}

  # One replica, in RAM, here.
  defp table_item(cstruct, item) when item in [:active_replicas, :all_nodes, :where_to_write],
    do: Cstruct.nodes(cstruct)

  defp table_item(cstruct, :where_to_wlock), do: {Cstruct.nodes(cstruct), cstruct.majority}

  defp table_item(cstruct, :where_to_commit),
    do: Enum.map(Cstruct.nodes(cstruct), &{&1, Cstruct.storage_type(cstruct, &1)})

  defp table_item(cstruct, item) when item in [:where_to_read, :load_node],
    do: hd(Cstruct.nodes(cstruct))

  defp table_item(cstruct, :storage_type), do: Cstruct.storage_type(cstruct, node())

  defp table_item(cstruct, :load_reason),
    do: Definitions.get({:load_reason, cstruct.name}, {:dumper, :create_table})

  # Ours: how far the table is that comes from disc.
  defp table_item(%{name: name}, :load_progress) do
    case List.keyfind(Native.tables_loading(), name, 0) do
      {^name, records} -> {:loading, records}
      nil -> :complete
    end
  end

  defp table_item(_cstruct, :load_by_force), do: false
  defp table_item(cstruct, :checkpoints), do: Checkpoints.names(cstruct.name)

  defp table_item(cstruct, item)
       when is_atom(item) and item != :__struct__ and is_map_key(cstruct, item),
       do: Map.fetch!(cstruct, item)

  defp table_item(cstruct, item), do: abort({:no_exists, cstruct.name, item})

  defp all(cstruct, items), do: Enum.map(items, &{&1, table_item(cstruct, &1)})

  # The schema is a table too, the last one. Those that are still being loaded are there as well: programs wait for what they find here.
  defp tables do
    Enum.filter(Definitions.names(), &is_atom/1) ++ [:schema]
  end

  # --- system ---

  @settings ~w(access_module auto_repair backup_module core_dir dump_log_load_regulation dump_log_time_threshold
               dump_log_update_in_place dump_log_write_threshold event_module extra_db_nodes fallback_error_function
               ignore_fallback_at_startup max_transfer_size max_wait_for_decision no_table_loaders send_compressed)a

  @always ~w(backend_types db_nodes dc_dump_limit debug directory fallback_activated is_running log_version master_node_tables
             protocol_version running_db_nodes schema_location schema_version use_dir version)a ++
            @settings

  @running ~w(checkpoints held_locks local_tables lock_queue subscribers tables transaction_commits transaction_failures
              transaction_log_writes transaction_restarts transactions)a

  # What Mnesia lists while it is stopped.
  @stopped @always --
             ~w(access_module backend_types dc_dump_limit fallback_activated master_node_tables max_transfer_size no_table_loaders
                send_compressed)a

  # The others are in the order of their names, but for one.
  @last ~w(core_dir no_table_loaders dc_dump_limit send_compressed max_transfer_size version)a

  defp place(:fallback_error_function), do: {:ignore_fallback_at_startup, 1}
  defp place(item), do: {item, 0}

  @doc "One item of the system, or all of them, in Mnesia's order."
  @spec system(term) :: term | no_return
  def system(:all) do
    items = if Native.running(), do: @running ++ @always, else: @stopped
    last = Enum.filter(@last, &(&1 in items))
    for item <- Enum.sort_by(items -- last, &place/1) ++ last, do: {item, system_item(item)}
  end

  def system(item) when item in @running do
    cond do
      Native.running() -> system_item(item)
      item in [:held_locks, :lock_queue] -> abort(:badarg)
      true -> abort({:node_not_running, node()})
    end
  end

  def system(item) when item in @always, do: system_item(item)
  def system(item), do: abort({:badarg, item})

  defp system_item(:dc_dump_limit),
    do: Definitions.get(:dc_dump_limit, Settings.get(:dc_dump_limit))

  defp system_item(:debug), do: Definitions.get(:debug, Settings.get(:debug))

  defp system_item(:extra_db_nodes),
    do: Definitions.get(:extra_db_nodes, Settings.get(:extra_db_nodes))

  defp system_item(item) when item in @settings, do: Settings.get(item)
  defp system_item(:backend_types), do: [:ram_copies, :disc_copies, :disc_only_copies]
  defp system_item(:db_nodes), do: [node()]

  defp system_item(:directory), do: to_charlist(Directory.path())

  defp system_item(:is_running), do: if(Native.running(), do: :yes, else: :no)
  defp system_item(:running_db_nodes), do: if(Native.running(), do: [node()], else: [])
  defp system_item(:schema_location), do: :opt_disc

  defp system_item(:schema_version) do
    case Definitions.fetch(:schema) do
      {:ok, %{version: {version, _detail}}} -> version
      :error -> {0, 0}
    end
  end

  # Those of the Mnesia whose interface this is.
  defp system_item(:log_version), do: ~c"4.3"
  defp system_item(:protocol_version), do: {8, 6}
  defp system_item(:version), do: :remnesia |> Application.spec(:vsn) |> to_charlist()
  defp system_item(item) when item in [:tables, :local_tables], do: tables()
  defp system_item(:use_dir), do: Disc.used?() or (not Native.running() and Directory.exists?())
  defp system_item(:fallback_activated), do: Remnesia.Transfer.Fallback.installed?()
  defp system_item(:transaction_log_writes), do: 0

  defp system_item(:subscribers),
    do: Enum.reject([Process.whereis(Events)], &is_nil/1) ++ Events.listeners(:system)

  defp system_item(:master_node_tables),
    do: for(table <- tables(), Definitions.get({:master_nodes, table}, []) != [], do: table)

  defp system_item(:held_locks), do: Locks.held()
  defp system_item(:lock_queue), do: Locks.queue()
  defp system_item(:transactions), do: Locks.transactions()
  defp system_item(:transaction_commits), do: Locks.count(:commits)
  defp system_item(:transaction_failures), do: Locks.count(:failures)
  defp system_item(:transaction_restarts), do: Locks.count(:restarts)
  defp system_item(:checkpoints), do: Checkpoints.names()

  @spec abort(term) :: no_return
  defp abort(reason), do: exit({:aborted, reason})
end
