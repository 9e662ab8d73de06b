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

  What is different from Mnesia is listed in the guide "Differences"; SNMP and, in this version, other nodes are not
  there. Fragmented tables: `:remnesia_frag`.
  """

  alias Remnesia.Mnesia.{Access, Activity, Backup, Dirty, Explicit, Handle, System, Tables, Text}

  # --- starting, stopping, the system ---

  defdelegate start(), to: System
  defdelegate start(settings), to: System
  defdelegate stop(), to: System
  defdelegate lkill(), to: System
  defdelegate kill(), to: System
  defdelegate ms(), to: System
  defdelegate change_config(key, value), to: System
  defdelegate set_debug_level(level), to: System
  defdelegate system_info(), to: System
  defdelegate system_info(item), to: System
  defdelegate info(), to: System
  defdelegate error_description(reason), to: System
  defdelegate subscribe(what), to: System
  defdelegate unsubscribe(what), to: System
  defdelegate report_event(event), to: System
  defdelegate dump_log(), to: System
  defdelegate sync_log(), to: System

  # --- the schema and tables ---

  defdelegate create_schema(nodes), to: Tables
  defdelegate create_schema(nodes, properties), to: Tables
  defdelegate delete_schema(nodes), to: Tables
  defdelegate create_table(options), to: Tables
  defdelegate create_table(table, options), to: Tables
  defdelegate delete_table(table), to: Tables
  defdelegate clear_table(table), to: Tables
  defdelegate transform_table(table, fun, attributes), to: Tables
  defdelegate transform_table(table, fun, attributes, record_name), to: Tables
  defdelegate add_table_index(table, attribute), to: Tables
  defdelegate del_table_index(table, attribute), to: Tables
  defdelegate change_table_access_mode(table, mode), to: Tables
  defdelegate change_table_load_order(table, order), to: Tables
  defdelegate change_table_majority(table, majority), to: Tables
  defdelegate change_table_copy_type(table, node, type), to: Tables
  defdelegate add_table_copy(table, node, type), to: Tables
  defdelegate del_table_copy(table, node), to: Tables
  defdelegate move_table_copy(table, from, to), to: Tables
  defdelegate read_table_property(table, key), to: Tables
  defdelegate write_table_property(table, property), to: Tables
  defdelegate delete_table_property(table, key), to: Tables
  defdelegate change_table_frag(table, change), to: Tables
  defdelegate wait_for_tables(tables, timeout), to: Tables
  defdelegate force_load_table(table), to: Tables
  defdelegate dump_tables(tables), to: Tables
  defdelegate set_master_nodes(nodes), to: Tables
  defdelegate set_master_nodes(table, nodes), to: Tables
  defdelegate table_info(table, item), to: Tables
  defdelegate schema(), to: Tables
  defdelegate schema(table), to: Tables

  # --- activities ---

  defdelegate transaction(fun), to: Activity
  defdelegate transaction(fun, retries_or_arguments), to: Activity
  defdelegate transaction(fun, arguments, retries), to: Activity
  defdelegate sync_transaction(fun), to: Activity
  defdelegate sync_transaction(fun, retries_or_arguments), to: Activity
  defdelegate sync_transaction(fun, arguments, retries), to: Activity
  defdelegate async_dirty(fun), to: Activity
  defdelegate async_dirty(fun, arguments), to: Activity
  defdelegate sync_dirty(fun), to: Activity
  defdelegate sync_dirty(fun, arguments), to: Activity
  defdelegate ets(fun), to: Activity
  defdelegate ets(fun, arguments), to: Activity
  defdelegate activity(kind, fun), to: Activity
  defdelegate activity(kind, fun, arguments_or_module), to: Activity
  defdelegate activity(kind, fun, arguments, module), to: Activity
  defdelegate abort(reason), to: Activity
  defdelegate is_transaction(), to: Activity
  defdelegate get_activity_id(), to: Activity
  defdelegate put_activity_id(id), to: Activity

  # --- access within an activity ---

  defdelegate read(oid), to: Access
  defdelegate read(table, key), to: Access
  defdelegate read(table, key, lock), to: Access
  defdelegate wread(oid), to: Access
  defdelegate write(record), to: Access
  defdelegate write(table, record, lock), to: Access
  defdelegate s_write(record), to: Access
  defdelegate delete(oid), to: Access
  defdelegate delete(table, key, lock), to: Access
  defdelegate s_delete(oid), to: Access
  defdelegate delete_object(record), to: Access
  defdelegate delete_object(table, record, lock), to: Access
  defdelegate s_delete_object(record), to: Access
  defdelegate match_object(pattern), to: Access
  defdelegate match_object(table, pattern, lock), to: Access
  defdelegate select(continuation), to: Access
  defdelegate select(table, spec), to: Access
  defdelegate select(table, spec, lock), to: Access
  defdelegate select(table, spec, size, lock), to: Access
  defdelegate index_read(table, value, attribute), to: Access
  defdelegate index_match_object(pattern, attribute), to: Access
  defdelegate index_match_object(table, pattern, attribute, lock), to: Access
  defdelegate all_keys(table), to: Access
  defdelegate first(table), to: Access
  defdelegate last(table), to: Access
  defdelegate next(table, key), to: Access
  defdelegate prev(table, key), to: Access
  defdelegate foldl(fun, acc, table), to: Access
  defdelegate foldl(fun, acc, table, lock), to: Access
  defdelegate foldr(fun, acc, table), to: Access
  defdelegate foldr(fun, acc, table, lock), to: Access
  defdelegate lock(item, lock), to: Access
  defdelegate lock_table(table, lock), to: Access
  defdelegate read_lock_table(table), to: Access
  defdelegate write_lock_table(table), to: Access

  # --- the same for access modules ---

  defdelegate lock(id, store, item, lock), to: Explicit
  defdelegate write(id, store, table, record, lock), to: Explicit
  defdelegate delete(id, store, table, key, lock), to: Explicit
  defdelegate delete_object(id, store, table, record, lock), to: Explicit
  defdelegate read(id, store, table, key, lock), to: Explicit
  defdelegate match_object(id, store, table, pattern, lock), to: Explicit
  defdelegate select(id, store, table, spec, lock), to: Explicit
  defdelegate select(id, store, table, spec, size, lock), to: Explicit
  defdelegate select_cont(id, store, continuation), to: Explicit
  defdelegate index_read(id, store, table, value, attribute, lock), to: Explicit
  defdelegate index_match_object(id, store, table, pattern, attribute, lock), to: Explicit
  defdelegate all_keys(id, store, table, lock), to: Explicit
  defdelegate first(id, store, table), to: Explicit
  defdelegate last(id, store, table), to: Explicit
  defdelegate next(id, store, table, key), to: Explicit
  defdelegate prev(id, store, table, key), to: Explicit
  defdelegate foldl(id, store, fun, acc, table, lock), to: Explicit
  defdelegate foldr(id, store, fun, acc, table, lock), to: Explicit
  defdelegate table_info(id, store, table, item), to: Explicit
  defdelegate clear_table(id, store, table, pattern), to: Explicit

  # --- dirty functions ---

  defdelegate dirty_read(oid), to: Dirty
  defdelegate dirty_read(table, key), to: Dirty
  defdelegate dirty_write(record), to: Dirty
  defdelegate dirty_write(table, record), to: Dirty
  defdelegate dirty_delete(oid), to: Dirty
  defdelegate dirty_delete(table, key), to: Dirty
  defdelegate dirty_delete_object(record), to: Dirty
  defdelegate dirty_delete_object(table, record), to: Dirty
  defdelegate dirty_update_counter(counter, increment), to: Dirty
  defdelegate dirty_update_counter(table, key, increment), to: Dirty
  defdelegate dirty_match_object(pattern), to: Dirty
  defdelegate dirty_match_object(table, pattern), to: Dirty
  defdelegate dirty_select(table, spec), to: Dirty
  defdelegate dirty_index_read(table, value, attribute), to: Dirty
  defdelegate dirty_index_match_object(pattern, attribute), to: Dirty
  defdelegate dirty_index_match_object(table, pattern, attribute), to: Dirty
  defdelegate dirty_all_keys(table), to: Dirty
  defdelegate dirty_first(table), to: Dirty
  defdelegate dirty_last(table), to: Dirty
  defdelegate dirty_next(table, key), to: Dirty
  defdelegate dirty_prev(table, key), to: Dirty
  defdelegate dirty_slot(table, slot), to: Dirty
  defdelegate dirty_rpc(table, module, function, arguments), to: Dirty

  # --- backups, checkpoints, fallbacks ---

  defdelegate backup(opaque), to: Backup
  defdelegate backup(opaque, module_or_arguments), to: Backup
  defdelegate backup_checkpoint(name, opaque), to: Backup
  defdelegate backup_checkpoint(name, opaque, module_or_arguments), to: Backup
  defdelegate restore(opaque, arguments), to: Backup
  defdelegate traverse_backup(source, target, fun, acc), to: Backup

  defdelegate traverse_backup(source, source_module, target, target_module, fun, acc),
    to: Backup

  defdelegate activate_checkpoint(arguments), to: Backup
  defdelegate deactivate_checkpoint(name), to: Backup
  defdelegate install_fallback(opaque), to: Backup
  defdelegate install_fallback(opaque, module_or_arguments), to: Backup
  defdelegate uninstall_fallback(), to: Backup
  defdelegate uninstall_fallback(arguments), to: Backup

  # --- text files ---

  defdelegate dump_to_textfile(file), to: Text
  defdelegate load_textfile(file), to: Text

  # --- queries ---

  defdelegate table(table), to: Handle
  defdelegate table(table, options), to: Handle

  # --- what tools ask ---

  @doc "Is there a variable of a pattern in this term?"
  @spec has_var(term) :: boolean
  defdelegate has_var(term), to: Dirty

  @doc "Size or memory of a table, also of one that is not there."
  @spec raw_table_info(atom, :size | :memory) :: non_neg_integer
  defdelegate raw_table_info(table, item), to: Tables

  # --- what is left out ---

  @doc "Storage plug-ins are left out: `{:aborted, {:not_available, text}}`."
  @spec add_backend_type(atom, module) :: {:aborted, term}
  def add_backend_type(_name, _module),
    do: {:aborted, {:not_available, "Remnesia has no storage plug-ins"}}

  @doc "SNMP is left out: `{:aborted, {:not_available, text}}`."
  @spec snmp_open_table(atom, term) :: {:aborted, term}
  def snmp_open_table(_table, _structure), do: {:aborted, snmp()}

  @doc "SNMP is left out: `{:aborted, {:not_available, text}}`."
  @spec snmp_close_table(atom) :: {:aborted, term}
  def snmp_close_table(_table), do: {:aborted, snmp()}

  @doc "SNMP is left out: exits with `{:aborted, {:not_available, text}}`."
  @spec snmp_get_row(atom, [integer]) :: no_return
  def snmp_get_row(_table, _index), do: Activity.abort(snmp())

  @doc "SNMP is left out: exits with `{:aborted, {:not_available, text}}`."
  @spec snmp_get_next_index(atom, [integer]) :: no_return
  def snmp_get_next_index(_table, _index), do: Activity.abort(snmp())

  @doc "SNMP is left out: exits with `{:aborted, {:not_available, text}}`."
  @spec snmp_get_mnesia_key(atom, [integer]) :: no_return
  def snmp_get_mnesia_key(_table, _index), do: Activity.abort(snmp())

  defp snmp, do: {:not_available, "Remnesia has no SNMP interface"}
end
