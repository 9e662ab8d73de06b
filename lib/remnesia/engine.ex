defmodule Remnesia.Engine do
  @moduledoc false

  # What the API modules know of the engine: one function for each of Mnesia's, with Mnesia's arguments and answers
  # (`{:atomic, value} | {:aborted, reason}`, or an exit with `{:aborted, reason}`), so that every door is a thin layer
  # over the same calls.
  #
  # There are two engines. This is the module as it is for Local, where a call costs one jump; for Cluster another form of it is loaded,
  # see Remnesia.Engine.Choice.

  alias Remnesia.Engine.{Local, Reason, Report}
  alias Remnesia.Engine.Local.{Activity, Change, Dirty, Explain, Fold}
  alias Remnesia.Engine.Local.{FragmentChange, Fragments}
  alias Remnesia.Engine.Local.{Copies, Info, Lock, Nodes, Pattern, Schema, Settings, Slot, Tables}
  alias Remnesia.Events

  @type table :: atom
  @type lock :: :read | :write | :sticky_write
  @type result(value) :: {:atomic, value} | {:aborted, term}
  @type continuation :: term
  @type chunk :: {[term], continuation} | :"$end_of_table"
  @type retries :: :infinity | non_neg_integer
  @type attribute :: atom | pos_integer
  @typedoc "What a change of the schema answers."
  @type change :: result(:ok)
  @typedoc "Activities that are no transactions."
  @type kind :: :async_dirty | :sync_dirty | :ets

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

  @spec transaction(fun) :: result(term)
  def transaction(fun), do: Local.transaction(fun, [], :infinity)

  @spec transaction(fun, [term] | retries) :: result(term)
  def transaction(fun, arguments) when is_list(arguments),
    do: Local.transaction(fun, arguments, :infinity)

  def transaction(fun, retries)
      when retries == :infinity or (is_integer(retries) and retries >= 0),
      do: Local.transaction(fun, [], retries)

  # What is neither is taken for the arguments, as Mnesia does: the reason shows it.
  def transaction(fun, other), do: Local.transaction(fun, other, :infinity)
  @spec transaction(fun, [term], retries) :: result(term)
  def transaction(fun, arguments, retries), do: Local.transaction(fun, arguments, retries)

  # Answers when the commit is on disc.
  @spec sync_transaction(fun) :: result(term)
  def sync_transaction(fun), do: fun |> transaction() |> Local.durable()
  @spec sync_transaction(fun, [term] | retries) :: result(term)
  def sync_transaction(fun, retries), do: fun |> transaction(retries) |> Local.durable()

  @spec sync_transaction(fun, [term], retries) :: result(term)
  def sync_transaction(fun, arguments, retries),
    do: fun |> transaction(arguments, retries) |> Local.durable()

  @spec sync_transaction(fun, [term], retries, access :: module) :: result(term)
  def sync_transaction(fun, arguments, retries, access),
    do: fun |> transaction(arguments, retries, access) |> Local.durable()

  @doc "Waits until everything that was committed before is on disc."
  @spec sync() :: :ok | {:error, term}
  def sync, do: Local.sync()

  @doc "The same for Mnesia's programs, who think of a log that is dumped."
  @spec dump_log() :: :dumped | {:error, term}
  def dump_log, do: with(:ok <- sync(), do: :dumped)

  @doc "The same, where there is a log."
  @spec sync_log() :: :ok | {:error, term}
  def sync_log do
    with :ok <- sync(), do: if(disc_metrics(), do: :ok, else: {:error, :no_such_log})
  end

  @spec compact() :: {:ok, {non_neg_integer, non_neg_integer}} | {:error, term}
  def compact, do: Local.compact()

  @doc "Figures about the disc, nil without one."
  @spec disc_metrics() :: %{atom => integer} | nil
  def disc_metrics, do: Local.disc_metrics()

  @spec transaction(fun, [term], retries, access :: module) :: result(term)
  def transaction(fun, arguments, retries, access),
    do: Local.transaction(fun, arguments, retries, access)

  # --- other activities, and who is in which ---

  @spec dirty_activity(kind, fun, [term], access :: module) :: term
  def dirty_activity(kind, fun, arguments, access), do: Local.dirty(kind, fun, arguments, access)
  @spec get_activity_id() :: {module, tuple, term} | :undefined
  def get_activity_id, do: Activity.get_id()
  @spec put_activity_id({module, tuple, term} | :undefined) :: term
  def put_activity_id(id), do: Activity.put_id(id)

  @doc "The module that answers for an access module."
  @spec access_module(module) :: module
  def access_module(module), do: Activity.handler(module)

  # What an access module calls with the id and the store that it was given.
  @spec in_activity(tuple, term, operation :: atom, [term]) :: term
  def in_activity(id, store, operation, arguments),
    do: Activity.explicit(id, store, operation, arguments)

  @spec is_transaction() :: boolean
  def is_transaction, do: Local.is_transaction()

  @spec abort(term) :: no_return
  def abort({:aborted, _reason} = reason), do: exit(reason)
  def abort(reason), do: exit({:aborted, reason})

  # --- access within a transaction ---

  @spec read(table, term, lock) :: [tuple]
  def read(table, key, lock), do: Local.read(table, key, lock)
  @spec write(table, tuple, lock) :: :ok
  def write(table, record, lock), do: Local.write(table, record, lock)
  @spec delete(table, term, lock) :: :ok
  def delete(table, key, lock), do: Local.delete(table, key, lock)
  @spec delete_object(table, tuple, lock) :: :ok
  def delete_object(table, record, lock), do: Local.delete_object(table, record, lock)
  @spec match_object(table, tuple, lock) :: [tuple]
  def match_object(table, pattern, lock), do: Local.match_object(table, pattern, lock)
  @spec select(table, list, lock) :: [term]
  def select(table, spec, lock), do: Local.select(table, spec, lock)
  @spec select(table, list, pos_integer, lock) :: chunk
  def select(table, spec, limit, lock), do: Local.select(table, spec, limit, lock)
  @spec select(continuation) :: chunk
  def select(continuation), do: Local.select(continuation)
  @spec index_read(table, term, attribute) :: [tuple]
  def index_read(table, value, attribute), do: Local.index_read(table, value, attribute)

  @spec index_match_object(table, tuple, attribute, lock) :: [tuple]
  def index_match_object(table, pattern, attribute, lock),
    do: Local.index_match_object(table, pattern, attribute, lock)

  @spec fold(:left | :right, (tuple, acc -> acc), acc, table, lock) :: acc when acc: term
  def fold(direction, fun, acc, table, lock), do: Fold.run(direction, fun, acc, table, lock)

  @spec fold(tuple, term, :left | :right, (tuple, acc -> acc), acc, table, lock) :: acc
        when acc: term
  def fold(id, store, direction, fun, acc, table, lock),
    do: Fold.run(id, store, direction, fun, acc, table, lock)

  @spec select_in_order(table, list, [integer], non_neg_integer, non_neg_integer, lock) :: [term]
  def select_in_order(table, spec, order, limit, offset, lock),
    do: Local.select_in_order(table, spec, order, limit, offset, lock)

  @spec count(table, list, lock) :: non_neg_integer
  def count(table, spec, lock), do: Local.count(table, spec, lock)
  @spec delete_all(table, list) :: non_neg_integer
  def delete_all(table, spec), do: Local.delete_all(table, spec)
  @spec update_all(table, list, (tuple -> tuple)) :: non_neg_integer
  def update_all(table, spec, fun), do: Local.update_all(table, spec, fun)
  @spec all_keys(table) :: [term]
  def all_keys(table), do: Local.all_keys(table)
  @spec first(table) :: term
  def first(table), do: Local.first(table)
  @spec last(table) :: term
  def last(table), do: Local.last(table)
  @spec next(table, term) :: term
  def next(table, key), do: Local.next(table, key)
  @spec prev(table, term) :: term
  def prev(table, key), do: Local.prev(table, key)
  @spec last_number(table) :: number | nil
  def last_number(table), do: Local.last_number(table)
  @spec lock(item :: term, lock) :: term
  def lock(item, lock), do: Lock.lock(item, lock)
  @spec lock_table(table, lock) :: :ok
  def lock_table(table, lock), do: Local.lock_table(table, lock)
  @spec lock_record(table, term, lock) :: :ok
  def lock_record(table, key, lock), do: Local.lock_record(table, key, lock)
  @spec lock_global(term, lock) :: :ok
  def lock_global(term, lock), do: Local.lock_global(term, lock)

  # --- access without one: no locks, committed data, atomic per call ---

  @spec dirty_read(table, term) :: [tuple]
  def dirty_read(table, key), do: Dirty.read(table, key)
  @spec dirty_write(table, tuple) :: :ok
  def dirty_write(table, record), do: Dirty.write(table, record)
  @spec dirty_delete(table, term) :: :ok
  def dirty_delete(table, key), do: Dirty.delete(table, key)
  @spec dirty_delete_object(table, tuple) :: :ok
  def dirty_delete_object(table, record), do: Dirty.delete_object(table, record)
  @spec dirty_update_counter(table, term, integer) :: integer
  def dirty_update_counter(table, key, increment), do: Dirty.update_counter(table, key, increment)
  @spec dirty_select(table, list) :: [term]
  def dirty_select(table, spec), do: Dirty.select(table, spec)
  @spec dirty_match_object(table, tuple) :: [tuple]
  def dirty_match_object(table, pattern), do: Dirty.match_object(table, pattern)

  @spec dirty_index_match_object(table, tuple, attribute) :: [tuple]
  def dirty_index_match_object(table, pattern, attribute),
    do: Dirty.index_match_object(table, pattern, attribute)

  @spec dirty_index_read(table, term, attribute) :: [tuple]
  def dirty_index_read(table, value, position), do: Dirty.index_read(table, value, position)
  @spec dirty_all_keys(table) :: [term]
  def dirty_all_keys(table), do: Dirty.all_keys(table)
  @spec dirty_first(table) :: term
  def dirty_first(table), do: Dirty.first(table)
  @spec dirty_last(table) :: term
  def dirty_last(table), do: Dirty.last(table)
  @spec dirty_next(table, term) :: term
  def dirty_next(table, key), do: Dirty.next(table, key)
  @spec dirty_prev(table, term) :: term
  def dirty_prev(table, key), do: Dirty.prev(table, key)
  @spec dirty_slot(table, non_neg_integer) :: [tuple] | :"$end_of_table"
  def dirty_slot(table, slot), do: Slot.read(table, slot)

  # --- events ---

  @spec subscribe(what :: term) :: {:ok, node} | {:error, term}
  def subscribe(what), do: Events.subscribe(self(), what)
  @spec unsubscribe(what :: term) :: {:ok, node} | {:error, term}
  def unsubscribe(what), do: Events.unsubscribe(self(), what)
  @spec report_event(term) :: :ok
  def report_event(event), do: Events.report({:mnesia_user, event})

  # --- what a search does; with or without a transaction ---

  @spec explain(table, list) :: tuple
  def explain(table, spec), do: Explain.plan(table, spec)
  @spec analyze(table, list) :: {non_neg_integer, non_neg_integer, non_neg_integer}
  def analyze(table, spec), do: Explain.run(table, spec)
  @spec test_spec(tuple, list) :: {:ok, term} | {:error, term}
  def test_spec(record, spec), do: Explain.test(record, spec)

  # --- schema ---

  @spec create_table(table, list) :: change
  def create_table(table, options), do: Tables.create_table(table, options)
  @spec refuse_change(reason :: term) :: {:aborted, term}
  def refuse_change(reason), do: Schema.refuse(reason)
  @spec delete_table(table) :: change
  def delete_table(table), do: Tables.delete_table(table)
  @spec clear_table(table) :: change
  def clear_table(table), do: Tables.clear_table(table)
  @spec add_table_copy(table, node, storage :: atom) :: change
  def add_table_copy(table, node, type), do: Copies.add_table_copy(table, node, type)
  @spec del_table_copy(table, node) :: change
  def del_table_copy(table, node), do: Copies.del_table_copy(table, node)
  @spec move_table_copy(table, node, node) :: change
  def move_table_copy(table, from, to), do: Copies.move_table_copy(table, from, to)

  @spec change_table_copy_type(table, node, storage :: atom) :: change
  def change_table_copy_type(table, node, type),
    do: Copies.change_table_copy_type(table, node, type)

  @spec transform_table(table, (tuple -> tuple) | :ignore, [atom]) :: change
  def transform_table(table, fun, attributes), do: Change.transform(table, fun, attributes)

  @spec transform_table(table, (tuple -> tuple) | :ignore, [atom], record_name :: atom) :: change
  def transform_table(table, fun, attributes, record_name),
    do: Change.transform(table, fun, attributes, record_name)

  @spec add_table_index(table, attribute | [attribute], list) :: change
  def add_table_index(table, attributes, options \\ []),
    do: Change.add_index(table, attributes, options)

  @spec del_table_index(table, attribute | [attribute]) :: change
  def del_table_index(table, attributes), do: Change.del_index(table, attributes)
  @spec change_table_access_mode(table, :read_only | :read_write) :: change
  def change_table_access_mode(table, mode), do: Change.access_mode(table, mode)
  @spec change_table_load_order(table, integer) :: change
  def change_table_load_order(table, order), do: Change.load_order(table, order)
  @spec change_table_majority(table, boolean) :: change
  def change_table_majority(table, majority), do: Change.majority(table, majority)
  @spec read_table_property(table, term) :: tuple
  def read_table_property(table, key), do: Change.read_property(table, key)
  @spec write_table_property(table, tuple) :: change
  def write_table_property(table, property), do: Change.write_property(table, property)
  @spec delete_table_property(table, term) :: change
  def delete_table_property(table, key), do: Change.delete_property(table, key)
  @spec change_table_frag(table, term) :: change
  def change_table_frag(table, change), do: FragmentChange.change(table, change)
  @spec fragmented?(table) :: boolean
  def fragmented?(table), do: Fragments.state(table) != nil
  @spec dump_tables([table]) :: change
  def dump_tables(tables), do: Change.dump_tables(tables)
  @spec force_load_table(table) :: :yes | {:error, term}
  def force_load_table(table), do: Change.force_load(table)
  @spec set_master_nodes([node]) :: :ok | {:error, term}
  def set_master_nodes(nodes), do: Change.master_nodes(nodes)
  @spec set_master_nodes(table, [node]) :: :ok | {:error, term}
  def set_master_nodes(table, nodes), do: Change.master_nodes(table, nodes)

  @spec wait_for_tables([table], timeout) :: :ok | {:timeout, [table]} | {:error, term}
  def wait_for_tables(tables, timeout), do: Nodes.wait_for_tables(tables, timeout)
  @spec create_schema([node]) :: :ok | {:error, term}
  def create_schema(nodes), do: Nodes.create_schema(nodes)
  @spec delete_schema([node]) :: :ok | {:error, term}
  def delete_schema(nodes), do: Nodes.delete_schema(nodes)
  @spec change_config(atom, term) :: {:ok, term} | {:error, term}
  def change_config(key, value), do: Nodes.change_config(key, value)

  # --- the system ---

  @spec start(settings :: term, (() -> result)) :: result | {:error, term} when result: term
  def start(settings, start), do: Settings.start(settings, start)
  @spec kill() :: :ok
  def kill, do: Settings.kill()
  @doc "The same on all nodes: the answers, and the nodes that gave none."
  @spec kill_all() :: {[:ok], [node]}
  def kill_all, do: {[kill()], []}
  @spec set_debug_level(level :: term) :: atom | {:error, term}
  def set_debug_level(level), do: Settings.debug(level)

  @spec variable?(term) :: boolean
  def variable?(term), do: Pattern.variable?(term)

  @spec modules() :: [module]
  def modules do
    {:ok, modules} = :application.get_key(:remnesia, :modules)
    modules
  end

  # --- information ---

  @spec table_info(table, item :: term) :: term
  def table_info(table, item), do: Info.table(table, item)
  @spec raw_table_info(table, :size | :memory) :: non_neg_integer
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

  @spec system_info(item :: term) :: term
  def system_info(item), do: Info.system(item)
  @spec info() :: :ok
  def info, do: Report.info()
  @spec schema() :: :ok
  def schema, do: Report.schema()
  @spec schema(table) :: :ok
  def schema(table), do: Report.schema(table)
  @spec error_description(reason :: term) :: term
  def error_description(reason), do: Reason.describe(reason)
end
