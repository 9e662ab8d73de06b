defmodule Remnesia.Engine do
  @moduledoc false

  # What the API modules know of the engine: one function for each of Mnesia's, with Mnesia's arguments and answers
  # (`{:atomic, value} | {:aborted, reason}`, or an exit with `{:aborted, reason}`), so that every door is a thin layer
  # over the same calls.
  #
  # There are two engines, Local and Cluster, and this module is the one place that chooses; see Choice for what that costs.

  alias Remnesia.Engine.Choice.Answer
  alias Remnesia.Engine.{Cluster, Local, Reason, Report}
  alias Remnesia.Engine.Local.{Activity, Change, Dirty, Explain, Fold}
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

  # A constant in another module: the local engine pays one call for it.
  defmacrop either(local, cluster) do
    quote do
      if Answer.cluster?(), do: unquote(cluster), else: unquote(local)
    end
  end

  # --- transactions ---

  def transaction(fun),
    do: either(Local.transaction(fun, [], :infinity), Cluster.transaction(fun))

  def transaction(fun, arguments) when is_list(arguments),
    do: either(Local.transaction(fun, arguments, :infinity), Cluster.transaction(fun, arguments))

  def transaction(fun, retries)
      when retries == :infinity or (is_integer(retries) and retries >= 0),
      do: either(Local.transaction(fun, [], retries), Cluster.transaction(fun, retries))

  # What is neither is taken for the arguments, as Mnesia does: the reason shows it.
  def transaction(fun, other),
    do: either(Local.transaction(fun, other, :infinity), Cluster.transaction(fun, other))

  def transaction(fun, arguments, retries),
    do:
      either(
        Local.transaction(fun, arguments, retries),
        Cluster.transaction(fun, arguments, retries)
      )

  # Answers when the commit is on disc.
  def sync_transaction(fun),
    do: either(fun |> transaction() |> Local.durable(), Cluster.sync_transaction(fun))

  def sync_transaction(fun, retries),
    do:
      either(
        fun |> transaction(retries) |> Local.durable(),
        Cluster.sync_transaction(fun, retries)
      )

  def sync_transaction(fun, arguments, retries),
    do:
      either(
        fun |> transaction(arguments, retries) |> Local.durable(),
        Cluster.sync_transaction(fun, arguments, retries)
      )

  @doc "Waits until everything that was committed before is on disc."
  @spec sync() :: :ok | {:error, term}
  def sync, do: Local.sync()

  @doc "Figures about the disc, nil without one."
  def disc_metrics, do: Local.disc_metrics()

  def transaction(fun, arguments, retries, access),
    do:
      either(
        Local.transaction(fun, arguments, retries, access),
        Cluster.transaction(fun, arguments, retries, access)
      )

  # --- other activities, and who is in which ---

  def dirty_activity(kind, fun, arguments, access),
    do:
      either(
        Local.dirty(kind, fun, arguments, access),
        Cluster.dirty_activity(kind, fun, arguments, access)
      )

  def get_activity_id,
    do: either(Activity.get_id(), Cluster.get_activity_id())

  def put_activity_id(id),
    do: either(Activity.put_id(id), Cluster.put_activity_id(id))

  # What an access module calls with the id and the store that it was given.
  def in_activity(id, store, operation, arguments),
    do:
      either(
        Activity.explicit(id, store, operation, arguments),
        Cluster.in_activity(id, store, operation, arguments)
      )

  def is_transaction,
    do: either(Local.is_transaction(), Cluster.is_transaction())

  @spec abort(term) :: no_return
  def abort({:aborted, _reason} = reason), do: exit(reason)
  def abort(reason), do: exit({:aborted, reason})

  # --- access within a transaction ---

  def read(table, key, lock),
    do: either(Local.read(table, key, lock), Cluster.read(table, key, lock))

  def write(table, record, lock),
    do: either(Local.write(table, record, lock), Cluster.write(table, record, lock))

  def delete(table, key, lock),
    do: either(Local.delete(table, key, lock), Cluster.delete(table, key, lock))

  def delete_object(table, record, lock),
    do:
      either(Local.delete_object(table, record, lock), Cluster.delete_object(table, record, lock))

  def match_object(table, pattern, lock),
    do:
      either(Local.match_object(table, pattern, lock), Cluster.match_object(table, pattern, lock))

  def select(table, spec, lock),
    do: either(Local.select(table, spec, lock), Cluster.select(table, spec, lock))

  def select(table, spec, limit, lock),
    do: either(Local.select(table, spec, limit, lock), Cluster.select(table, spec, limit, lock))

  def select(continuation),
    do: either(Local.select(continuation), Cluster.select(continuation))

  def index_read(table, value, attribute),
    do:
      either(
        Local.index_read(table, value, attribute),
        Cluster.index_read(table, value, attribute)
      )

  def index_match_object(table, pattern, attribute, lock),
    do:
      either(
        Local.index_match_object(table, pattern, attribute, lock),
        Cluster.index_match_object(table, pattern, attribute, lock)
      )

  def fold(direction, fun, acc, table, lock),
    do:
      either(
        Fold.run(direction, fun, acc, table, lock),
        Cluster.fold(direction, fun, acc, table, lock)
      )

  def fold(id, store, direction, fun, acc, table, lock),
    do:
      either(
        Fold.run(id, store, direction, fun, acc, table, lock),
        Cluster.fold(id, store, direction, fun, acc, table, lock)
      )

  def select_in_order(table, spec, order, limit, offset, lock),
    do:
      either(
        Local.select_in_order(table, spec, order, limit, offset, lock),
        Cluster.select_in_order(table, spec, order, limit, offset, lock)
      )

  def count(table, spec, lock),
    do: either(Local.count(table, spec, lock), Cluster.count(table, spec, lock))

  def delete_all(table, spec),
    do: either(Local.delete_all(table, spec), Cluster.delete_all(table, spec))

  def update_all(table, spec, fun),
    do: either(Local.update_all(table, spec, fun), Cluster.update_all(table, spec, fun))

  def all_keys(table),
    do: either(Local.all_keys(table), Cluster.all_keys(table))

  def first(table),
    do: either(Local.first(table), Cluster.first(table))

  def last(table),
    do: either(Local.last(table), Cluster.last(table))

  def next(table, key),
    do: either(Local.next(table, key), Cluster.next(table, key))

  def prev(table, key),
    do: either(Local.prev(table, key), Cluster.prev(table, key))

  def last_number(table),
    do: either(Local.last_number(table), Cluster.last_number(table))

  def lock(item, lock),
    do: either(Lock.lock(item, lock), Cluster.lock(item, lock))

  def lock_table(table, lock),
    do: either(Local.lock_table(table, lock), Cluster.lock_table(table, lock))

  def lock_record(table, key, lock),
    do: either(Local.lock_record(table, key, lock), Cluster.lock_record(table, key, lock))

  def lock_global(term, lock),
    do: either(Local.lock_global(term, lock), Cluster.lock_global(term, lock))

  # --- access without one: no locks, committed data, atomic per call ---

  def dirty_read(table, key),
    do: either(Dirty.read(table, key), Cluster.dirty_read(table, key))

  def dirty_write(table, record),
    do: either(Dirty.write(table, record), Cluster.dirty_write(table, record))

  def dirty_delete(table, key),
    do: either(Dirty.delete(table, key), Cluster.dirty_delete(table, key))

  def dirty_delete_object(table, record),
    do: either(Dirty.delete_object(table, record), Cluster.dirty_delete_object(table, record))

  def dirty_update_counter(table, key, increment),
    do:
      either(
        Dirty.update_counter(table, key, increment),
        Cluster.dirty_update_counter(table, key, increment)
      )

  def dirty_select(table, spec),
    do: either(Dirty.select(table, spec), Cluster.dirty_select(table, spec))

  def dirty_match_object(table, pattern),
    do: either(Dirty.match_object(table, pattern), Cluster.dirty_match_object(table, pattern))

  def dirty_index_match_object(table, pattern, attribute),
    do:
      either(
        Dirty.index_match_object(table, pattern, attribute),
        Cluster.dirty_index_match_object(table, pattern, attribute)
      )

  def dirty_index_read(table, value, position),
    do:
      either(
        Dirty.index_read(table, value, position),
        Cluster.dirty_index_read(table, value, position)
      )

  def dirty_all_keys(table),
    do: either(Dirty.all_keys(table), Cluster.dirty_all_keys(table))

  def dirty_first(table),
    do: either(Dirty.first(table), Cluster.dirty_first(table))

  def dirty_last(table),
    do: either(Dirty.last(table), Cluster.dirty_last(table))

  def dirty_next(table, key),
    do: either(Dirty.next(table, key), Cluster.dirty_next(table, key))

  def dirty_prev(table, key),
    do: either(Dirty.prev(table, key), Cluster.dirty_prev(table, key))

  def dirty_slot(table, slot),
    do: either(Slot.read(table, slot), Cluster.dirty_slot(table, slot))

  # --- events ---

  def subscribe(what),
    do: either(Events.subscribe(self(), what), Cluster.subscribe(what))

  def unsubscribe(what),
    do: either(Events.unsubscribe(self(), what), Cluster.unsubscribe(what))

  def report_event(event),
    do: either(Events.report({:mnesia_user, event}), Cluster.report_event(event))

  # --- what a search does; with or without a transaction ---

  def explain(table, spec),
    do: either(Explain.plan(table, spec), Cluster.explain(table, spec))

  def analyze(table, spec),
    do: either(Explain.run(table, spec), Cluster.analyze(table, spec))

  def test_spec(record, spec), do: Explain.test(record, spec)

  # --- schema ---

  def create_table(table, options),
    do: either(Schema.create_table(table, options), Cluster.create_table(table, options))

  def delete_table(table),
    do: either(Schema.delete_table(table), Cluster.delete_table(table))

  def clear_table(table),
    do: either(Schema.clear_table(table), Cluster.clear_table(table))

  def add_table_copy(table, node, type),
    do:
      either(Schema.add_table_copy(table, node, type), Cluster.add_table_copy(table, node, type))

  def del_table_copy(table, node),
    do: either(Schema.del_table_copy(table, node), Cluster.del_table_copy(table, node))

  def move_table_copy(table, from, to),
    do: either(Schema.move_table_copy(table, from, to), Cluster.move_table_copy(table, from, to))

  def change_table_copy_type(table, node, type),
    do:
      either(
        Schema.change_table_copy_type(table, node, type),
        Cluster.change_table_copy_type(table, node, type)
      )

  def transform_table(table, fun, attributes),
    do:
      either(
        Change.transform(table, fun, attributes),
        Cluster.transform_table(table, fun, attributes)
      )

  def transform_table(table, fun, attributes, record_name),
    do:
      either(
        Change.transform(table, fun, attributes, record_name),
        Cluster.transform_table(table, fun, attributes, record_name)
      )

  def add_table_index(table, attributes, options \\ []),
    do:
      either(
        Change.add_index(table, attributes, options),
        Cluster.add_table_index(table, attributes, options)
      )

  def del_table_index(table, attributes),
    do: either(Change.del_index(table, attributes), Cluster.del_table_index(table, attributes))

  def change_table_access_mode(table, mode),
    do: either(Change.access_mode(table, mode), Cluster.change_table_access_mode(table, mode))

  def change_table_load_order(table, order),
    do: either(Change.load_order(table, order), Cluster.change_table_load_order(table, order))

  def change_table_majority(table, majority),
    do: either(Change.majority(table, majority), Cluster.change_table_majority(table, majority))

  def read_table_property(table, key),
    do: either(Change.read_property(table, key), Cluster.read_table_property(table, key))

  def write_table_property(table, property),
    do:
      either(
        Change.write_property(table, property),
        Cluster.write_table_property(table, property)
      )

  def delete_table_property(table, key),
    do: either(Change.delete_property(table, key), Cluster.delete_table_property(table, key))

  def change_table_frag(table, change),
    do: either(Change.fragments(table, change), Cluster.change_table_frag(table, change))

  def dump_tables(tables),
    do: either(Change.dump_tables(tables), Cluster.dump_tables(tables))

  def force_load_table(table),
    do: either(Change.force_load(table), Cluster.force_load_table(table))

  def set_master_nodes(nodes),
    do: either(Change.master_nodes(nodes), Cluster.set_master_nodes(nodes))

  def set_master_nodes(table, nodes),
    do: either(Change.master_nodes(table, nodes), Cluster.set_master_nodes(table, nodes))

  def wait_for_tables(tables, timeout),
    do: either(Schema.wait_for_tables(tables, timeout), Cluster.wait_for_tables(tables, timeout))

  def create_schema(nodes),
    do: either(Schema.create_schema(nodes), Cluster.create_schema(nodes))

  def delete_schema(nodes),
    do: either(Schema.delete_schema(nodes), Cluster.delete_schema(nodes))

  def change_config(key, value),
    do: either(Schema.change_config(key, value), Cluster.change_config(key, value))

  # --- the system ---

  def start(settings, start), do: Settings.start(settings, start)

  def kill,
    do: either(Settings.kill(), Cluster.kill())

  def set_debug_level(level),
    do: either(Settings.debug(level), Cluster.set_debug_level(level))

  def variable?(term), do: Pattern.variable?(term)

  def modules do
    {:ok, modules} = :application.get_key(:remnesia, :modules)
    modules
  end

  # --- information ---

  def table_info(table, item),
    do: either(Info.table(table, item), Cluster.table_info(table, item))

  @doc "What `create_table` made of its options, or nil."
  @spec definition(table) :: Remnesia.Engine.Cstruct.t() | nil
  def definition(table),
    do: either(local_definition(table), Cluster.definition(table))

  defp local_definition(table) do
    case Remnesia.Native.table_props(table) do
      {:ok, cstruct} -> cstruct
      :error -> nil
    end
  end

  def system_info(item),
    do: either(Info.system(item), Cluster.system_info(item))

  def info,
    do: either(Report.info(), Cluster.info())

  def schema,
    do: either(Report.schema(), Cluster.schema())

  def schema(table),
    do: either(Report.schema(table), Cluster.schema(table))

  def error_description(reason),
    do: either(Reason.describe(reason), Cluster.error_description(reason))
end
