defmodule Remnesia.Engine do
  @moduledoc false

  # What the API modules know of the engine: one function for each of Mnesia's, with Mnesia's arguments and answers
  # (`{:atomic, value} | {:aborted, reason}`, or an exit with `{:aborted, reason}`), so that every door is a thin layer
  # over the same calls.
  #
  # Local is the only engine of this version. A cluster engine will be the second implementation of the callbacks, and
  # this module the one place that chooses; until then a call costs one jump.

  alias Remnesia.Engine.{Local, Reason, Report}
  alias Remnesia.Engine.Local.{Activity, Change, Dirty, Explain, Fold}
  alias Remnesia.Engine.Local.{FragmentChange, Fragments}
  alias Remnesia.Engine.Local.{Info, Lock, Pattern, Schema, Settings, Slot}
  alias Remnesia.Events

  @type table :: atom
  @type lock :: :read | :write | :sticky_write
  @type result(value) :: {:atomic, value} | {:aborted, term}
  @type continuation :: term

  @callback transaction(fun, [term], retries :: term, access :: atom) :: result(term)
  @callback is_transaction() :: boolean
  @callback read(table, term, lock) :: [tuple]
  @callback write(table, tuple, lock) :: :ok
  @callback delete(table, term, lock) :: :ok
  @callback delete_object(table, tuple, lock) :: :ok
  @callback match_object(table, tuple, lock) :: [tuple]
  @callback select(table, list, lock) :: [term]
  @callback select(table, list, pos_integer, lock) :: {[term], continuation} | :"$end_of_table"
  @callback select(continuation) :: {[term], continuation} | :"$end_of_table"
  @callback select_in_order(table, list, [integer], non_neg_integer, non_neg_integer, lock) ::
              [term]
  @callback count(table, list, lock) :: non_neg_integer
  @callback delete_all(table, list) :: non_neg_integer
  @callback update_all(table, list, (tuple -> tuple)) :: non_neg_integer
  @callback index_match_object(table, tuple, atom | pos_integer, lock) :: [tuple]
  @callback index_read(table, term, position :: pos_integer) :: [tuple]
  @callback all_keys(table) :: [term]
  @callback first(table) :: term
  @callback last(table) :: term
  @callback next(table, term) :: term
  @callback prev(table, term) :: term
  @callback last_number(table) :: number | nil
  @callback index_match_object(table, tuple, term, lock) :: [tuple]
  @callback lock_table(table, lock) :: :ok
  @callback lock_record(table, term, lock) :: :ok
  @callback lock_global(term, lock) :: :ok

  # --- transactions ---

  def transaction(fun), do: Local.transaction(fun, [], :infinity)

  def transaction(fun, arguments) when is_list(arguments),
    do: Local.transaction(fun, arguments, :infinity)

  def transaction(fun, retries)
      when retries == :infinity or (is_integer(retries) and retries >= 0),
      do: Local.transaction(fun, [], retries)

  # What is neither is taken for the arguments, as Mnesia does: the reason shows it.
  def transaction(fun, other), do: Local.transaction(fun, other, :infinity)
  def transaction(fun, arguments, retries), do: Local.transaction(fun, arguments, retries)

  # Answers when the commit is on disc.
  def sync_transaction(fun), do: fun |> transaction() |> Local.durable()
  def sync_transaction(fun, retries), do: fun |> transaction(retries) |> Local.durable()

  def sync_transaction(fun, arguments, retries),
    do: fun |> transaction(arguments, retries) |> Local.durable()

  @doc "Waits until everything that was committed before is on disc."
  @spec sync() :: :ok | {:error, term}
  def sync, do: Local.sync()

  @doc "Figures about the disc, nil without one."
  def disc_metrics, do: Local.disc_metrics()

  def transaction(fun, arguments, retries, access),
    do: Local.transaction(fun, arguments, retries, access)

  # --- other activities, and who is in which ---

  def dirty_activity(kind, fun, arguments, access), do: Local.dirty(kind, fun, arguments, access)
  def get_activity_id, do: Activity.get_id()
  def put_activity_id(id), do: Activity.put_id(id)

  @doc "The module that answers for an access module."
  @spec access_module(module) :: module
  def access_module(module), do: Activity.handler(module)

  # What an access module calls with the id and the store that it was given.
  def in_activity(id, store, operation, arguments),
    do: Activity.explicit(id, store, operation, arguments)

  def is_transaction, do: Local.is_transaction()

  @spec abort(term) :: no_return
  def abort({:aborted, _reason} = reason), do: exit(reason)
  def abort(reason), do: exit({:aborted, reason})

  # --- access within a transaction ---

  def read(table, key, lock), do: Local.read(table, key, lock)
  def write(table, record, lock), do: Local.write(table, record, lock)
  def delete(table, key, lock), do: Local.delete(table, key, lock)
  def delete_object(table, record, lock), do: Local.delete_object(table, record, lock)
  def match_object(table, pattern, lock), do: Local.match_object(table, pattern, lock)
  def select(table, spec, lock), do: Local.select(table, spec, lock)
  def select(table, spec, limit, lock), do: Local.select(table, spec, limit, lock)
  def select(continuation), do: Local.select(continuation)
  def index_read(table, value, attribute), do: Local.index_read(table, value, attribute)

  def index_match_object(table, pattern, attribute, lock),
    do: Local.index_match_object(table, pattern, attribute, lock)

  def fold(direction, fun, acc, table, lock), do: Fold.run(direction, fun, acc, table, lock)

  def fold(id, store, direction, fun, acc, table, lock),
    do: Fold.run(id, store, direction, fun, acc, table, lock)

  def select_in_order(table, spec, order, limit, offset, lock),
    do: Local.select_in_order(table, spec, order, limit, offset, lock)

  def count(table, spec, lock), do: Local.count(table, spec, lock)
  def delete_all(table, spec), do: Local.delete_all(table, spec)
  def update_all(table, spec, fun), do: Local.update_all(table, spec, fun)
  def all_keys(table), do: Local.all_keys(table)
  def first(table), do: Local.first(table)
  def last(table), do: Local.last(table)
  def next(table, key), do: Local.next(table, key)
  def prev(table, key), do: Local.prev(table, key)
  def last_number(table), do: Local.last_number(table)
  def lock(item, lock), do: Lock.lock(item, lock)
  def lock_table(table, lock), do: Local.lock_table(table, lock)
  def lock_record(table, key, lock), do: Local.lock_record(table, key, lock)
  def lock_global(term, lock), do: Local.lock_global(term, lock)

  # --- access without one: no locks, committed data, atomic per call ---

  def dirty_read(table, key), do: Dirty.read(table, key)
  def dirty_write(table, record), do: Dirty.write(table, record)
  def dirty_delete(table, key), do: Dirty.delete(table, key)
  def dirty_delete_object(table, record), do: Dirty.delete_object(table, record)
  def dirty_update_counter(table, key, increment), do: Dirty.update_counter(table, key, increment)
  def dirty_select(table, spec), do: Dirty.select(table, spec)
  def dirty_match_object(table, pattern), do: Dirty.match_object(table, pattern)

  def dirty_index_match_object(table, pattern, attribute),
    do: Dirty.index_match_object(table, pattern, attribute)

  def dirty_index_read(table, value, position), do: Dirty.index_read(table, value, position)
  def dirty_all_keys(table), do: Dirty.all_keys(table)
  def dirty_first(table), do: Dirty.first(table)
  def dirty_last(table), do: Dirty.last(table)
  def dirty_next(table, key), do: Dirty.next(table, key)
  def dirty_prev(table, key), do: Dirty.prev(table, key)
  def dirty_slot(table, slot), do: Slot.read(table, slot)

  # --- events ---

  def subscribe(what), do: Events.subscribe(self(), what)
  def unsubscribe(what), do: Events.unsubscribe(self(), what)
  def report_event(event), do: Events.report({:mnesia_user, event})

  # --- what a search does; with or without a transaction ---

  def explain(table, spec), do: Explain.plan(table, spec)
  def analyze(table, spec), do: Explain.run(table, spec)
  def test_spec(record, spec), do: Explain.test(record, spec)

  # --- schema ---

  def create_table(table, options), do: Schema.create_table(table, options)
  def refuse_change(reason), do: Schema.refuse(reason)
  def delete_table(table), do: Schema.delete_table(table)
  def clear_table(table), do: Schema.clear_table(table)
  def add_table_copy(table, node, type), do: Schema.add_table_copy(table, node, type)
  def del_table_copy(table, node), do: Schema.del_table_copy(table, node)
  def move_table_copy(table, from, to), do: Schema.move_table_copy(table, from, to)

  def change_table_copy_type(table, node, type),
    do: Schema.change_table_copy_type(table, node, type)

  def transform_table(table, fun, attributes), do: Change.transform(table, fun, attributes)

  def transform_table(table, fun, attributes, record_name),
    do: Change.transform(table, fun, attributes, record_name)

  def add_table_index(table, attributes, options \\ []),
    do: Change.add_index(table, attributes, options)

  def del_table_index(table, attributes), do: Change.del_index(table, attributes)
  def change_table_access_mode(table, mode), do: Change.access_mode(table, mode)
  def change_table_load_order(table, order), do: Change.load_order(table, order)
  def change_table_majority(table, majority), do: Change.majority(table, majority)
  def read_table_property(table, key), do: Change.read_property(table, key)
  def write_table_property(table, property), do: Change.write_property(table, property)
  def delete_table_property(table, key), do: Change.delete_property(table, key)
  def change_table_frag(table, change), do: FragmentChange.change(table, change)
  def fragmented?(table), do: Fragments.state(table) != nil
  def dump_tables(tables), do: Change.dump_tables(tables)
  def force_load_table(table), do: Change.force_load(table)
  def set_master_nodes(nodes), do: Change.master_nodes(nodes)
  def set_master_nodes(table, nodes), do: Change.master_nodes(table, nodes)

  def wait_for_tables(tables, timeout), do: Schema.wait_for_tables(tables, timeout)
  def create_schema(nodes), do: Schema.create_schema(nodes)
  def delete_schema(nodes), do: Schema.delete_schema(nodes)
  def change_config(key, value), do: Schema.change_config(key, value)

  # --- the system ---

  def start(settings, start), do: Settings.start(settings, start)
  def kill, do: Settings.kill()
  def set_debug_level(level), do: Settings.debug(level)

  def variable?(term), do: Pattern.variable?(term)

  def modules do
    {:ok, modules} = :application.get_key(:remnesia, :modules)
    modules
  end

  # --- information ---

  def table_info(table, item), do: Info.table(table, item)
  def raw_table_info(table, item), do: Info.raw(table, item)

  @doc "What `create_table` made of its options, or nil."
  @spec definition(table) :: Remnesia.Engine.Cstruct.t() | nil
  def definition(table) do
    case Remnesia.Native.table_props(table) do
      {:ok, cstruct} -> cstruct
      :error -> nil
    end
  end

  @doc "Is there such a table? The schema is one."
  @spec table?(term) :: boolean
  def table?(table), do: table == :schema or (is_atom(table) and definition(table) != nil)

  def system_info(item), do: Info.system(item)
  def info, do: Report.info()
  def schema, do: Report.schema()
  def schema(table), do: Report.schema(table)
  def error_description(reason), do: Reason.describe(reason)
end
