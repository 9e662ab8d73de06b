defmodule Remnesia.Engine.Local.Info do
  @moduledoc false

  # table_info and system_info. An item this version has no value for is refused like an unknown one, never made up:
  # counters of transactions and the list of held locks are such.

  alias Remnesia.Engine.Cstruct
  alias Remnesia.Native

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

  def table(table, item) do
    case definition(table) do
      # Mnesia answers 0 for these two, whatever the table.
      nil when item in [:size, :memory] -> 0
      nil -> abort({:no_exists, table, item})
      cstruct -> table_item(cstruct, item)
    end
  end

  defp definition(:schema) do
    if Native.running() do
      cookie = {{0, 0, 0}, node()}

      %Cstruct{
        name: :schema,
        record_name: :schema,
        attributes: [:table, :cstruct],
        ram_copies: [node()],
        cookie: cookie
      }
    end
  end

  defp definition(table) do
    case Native.table_props(table) do
      {:ok, cstruct} -> cstruct
      :error -> nil
    end
  end

  defp table_item(%{name: :schema} = cstruct, :all),
    do: all(cstruct, Enum.sort(@schema_items ++ @table_items))

  defp table_item(cstruct, :all), do: all(cstruct, @table_items)
  defp table_item(%{name: :schema}, item) when item in @schema_items, do: tables()
  defp table_item(%{name: :schema}, :size), do: length(tables())
  defp table_item(%{name: :schema}, :memory), do: 0
  defp table_item(%{name: :schema}, :load_reason), do: :initial
  defp table_item(%{name: name}, :size), do: Native.table_size(name)
  defp table_item(%{name: name}, :memory), do: Native.table_memory(name)
  defp table_item(cstruct, :cstruct), do: Cstruct.to_record(cstruct)
  defp table_item(cstruct, :arity), do: Cstruct.arity(cstruct)
  defp table_item(cstruct, :index), do: Cstruct.positions(cstruct)
  defp table_item(cstruct, :index_info), do: {:index, cstruct.type, cstruct.index}
  defp table_item(%{index: []}, :commit_work), do: []
  defp table_item(cstruct, :commit_work), do: [table_item(cstruct, :index_info)]

  defp table_item(cstruct, :record_validation),
    do: {cstruct.record_name, Cstruct.arity(cstruct), cstruct.type}

  defp table_item(cstruct, :wild_pattern),
    do: List.to_tuple([cstruct.record_name | Enum.map(cstruct.attributes, fn _ -> :_ end)])

  # One replica, in RAM, here.
  defp table_item(cstruct, item) when item in [:active_replicas, :all_nodes, :where_to_write],
    do: cstruct.ram_copies

  defp table_item(cstruct, :where_to_wlock), do: {cstruct.ram_copies, false}
  defp table_item(cstruct, :where_to_commit), do: Enum.map(cstruct.ram_copies, &{&1, :ram_copies})
  defp table_item(%{ram_copies: [node]}, item) when item in [:where_to_read, :load_node], do: node
  defp table_item(_cstruct, :storage_type), do: :ram_copies
  defp table_item(_cstruct, :load_reason), do: {:dumper, :create_table}
  defp table_item(_cstruct, :load_by_force), do: false
  defp table_item(_cstruct, item) when item in [:checkpoints, :master_nodes, :subscribers], do: []

  defp table_item(cstruct, item)
       when is_atom(item) and item != :__struct__ and is_map_key(cstruct, item),
       do: Map.fetch!(cstruct, item)

  defp table_item(cstruct, item), do: abort({:no_exists, cstruct.name, item})

  defp all(cstruct, items), do: Enum.map(items, &{&1, table_item(cstruct, &1)})

  # The schema is a table too, the last one.
  defp tables, do: Enum.filter(Native.tables(), &is_atom/1) ++ [:schema]

  # --- system ---

  @always [
            :access_module,
            :backend_types,
            :db_nodes,
            :debug,
            :directory,
            :extra_db_nodes,
            :fallback_activated
          ] ++
            [
              :is_running,
              :master_node_tables,
              :running_db_nodes,
              :schema_location,
              :schema_version,
              :use_dir,
              :version
            ]

  @running [:checkpoints, :local_tables, :subscribers, :tables]

  @doc "One item of the system, or all of them."
  @spec system(term) :: term | no_return
  def system(:all) do
    items = if Native.running(), do: Enum.sort(@running ++ @always), else: @always
    Enum.map(items, &{&1, system_item(&1)})
  end

  def system(item) when item in @running do
    if Native.running(), do: system_item(item), else: abort({:node_not_running, node()})
  end

  def system(item) when item in @always, do: system_item(item)
  def system(item), do: abort({:badarg, item})

  defp system_item(:access_module), do: :remnesia
  defp system_item(:backend_types), do: [:ram_copies]
  defp system_item(:db_nodes), do: [node()]
  defp system_item(:debug), do: :none

  defp system_item(:directory),
    do:
      :remnesia
      |> Application.get_env(:dir, "Remnesia.#{node()}")
      |> Path.expand()
      |> to_charlist()

  defp system_item(:is_running), do: if(Native.running(), do: :yes, else: :no)
  defp system_item(:running_db_nodes), do: if(Native.running(), do: [node()], else: [])
  defp system_item(:schema_location), do: :ram
  defp system_item(:schema_version), do: if(Native.running(), do: {2, 0}, else: {0, 0})
  defp system_item(:version), do: :remnesia |> Application.spec(:vsn) |> to_charlist()
  defp system_item(item) when item in [:tables, :local_tables], do: tables()
  defp system_item(item) when item in [:fallback_activated, :use_dir], do: false
  defp system_item(_none), do: []

  @spec abort(term) :: no_return
  defp abort(reason), do: exit({:aborted, reason})
end
