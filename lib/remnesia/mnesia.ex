defmodule :remnesia do
  @moduledoc """
  The API of Mnesia.

  A program that uses Mnesia says `alias :remnesia, as: Mnesia` in Elixir, or calls `remnesia` instead of `mnesia` in Erlang, and goes on as before. Tables,
  transactions and locks are those of `Remnesia`: both may be used on the same tables in the same transaction.

  The functions are documented by theme:

    * `Remnesia.Mnesia.System` - start, stop, `system_info`, events
    * `Remnesia.Mnesia.Tables` - the schema, tables and their definitions
    * `Remnesia.Mnesia.Activity` - transactions and other activities
    * `Remnesia.Mnesia.Access` - reading, writing, searching and locking within an activity
    * `Remnesia.Mnesia.Dirty` - the dirty functions
    * `Remnesia.Mnesia.Handle` - handles for `:qlc`
    * `Remnesia.Mnesia.Backup` - backups, checkpoints, fallbacks
    * `Remnesia.Mnesia.Text` - tables as text files
    * `Remnesia.Mnesia.Explicit` - what an access module hands on
    * `Remnesia.Mnesia.LeftOut` - SNMP and storage plug-ins

  What is different from Mnesia is listed in the guide "Differences". Fragmented tables: `:remnesia_frag`. Several nodes:
  `Remnesia.Cluster`.
  """

  alias Remnesia.Mnesia.{
    Access,
    Activity,
    Backup,
    Dirty,
    Explicit,
    Handle,
    LeftOut,
    System,
    Tables,
    Text
  }

  # --- starting, stopping, the system ---

  @spec start() :: :ok | {:error, term}
  defdelegate start(), to: System

  @spec start(keyword) :: :ok | {:error, term}
  defdelegate start(settings), to: System

  @spec stop() :: :stopped | {:error, term}
  defdelegate stop(), to: System

  @spec lkill() :: :ok
  defdelegate lkill(), to: System

  @spec kill() :: {[:ok], [node]}
  defdelegate kill(), to: System

  @spec ms() :: [module]
  defdelegate ms(), to: System

  @spec change_config(atom, term) :: {:ok, term} | {:error, term}
  defdelegate change_config(key, value), to: System

  @spec set_debug_level(atom) :: atom | {:error, term}
  defdelegate set_debug_level(level), to: System

  @spec system_info() :: :yes | :no
  defdelegate system_info(), to: System

  @spec system_info(term) :: term
  defdelegate system_info(item), to: System

  @spec info() :: :ok
  defdelegate info(), to: System

  @spec error_description(term) :: term
  defdelegate error_description(reason), to: System

  @spec subscribe(term) :: {:ok, node} | {:error, term}
  defdelegate subscribe(what), to: System

  @spec unsubscribe(term) :: {:ok, node} | {:error, term}
  defdelegate unsubscribe(what), to: System

  @spec report_event(term) :: :ok
  defdelegate report_event(event), to: System

  @spec dump_log() :: :dumped
  defdelegate dump_log(), to: System

  @spec sync_log() :: :ok | {:error, term}
  defdelegate sync_log(), to: System

  # --- the schema and tables ---

  @spec create_schema([node]) :: :ok | {:error, term}
  defdelegate create_schema(nodes), to: Tables

  @spec create_schema([node], list) :: :ok | {:error, term}
  defdelegate create_schema(nodes, properties), to: Tables

  @spec delete_schema([node]) :: :ok | {:error, term}
  defdelegate delete_schema(nodes), to: Tables

  @spec create_table(keyword) :: Tables.result()
  defdelegate create_table(options), to: Tables

  @spec create_table(Tables.table(), keyword) :: Tables.result()
  defdelegate create_table(table, options), to: Tables

  @spec delete_table(Tables.table()) :: Tables.result()
  defdelegate delete_table(table), to: Tables

  @spec clear_table(Tables.table()) :: Tables.result()
  defdelegate clear_table(table), to: Tables

  @spec transform_table(Tables.table(), (tuple -> tuple) | :ignore, [atom]) :: Tables.result()
  defdelegate transform_table(table, fun, attributes), to: Tables

  @spec transform_table(Tables.table(), (tuple -> tuple) | :ignore, [atom], atom) ::
          Tables.result()
  defdelegate transform_table(table, fun, attributes, record_name), to: Tables

  @spec add_table_index(Tables.table(), atom | pos_integer) :: Tables.result()
  defdelegate add_table_index(table, attribute), to: Tables

  @spec del_table_index(Tables.table(), atom | pos_integer) :: Tables.result()
  defdelegate del_table_index(table, attribute), to: Tables

  @spec change_table_access_mode(Tables.table(), :read_only | :read_write) :: Tables.result()
  defdelegate change_table_access_mode(table, mode), to: Tables

  @spec change_table_load_order(Tables.table(), integer) :: Tables.result()
  defdelegate change_table_load_order(table, order), to: Tables

  @spec change_table_majority(Tables.table(), boolean) :: Tables.result()
  defdelegate change_table_majority(table, majority), to: Tables

  @spec change_table_copy_type(Tables.table(), node, atom) :: Tables.result()
  defdelegate change_table_copy_type(table, node, type), to: Tables

  @spec add_table_copy(Tables.table(), node, atom) :: Tables.result()
  defdelegate add_table_copy(table, node, type), to: Tables

  @spec del_table_copy(Tables.table(), node) :: Tables.result()
  defdelegate del_table_copy(table, node), to: Tables

  @spec move_table_copy(Tables.table(), node, node) :: Tables.result()
  defdelegate move_table_copy(table, from, to), to: Tables

  @spec read_table_property(Tables.table(), term) :: tuple
  defdelegate read_table_property(table, key), to: Tables

  @spec write_table_property(Tables.table(), tuple) :: Tables.result()
  defdelegate write_table_property(table, property), to: Tables

  @spec delete_table_property(Tables.table(), term) :: Tables.result()
  defdelegate delete_table_property(table, key), to: Tables

  @spec change_table_frag(Tables.table(), term) :: Tables.result()
  defdelegate change_table_frag(table, change), to: Tables

  @spec wait_for_tables([Tables.table()], timeout) ::
          :ok | {:timeout, [Tables.table()]} | {:error, term}
  defdelegate wait_for_tables(tables, timeout), to: Tables

  @spec force_load_table(Tables.table()) :: :yes | {:error, term}
  defdelegate force_load_table(table), to: Tables

  @spec dump_tables([Tables.table()]) :: Tables.result()
  defdelegate dump_tables(tables), to: Tables

  @spec set_master_nodes([node]) :: :ok | {:error, term}
  defdelegate set_master_nodes(nodes), to: Tables

  @spec set_master_nodes(Tables.table(), [node]) :: :ok | {:error, term}
  defdelegate set_master_nodes(table, nodes), to: Tables

  @spec table_info(Tables.table(), term) :: term
  defdelegate table_info(table, item), to: Tables

  @spec schema() :: :ok
  defdelegate schema(), to: Tables

  @spec schema(Tables.table()) :: :ok
  defdelegate schema(table), to: Tables

  # --- activities ---

  @spec transaction((() -> value)) :: Activity.result(value) when value: term
  defdelegate transaction(fun), to: Activity

  @spec transaction(fun, Activity.retries() | [term]) :: Activity.result(term)
  defdelegate transaction(fun, retries_or_arguments), to: Activity

  @spec transaction(fun, [term], Activity.retries()) :: Activity.result(term)
  defdelegate transaction(fun, arguments, retries), to: Activity

  @spec sync_transaction((() -> value)) :: Activity.result(value) when value: term
  defdelegate sync_transaction(fun), to: Activity

  @spec sync_transaction(fun, Activity.retries() | [term]) :: Activity.result(term)
  defdelegate sync_transaction(fun, retries_or_arguments), to: Activity

  @spec sync_transaction(fun, [term], Activity.retries()) :: Activity.result(term)
  defdelegate sync_transaction(fun, arguments, retries), to: Activity

  @spec async_dirty(fun) :: term
  defdelegate async_dirty(fun), to: Activity

  @spec async_dirty(fun, [term]) :: term
  defdelegate async_dirty(fun, arguments), to: Activity

  @spec sync_dirty(fun) :: term
  defdelegate sync_dirty(fun), to: Activity

  @spec sync_dirty(fun, [term]) :: term
  defdelegate sync_dirty(fun, arguments), to: Activity

  @spec ets(fun) :: term
  defdelegate ets(fun), to: Activity

  @spec ets(fun, [term]) :: term
  defdelegate ets(fun, arguments), to: Activity

  @spec activity(Activity.kind(), fun) :: term
  defdelegate activity(kind, fun), to: Activity

  @spec activity(Activity.kind(), fun, [term] | module) :: term
  defdelegate activity(kind, fun, arguments_or_module), to: Activity

  @spec activity(Activity.kind(), fun, [term], module) :: term
  defdelegate activity(kind, fun, arguments, module), to: Activity

  @spec abort(term) :: no_return
  defdelegate abort(reason), to: Activity

  @spec is_transaction() :: boolean
  defdelegate is_transaction(), to: Activity

  @spec get_activity_id() :: {module, tuple, term} | :undefined
  defdelegate get_activity_id(), to: Activity

  @spec put_activity_id({module, tuple, term} | :undefined) :: term
  defdelegate put_activity_id(id), to: Activity

  # --- access within an activity ---

  @spec read({Access.table(), term}) :: [tuple]
  defdelegate read(oid), to: Access

  @spec read(Access.table(), term) :: [tuple]
  defdelegate read(table, key), to: Access

  @spec read(Access.table(), term, Access.lock()) :: [tuple]
  defdelegate read(table, key, lock), to: Access

  @spec wread({Access.table(), term}) :: [tuple]
  defdelegate wread(oid), to: Access

  @spec write(tuple) :: :ok
  defdelegate write(record), to: Access

  @spec write(Access.table(), tuple, Access.lock()) :: :ok
  defdelegate write(table, record, lock), to: Access

  @spec s_write(tuple) :: :ok
  defdelegate s_write(record), to: Access

  @spec delete({Access.table(), term}) :: :ok
  defdelegate delete(oid), to: Access

  @spec delete(Access.table(), term, Access.lock()) :: :ok
  defdelegate delete(table, key, lock), to: Access

  @spec s_delete({Access.table(), term}) :: :ok
  defdelegate s_delete(oid), to: Access

  @spec delete_object(tuple) :: :ok
  defdelegate delete_object(record), to: Access

  @spec delete_object(Access.table(), tuple, Access.lock()) :: :ok
  defdelegate delete_object(table, record, lock), to: Access

  @spec s_delete_object(tuple) :: :ok
  defdelegate s_delete_object(record), to: Access

  @spec match_object(tuple) :: [tuple]
  defdelegate match_object(pattern), to: Access

  @spec match_object(Access.table(), tuple, Access.lock()) :: [tuple]
  defdelegate match_object(table, pattern, lock), to: Access

  @spec select(term) :: {[term], term} | :"$end_of_table"
  defdelegate select(continuation), to: Access

  @spec select(Access.table(), list) :: [term]
  defdelegate select(table, spec), to: Access

  @spec select(Access.table(), list, Access.lock()) :: [term]
  defdelegate select(table, spec, lock), to: Access

  @spec select(Access.table(), list, pos_integer, Access.lock()) ::
          {[term], term} | :"$end_of_table"
  defdelegate select(table, spec, size, lock), to: Access

  @spec index_read(Access.table(), term, atom | pos_integer) :: [tuple]
  defdelegate index_read(table, value, attribute), to: Access

  @spec index_match_object(tuple, atom | pos_integer) :: [tuple]
  defdelegate index_match_object(pattern, attribute), to: Access

  @spec index_match_object(Access.table(), tuple, atom | pos_integer, Access.lock()) :: [tuple]
  defdelegate index_match_object(table, pattern, attribute, lock), to: Access

  @spec all_keys(Access.table()) :: [term]
  defdelegate all_keys(table), to: Access

  @spec first(Access.table()) :: term
  defdelegate first(table), to: Access

  @spec last(Access.table()) :: term
  defdelegate last(table), to: Access

  @spec next(Access.table(), term) :: term
  defdelegate next(table, key), to: Access

  @spec prev(Access.table(), term) :: term
  defdelegate prev(table, key), to: Access

  @spec foldl((tuple, acc -> acc), acc, Access.table()) :: acc when acc: term
  defdelegate foldl(fun, acc, table), to: Access

  @spec foldl((tuple, acc -> acc), acc, Access.table(), Access.lock()) :: acc when acc: term
  defdelegate foldl(fun, acc, table, lock), to: Access

  @spec foldr((tuple, acc -> acc), acc, Access.table()) :: acc when acc: term
  defdelegate foldr(fun, acc, table), to: Access

  @spec foldr((tuple, acc -> acc), acc, Access.table(), Access.lock()) :: acc when acc: term
  defdelegate foldr(fun, acc, table, lock), to: Access

  @spec lock(term, Access.lock() | :load | :none) :: term
  defdelegate lock(item, lock), to: Access

  @spec lock_table(Access.table(), Access.lock() | :load | :none) :: term
  defdelegate lock_table(table, lock), to: Access

  @spec read_lock_table(Access.table()) :: :ok
  defdelegate read_lock_table(table), to: Access

  @spec write_lock_table(Access.table()) :: :ok
  defdelegate write_lock_table(table), to: Access

  # --- the same for access modules ---

  @doc false
  @spec lock(Explicit.id(), Explicit.store(), term, term) :: term
  defdelegate lock(id, store, item, lock), to: Explicit

  @doc false
  @spec write(Explicit.id(), Explicit.store(), term, term, term) :: term
  defdelegate write(id, store, table, record, lock), to: Explicit

  @doc false
  @spec delete(Explicit.id(), Explicit.store(), term, term, term) :: term
  defdelegate delete(id, store, table, key, lock), to: Explicit

  @doc false
  @spec delete_object(Explicit.id(), Explicit.store(), term, term, term) :: term
  defdelegate delete_object(id, store, table, record, lock), to: Explicit

  @doc false
  @spec read(Explicit.id(), Explicit.store(), term, term, term) :: term
  defdelegate read(id, store, table, key, lock), to: Explicit

  @doc false
  @spec match_object(Explicit.id(), Explicit.store(), term, term, term) :: term
  defdelegate match_object(id, store, table, pattern, lock), to: Explicit

  @doc false
  @spec select(Explicit.id(), Explicit.store(), term, term, term) :: term
  defdelegate select(id, store, table, spec, lock), to: Explicit

  @doc false
  @spec select(Explicit.id(), Explicit.store(), term, term, term, term) :: term
  defdelegate select(id, store, table, spec, size, lock), to: Explicit

  @doc false
  @spec select_cont(Explicit.id(), Explicit.store(), term) :: term
  defdelegate select_cont(id, store, continuation), to: Explicit

  @doc false
  @spec index_read(Explicit.id(), Explicit.store(), term, term, term, term) :: term
  defdelegate index_read(id, store, table, value, attribute, lock), to: Explicit

  @doc false
  @spec index_match_object(Explicit.id(), Explicit.store(), term, term, term, term) :: term
  defdelegate index_match_object(id, store, table, pattern, attribute, lock), to: Explicit

  @doc false
  @spec all_keys(Explicit.id(), Explicit.store(), term, term) :: term
  defdelegate all_keys(id, store, table, lock), to: Explicit

  @doc false
  @spec first(Explicit.id(), Explicit.store(), term) :: term
  defdelegate first(id, store, table), to: Explicit

  @doc false
  @spec last(Explicit.id(), Explicit.store(), term) :: term
  defdelegate last(id, store, table), to: Explicit

  @doc false
  @spec next(Explicit.id(), Explicit.store(), term, term) :: term
  defdelegate next(id, store, table, key), to: Explicit

  @doc false
  @spec prev(Explicit.id(), Explicit.store(), term, term) :: term
  defdelegate prev(id, store, table, key), to: Explicit

  @doc false
  @spec foldl(Explicit.id(), Explicit.store(), fun, term, term, term) :: term
  defdelegate foldl(id, store, fun, acc, table, lock), to: Explicit

  @doc false
  @spec foldr(Explicit.id(), Explicit.store(), fun, term, term, term) :: term
  defdelegate foldr(id, store, fun, acc, table, lock), to: Explicit

  @doc false
  @spec table_info(Explicit.id(), Explicit.store(), term, term) :: term
  defdelegate table_info(id, store, table, item), to: Explicit

  @doc false
  @spec clear_table(Explicit.id(), Explicit.store(), term, term) :: term
  defdelegate clear_table(id, store, table, pattern), to: Explicit

  # --- dirty functions ---

  @spec dirty_read({Dirty.table(), term}) :: [tuple]
  defdelegate dirty_read(oid), to: Dirty

  @spec dirty_read(Dirty.table(), term) :: [tuple]
  defdelegate dirty_read(table, key), to: Dirty

  @spec dirty_write(tuple) :: :ok
  defdelegate dirty_write(record), to: Dirty

  @spec dirty_write(Dirty.table(), tuple) :: :ok
  defdelegate dirty_write(table, record), to: Dirty

  @spec dirty_delete({Dirty.table(), term}) :: :ok
  defdelegate dirty_delete(oid), to: Dirty

  @spec dirty_delete(Dirty.table(), term) :: :ok
  defdelegate dirty_delete(table, key), to: Dirty

  @spec dirty_delete_object(tuple) :: :ok
  defdelegate dirty_delete_object(record), to: Dirty

  @spec dirty_delete_object(Dirty.table(), tuple) :: :ok
  defdelegate dirty_delete_object(table, record), to: Dirty

  @spec dirty_update_counter({Dirty.table(), term}, integer) :: non_neg_integer
  defdelegate dirty_update_counter(counter, increment), to: Dirty

  @spec dirty_update_counter(Dirty.table(), term, integer) :: non_neg_integer
  defdelegate dirty_update_counter(table, key, increment), to: Dirty

  @spec dirty_match_object(tuple) :: [tuple]
  defdelegate dirty_match_object(pattern), to: Dirty

  @spec dirty_match_object(Dirty.table(), tuple) :: [tuple]
  defdelegate dirty_match_object(table, pattern), to: Dirty

  @spec dirty_select(Dirty.table(), list) :: [term]
  defdelegate dirty_select(table, spec), to: Dirty

  @spec dirty_index_read(Dirty.table(), term, atom | pos_integer) :: [tuple]
  defdelegate dirty_index_read(table, value, attribute), to: Dirty

  @spec dirty_index_match_object(tuple, atom | pos_integer) :: [tuple]
  defdelegate dirty_index_match_object(pattern, attribute), to: Dirty

  @spec dirty_index_match_object(Dirty.table(), tuple, atom | pos_integer) :: [tuple]
  defdelegate dirty_index_match_object(table, pattern, attribute), to: Dirty

  @spec dirty_all_keys(Dirty.table()) :: [term]
  defdelegate dirty_all_keys(table), to: Dirty

  @spec dirty_first(Dirty.table()) :: term
  defdelegate dirty_first(table), to: Dirty

  @spec dirty_last(Dirty.table()) :: term
  defdelegate dirty_last(table), to: Dirty

  @spec dirty_next(Dirty.table(), term) :: term
  defdelegate dirty_next(table, key), to: Dirty

  @spec dirty_prev(Dirty.table(), term) :: term
  defdelegate dirty_prev(table, key), to: Dirty

  @spec dirty_slot(Dirty.table(), non_neg_integer) :: [tuple] | :"$end_of_table"
  defdelegate dirty_slot(table, slot), to: Dirty

  @spec dirty_rpc(Dirty.table(), module, atom, [term]) :: term
  defdelegate dirty_rpc(table, module, function, arguments), to: Dirty

  # --- backups, checkpoints, fallbacks ---

  @spec backup(Backup.opaque()) :: :ok | {:error, term}
  defdelegate backup(opaque), to: Backup

  @spec backup(Backup.opaque(), module | list) :: :ok | {:error, term}
  defdelegate backup(opaque, module_or_arguments), to: Backup

  @spec backup_checkpoint(term, Backup.opaque()) :: :ok | {:error, term}
  defdelegate backup_checkpoint(name, opaque), to: Backup

  @spec backup_checkpoint(term, Backup.opaque(), module | list) :: :ok | {:error, term}
  defdelegate backup_checkpoint(name, opaque, module_or_arguments), to: Backup

  @spec restore(Backup.opaque(), list) :: {:atomic, [Backup.table()]} | {:aborted, term}
  defdelegate restore(opaque, arguments), to: Backup

  @spec traverse_backup(Backup.opaque(), Backup.opaque(), Backup.fold(), acc) ::
          {:ok, acc} | {:error, term}
        when acc: term
  defdelegate traverse_backup(source, target, fun, acc), to: Backup

  @spec traverse_backup(
          Backup.opaque(),
          module,
          Backup.opaque(),
          module | :read_only,
          Backup.fold(),
          acc
        ) :: {:ok, acc} | {:error, term}
        when acc: term
  defdelegate traverse_backup(source, source_module, target, target_module, fun, acc),
    to: Backup

  @spec activate_checkpoint(list) :: {:ok, term, [node]} | {:error, term}
  defdelegate activate_checkpoint(arguments), to: Backup

  @spec deactivate_checkpoint(term) :: :ok | {:error, term}
  defdelegate deactivate_checkpoint(name), to: Backup

  @spec install_fallback(Backup.opaque()) :: :ok | {:error, term}
  defdelegate install_fallback(opaque), to: Backup

  @spec install_fallback(Backup.opaque(), module | list) :: :ok | {:error, term}
  defdelegate install_fallback(opaque, module_or_arguments), to: Backup

  @spec uninstall_fallback() :: :ok | {:error, term}
  defdelegate uninstall_fallback(), to: Backup

  @spec uninstall_fallback(list) :: :ok | {:error, term}
  defdelegate uninstall_fallback(arguments), to: Backup

  # --- text files ---

  @spec dump_to_textfile(Path.t() | charlist) :: :ok | :error | {:error, term}
  defdelegate dump_to_textfile(file), to: Text

  @spec load_textfile(Path.t() | charlist) :: Tables.result() | {:error, term}
  defdelegate load_textfile(file), to: Text

  # --- queries ---

  @spec table(atom) :: term
  defdelegate table(table), to: Handle

  @spec table(atom, keyword | tuple) :: term
  defdelegate table(table, options), to: Handle

  # --- what tools ask ---

  @doc """
  Is there a variable of a pattern in this term?

      iex> {:remnesia.has_var({:city, :_, :norway}), :remnesia.has_var({:city, :oslo})}
      {true, false}
  """
  @spec has_var(term) :: boolean
  defdelegate has_var(term), to: Dirty

  @doc """
  Size or memory of a table, also of one that is not there.

      iex> :remnesia.raw_table_info(:city, :size)
      1
  """
  @spec raw_table_info(atom, :size | :memory) :: non_neg_integer
  defdelegate raw_table_info(table, item), to: Tables

  # --- what is left out ---

  @spec add_backend_type(atom, module) :: {:aborted, term}
  defdelegate add_backend_type(name, module), to: LeftOut

  @spec snmp_open_table(atom, term) :: {:aborted, term}
  defdelegate snmp_open_table(table, structure), to: LeftOut

  @spec snmp_close_table(atom) :: {:aborted, term}
  defdelegate snmp_close_table(table), to: LeftOut

  @spec snmp_get_row(atom, [integer]) :: no_return
  defdelegate snmp_get_row(table, index), to: LeftOut

  @spec snmp_get_next_index(atom, [integer]) :: no_return
  defdelegate snmp_get_next_index(table, index), to: LeftOut

  @spec snmp_get_mnesia_key(atom, [integer]) :: no_return
  defdelegate snmp_get_mnesia_key(table, index), to: LeftOut
end
