defmodule Remnesia.Engine.Cluster do
  @moduledoc false

  # Several nodes: OTP's Mnesia is the engine, and Remnesia.Backend its storage. A function here is the one of Mnesia with the storage types
  # translated (Remnesia.Engine.Cluster.Storage); what only the `Remnesia.*` API has is made of Mnesia's functions (Remnesia.Engine.Cluster.Bulk).
  #
  # Mnesia's reasons are the answers. A read outside transactions that finds its table here goes to the native table itself.

  alias Remnesia.Engine
  alias Remnesia.Engine.Cluster
  alias Remnesia.Engine.Cluster.{Bulk, Info, Near, Nodes, Several, Start, Storage, Transform}
  alias Remnesia.Engine.Cstruct
  alias Remnesia.Engine.Local
  alias Remnesia.Engine.Local.{Disc, Explain, Pattern, Settings}

  # --- transactions ---

  @spec transaction(fun) :: Engine.result(term)
  def transaction(fun), do: :mnesia.transaction(fun)
  @spec transaction(fun, [term] | Engine.retries()) :: Engine.result(term)
  def transaction(fun, more), do: :mnesia.transaction(fun, more)
  @spec transaction(fun, [term], Engine.retries()) :: Engine.result(term)
  def transaction(fun, arguments, retries), do: :mnesia.transaction(fun, arguments, retries)

  @spec transaction(fun, [term], Engine.retries(), access :: module) :: Engine.result(term)
  def transaction(fun, arguments, retries, :remnesia),
    do: :mnesia.transaction(fun, arguments, retries)

  # With an access module Mnesia has the form that leaves by exit alone.
  def transaction(fun, arguments, retries, access) do
    {:atomic, :mnesia.activity({:transaction, retries}, fun, arguments, access_module(access))}
  catch
    :exit, {:aborted, reason} -> {:aborted, reason}
  end

  # On every node that has a copy it is committed, and on the disc of this one.
  @spec sync_transaction(fun) :: Engine.result(term)
  def sync_transaction(fun), do: fun |> :mnesia.sync_transaction() |> durable()
  @spec sync_transaction(fun, [term] | Engine.retries()) :: Engine.result(term)
  def sync_transaction(fun, more), do: fun |> :mnesia.sync_transaction(more) |> durable()

  @spec sync_transaction(fun, [term], Engine.retries()) :: Engine.result(term)
  def sync_transaction(fun, arguments, retries),
    do: fun |> :mnesia.sync_transaction(arguments, retries) |> durable()

  @spec sync_transaction(fun, [term], Engine.retries(), access :: module) :: Engine.result(term)
  def sync_transaction(fun, arguments, retries, :remnesia),
    do: sync_transaction(fun, arguments, retries)

  def sync_transaction(fun, arguments, retries, access) do
    kind = {:sync_transaction, retries}
    durable({:atomic, :mnesia.activity(kind, fun, arguments, access_module(access))})
  catch
    :exit, {:aborted, reason} -> {:aborted, reason}
  end

  defp durable({:atomic, _value} = result) do
    with false <- :mnesia.is_transaction(), {:"$error", reason} <- Disc.sync() do
      {:aborted, reason}
    else
      _done -> result
    end
  end

  defp durable(result), do: result

  # An `ets` activity would look for a native table among those of the VM.
  @spec dirty_activity(Engine.kind(), fun, [term], access :: module) :: term
  def dirty_activity(:ets, fun, arguments, access),
    do: dirty_activity(:async_dirty, fun, arguments, access)

  def dirty_activity(kind, fun, arguments, :remnesia), do: apply(:mnesia, kind, [fun, arguments])

  def dirty_activity(kind, fun, arguments, access),
    do: :mnesia.activity(kind, fun, arguments, access_module(access))

  # The name of the door's own access module.
  @spec get_activity_id() :: {module, tuple, term} | :undefined
  def get_activity_id do
    case :mnesia.get_activity_id() do
      {:mnesia, id, store} -> {:remnesia, id, store}
      {:mnesia_frag, id, store} -> {:remnesia_frag, id, store}
      other -> other
    end
  end

  @doc "Fragments are Mnesia's own."
  @spec access_module(module) :: module
  def access_module(:remnesia_frag), do: :mnesia_frag
  def access_module(module), do: module

  @spec put_activity_id({module, tuple, term} | :undefined) :: term
  def put_activity_id({:remnesia, id, store}), do: :mnesia.put_activity_id({:mnesia, id, store})

  def put_activity_id({:remnesia_frag, id, store}),
    do: :mnesia.put_activity_id({:mnesia_frag, id, store})

  def put_activity_id(other), do: :mnesia.put_activity_id(other)

  @spec in_activity(tuple, term, operation :: atom, [term]) :: term
  def in_activity(id, store, :all_keys, [table]), do: :mnesia.all_keys(id, store, table, :read)

  def in_activity(id, store, :index_read, [table, value, attribute]),
    do: :mnesia.index_read(id, store, table, value, attribute, :read)

  def in_activity(id, store, operation, arguments),
    do: apply(:mnesia, operation, [id, store | arguments])

  @spec is_transaction() :: boolean
  def is_transaction, do: :mnesia.is_transaction()

  # --- access within a transaction ---

  @spec read(Engine.table(), term, Engine.lock()) :: [tuple]
  defdelegate read(table, key, lock), to: :mnesia
  @spec write(Engine.table(), tuple, Engine.lock()) :: :ok
  defdelegate write(table, record, lock), to: :mnesia
  @spec delete(Engine.table(), term, Engine.lock()) :: :ok
  defdelegate delete(table, key, lock), to: :mnesia
  @spec delete_object(Engine.table(), tuple, Engine.lock()) :: :ok
  defdelegate delete_object(table, record, lock), to: :mnesia
  @spec match_object(Engine.table(), tuple, Engine.lock()) :: [tuple]
  defdelegate match_object(table, pattern, lock), to: :mnesia
  @spec select(Engine.table(), list, Engine.lock()) :: [term]
  defdelegate select(table, spec, lock), to: :mnesia
  @spec select(Engine.table(), list, pos_integer, Engine.lock()) :: Engine.chunk()
  defdelegate select(table, spec, limit, lock), to: :mnesia
  @spec select(Engine.continuation()) :: Engine.chunk()
  defdelegate select(continuation), to: :mnesia
  @spec index_read(Engine.table(), term, Engine.attribute()) :: [tuple]
  defdelegate index_read(table, value, attribute), to: :mnesia
  @spec index_match_object(Engine.table(), tuple, Engine.attribute(), Engine.lock()) :: [tuple]
  defdelegate index_match_object(table, pattern, attribute, lock), to: :mnesia
  @spec all_keys(Engine.table()) :: [term]
  defdelegate all_keys(table), to: :mnesia
  @spec first(Engine.table()) :: term
  defdelegate first(table), to: :mnesia
  @spec last(Engine.table()) :: term
  defdelegate last(table), to: :mnesia
  @spec next(Engine.table(), term) :: term
  defdelegate next(table, key), to: :mnesia
  @spec prev(Engine.table(), term) :: term
  defdelegate prev(table, key), to: :mnesia
  @spec lock(item :: term, Engine.lock()) :: term
  defdelegate lock(item, lock), to: :mnesia

  @spec fold(:left | :right, (tuple, acc -> acc), acc, Engine.table(), Engine.lock()) :: acc
        when acc: term
  def fold(:left, fun, acc, table, lock), do: :mnesia.foldl(fun, acc, table, lock)
  def fold(:right, fun, acc, table, lock), do: :mnesia.foldr(fun, acc, table, lock)

  @spec fold(tuple, term, :left | :right, (tuple, acc -> acc), acc, Engine.table(), Engine.lock()) ::
          acc
        when acc: term
  def fold(id, store, :left, fun, acc, table, lock),
    do: :mnesia.foldl(id, store, fun, acc, table, lock)

  def fold(id, store, :right, fun, acc, table, lock),
    do: :mnesia.foldr(id, store, fun, acc, table, lock)

  @spec select_in_order(
          Engine.table(),
          list,
          [integer],
          non_neg_integer,
          non_neg_integer,
          Engine.lock()
        ) ::
          [term]
  defdelegate select_in_order(table, spec, order, limit, offset, lock), to: Bulk
  @spec count(Engine.table(), list, Engine.lock()) :: non_neg_integer
  defdelegate count(table, spec, lock), to: Bulk
  @spec delete_all(Engine.table(), list) :: non_neg_integer
  defdelegate delete_all(table, spec), to: Bulk
  @spec update_all(Engine.table(), list, (tuple -> tuple)) :: non_neg_integer
  defdelegate update_all(table, spec, fun), to: Bulk
  @spec last_number(Engine.table()) :: number | nil
  defdelegate last_number(table), to: Bulk

  @spec lock_table(Engine.table(), Engine.lock()) :: :ok
  def lock_table(table, lock), do: ok(:mnesia.lock({:table, table}, lock))
  @spec lock_record(Engine.table(), term, Engine.lock()) :: :ok
  def lock_record(table, key, lock), do: ok(:mnesia.lock({:record, table, key}, lock))
  @spec lock_global(term, Engine.lock()) :: :ok
  # Nobody else has it on any node, and nobody can write only sometimes.
  def lock_global(term, :sticky_write), do: lock_global(term, :write)

  def lock_global(term, lock),
    do: ok(:mnesia.lock({:global, term, :mnesia.system_info(:running_db_nodes)}, lock))

  defp ok(_nodes), do: :ok

  # --- access without one ---

  @spec dirty_read(Engine.table(), term) :: [tuple]
  defdelegate dirty_read(table, key), to: Near
  @spec dirty_select(Engine.table(), list) :: [term]
  defdelegate dirty_select(table, spec), to: Near
  @spec dirty_write(Engine.table(), tuple) :: :ok
  defdelegate dirty_write(table, record), to: :mnesia
  @spec dirty_delete(Engine.table(), term) :: :ok
  defdelegate dirty_delete(table, key), to: :mnesia
  @spec dirty_delete_object(Engine.table(), tuple) :: :ok
  defdelegate dirty_delete_object(table, record), to: :mnesia
  @spec dirty_update_counter(Engine.table(), term, integer) :: integer
  defdelegate dirty_update_counter(table, key, increment), to: :mnesia

  @spec dirty_match_object(Engine.table(), tuple) :: [tuple]
  defdelegate dirty_match_object(table, pattern), to: Near
  @spec dirty_index_match_object(Engine.table(), tuple, Engine.attribute()) :: [tuple]
  defdelegate dirty_index_match_object(table, pattern, attribute), to: :mnesia
  @spec dirty_all_keys(Engine.table()) :: [term]
  defdelegate dirty_all_keys(table), to: :mnesia
  @spec dirty_first(Engine.table()) :: term
  defdelegate dirty_first(table), to: :mnesia
  @spec dirty_last(Engine.table()) :: term
  defdelegate dirty_last(table), to: :mnesia
  @spec dirty_next(Engine.table(), term) :: term
  defdelegate dirty_next(table, key), to: :mnesia
  @spec dirty_prev(Engine.table(), term) :: term
  defdelegate dirty_prev(table, key), to: :mnesia
  @spec dirty_slot(Engine.table(), non_neg_integer) :: [tuple] | :"$end_of_table"
  defdelegate dirty_slot(table, slot), to: :mnesia

  @spec dirty_index_read(Engine.table(), term, Engine.attribute()) :: [tuple]
  defdelegate dirty_index_read(table, value, attribute), to: Near

  # --- events ---

  @spec subscribe(what :: term) :: {:ok, node} | {:error, term}
  defdelegate subscribe(what), to: :mnesia
  @spec unsubscribe(what :: term) :: {:ok, node} | {:error, term}
  defdelegate unsubscribe(what), to: :mnesia
  @spec report_event(term) :: :ok
  defdelegate report_event(event), to: :mnesia

  # --- what a search does ---

  @spec explain(Engine.table(), list) :: tuple
  defdelegate explain(table, spec), to: Cluster.Explain, as: :plan

  @spec analyze(Engine.table(), list) :: {non_neg_integer, non_neg_integer, non_neg_integer}
  defdelegate analyze(table, spec), to: Cluster.Explain, as: :run

  # --- what is the same for both engines ---

  @spec sync() :: :ok | {:error, term}
  defdelegate sync(), to: Local
  # Ours, and Mnesia's own.
  @spec dump_log() :: :dumped | {:error, term}
  def dump_log, do: with(:ok <- sync(), do: :mnesia.dump_log())
  @spec sync_log() :: :ok | {:error, term}
  def sync_log, do: with(:ok <- sync(), do: :mnesia.sync_log())
  @spec compact() :: {:ok, {non_neg_integer, non_neg_integer}} | {:error, term}
  defdelegate compact(), to: Local
  @spec disc_metrics() :: %{atom => integer} | nil
  defdelegate disc_metrics(), to: Local
  @spec test_spec(tuple, list) :: {:ok, term} | {:error, term}
  defdelegate test_spec(record, spec), to: Explain, as: :test
  @spec variable?(term) :: boolean
  defdelegate variable?(term), to: Pattern
  @spec start(settings :: term, (() -> result)) :: result | :ok | {:error, term} when result: term
  def start(settings, start), do: settings |> Settings.start(start) |> Start.with_mnesia()

  @spec abort(term) :: no_return
  def abort({:aborted, _reason} = reason), do: exit(reason)
  def abort(reason), do: exit({:aborted, reason})

  @spec modules() :: [module]
  def modules do
    {:ok, modules} = :application.get_key(:remnesia, :modules)
    modules
  end

  # --- schema ---

  @unique "a unique index is not available in a cluster: nodes would have to agree on each value"

  # Where Mnesia would say so in the middle of a change.
  @spec refuse_change(reason :: term) :: {:aborted, term}
  def refuse_change(reason),
    do:
      if(:mnesia.is_transaction(), do: {:aborted, :nested_transaction}, else: {:aborted, reason})

  @spec create_table(Engine.table(), list) :: Engine.change()
  def create_table(table, options) do
    with :ok <- indexes(options),
         :ok <- placed(table, options),
         {:ok, options} <- Several.options(table, options),
         do: Storage.usual(:mnesia.create_table(table, Storage.options(options)))
  end

  # As Mnesia refuses tables on the disc of a node that does not run, or has no disc; those of plug-ins it lets pass.
  defp placed(table, options) do
    with :yes <- :mnesia.system_info(:is_running),
         false <- is_atom(table) and table?(table),
         [_ | _] = copies <- Storage.native_copies(options),
         {:refused, reason} <- refusal(table, copies) do
      table |> Cstruct.read!(options) |> Cstruct.check!()
      refuse_change(reason)
    else
      _possible -> :ok
    end
  catch
    :exit, {:aborted, reason} -> {:aborted, reason}
  end

  defp refusal(table, copies) do
    running = :mnesia.system_info(:running_db_nodes)

    cond do
      copy = Enum.find(copies, fn {_type, node} -> node not in running end) ->
        {:refused, {:not_active, table, elem(copy, 1)}}

      copy = Enum.find(copies, fn {_type, node} -> not disc?(node) end) ->
        {:refused, {:bad_type, table, elem(copy, 0), elem(copy, 1)}}

      true ->
        :possible
    end
  end

  # What Mnesia has no word for.
  defp indexes(options) when is_list(options) do
    cond do
      List.improper?(options) or not Enum.all?(options, &match?({_, _}, &1)) -> :ok
      List.keymember?(options, :unique, 0) -> not_available(@unique)
      true -> :ok
    end
  end

  defp indexes(_options), do: :ok

  defp not_available(text), do: {:aborted, {:not_available, text}}

  @spec add_table_index(Engine.table(), Engine.attribute() | [Engine.attribute()], list) ::
          Engine.change()
  def add_table_index(table, attributes, options \\ [])
  def add_table_index(_table, _attributes, unique: true), do: not_available(@unique)

  def add_table_index(table, _attributes, options) when options not in [[], [unique: false]],
    do: refuse_change({:badarg, table, options})

  def add_table_index(table, [_, _ | _] = attributes, _), do: Several.add(table, attributes)

  def add_table_index(table, attributes, _options),
    do: Storage.usual(:mnesia.add_table_index(table, one(attributes)))

  @spec del_table_index(Engine.table(), Engine.attribute() | [Engine.attribute()]) ::
          Engine.change()
  def del_table_index(table, [_, _ | _] = attributes), do: Several.drop(table, attributes)

  def del_table_index(table, attributes),
    do: Storage.usual(:mnesia.del_table_index(table, one(attributes)))

  defp one([attribute]), do: attribute
  defp one(attribute), do: attribute

  @spec add_table_copy(Engine.table(), node, storage :: atom) :: Engine.change()
  def add_table_copy(table, node, type),
    do: copies(:mnesia.add_table_copy(table, node, type_of(table, type)))

  @spec change_table_copy_type(Engine.table(), node, storage :: atom) :: Engine.change()
  def change_table_copy_type(table, node, type),
    do: copies(:mnesia.change_table_copy_type(table, node, type_of(table, type)))

  # A node that is killed before this is on its disc could not merge its schema with that of others: OTP's merge knows no storage of plug-ins.
  defp copies({:atomic, _ok} = result) do
    if :mnesia.system_info(:use_dir), do: Nodes.dump_logs()
    result
  end

  defp copies(aborted), do: Storage.usual(aborted)

  defp type_of(:schema, type), do: type
  defp type_of(_table, type), do: Storage.type(type)

  @spec delete_table(Engine.table()) :: Engine.change()
  def delete_table(table), do: Storage.usual(:mnesia.delete_table(table))
  @spec clear_table(Engine.table()) :: Engine.change()
  def clear_table(table), do: Storage.usual(:mnesia.clear_table(table))
  @spec del_table_copy(Engine.table(), node) :: Engine.change()
  def del_table_copy(table, node), do: copies(:mnesia.del_table_copy(table, node))
  @spec move_table_copy(Engine.table(), node, node) :: Engine.change()
  def move_table_copy(table, a, b) do
    # Mnesia would keep the schema locked, and never answer.
    if b in :mnesia.system_info(:running_db_nodes) and not disc?(b) and on_disc?(table, a),
      do: refuse_change({:combine_error, table, ~c"has no disc", b}),
      else: copies(:mnesia.move_table_copy(table, a, b))
  end

  defp disc?(node), do: node in :mnesia.table_info(:schema, :disc_copies)

  defp on_disc?(table, node) do
    Enum.any?([:disc_copies, :disc_only_copies], &(node in Info.table(table, &1)))
  catch
    :exit, _no_table -> false
  end

  @spec transform_table(Engine.table(), (tuple -> tuple) | :ignore, [atom]) :: Engine.change()
  def transform_table(table, fun, attributes) do
    case definition(table) do
      %{record_name: name} ->
        change = &:mnesia.transform_table(table, &1, attributes)
        Transform.run(table, fun, attributes, name, change)

      nil ->
        :mnesia.transform_table(table, fun, attributes)
    end
  end

  @spec transform_table(Engine.table(), (tuple -> tuple) | :ignore, [atom], record_name :: atom) ::
          Engine.change()
  def transform_table(table, fun, attributes, record_name) do
    change = &:mnesia.transform_table(table, &1, attributes, record_name)
    Transform.run(table, fun, attributes, record_name, change)
  end

  @spec change_table_access_mode(Engine.table(), :read_only | :read_write) :: Engine.change()
  defdelegate change_table_access_mode(table, mode), to: :mnesia
  @spec change_table_load_order(Engine.table(), integer) :: Engine.change()
  defdelegate change_table_load_order(table, order), to: :mnesia
  @spec change_table_majority(Engine.table(), boolean) :: Engine.change()
  defdelegate change_table_majority(table, majority), to: :mnesia
  @spec read_table_property(Engine.table(), term) :: tuple
  defdelegate read_table_property(table, key), to: :mnesia
  @spec write_table_property(Engine.table(), tuple) :: Engine.change()
  defdelegate write_table_property(table, property), to: :mnesia
  @spec delete_table_property(Engine.table(), term) :: Engine.change()
  defdelegate delete_table_property(table, key), to: :mnesia
  @spec change_table_frag(Engine.table(), term) :: Engine.change()
  defdelegate change_table_frag(table, change), to: Cluster.Fragments, as: :change
  @spec dump_tables([Engine.table()]) :: Engine.change()
  def dump_tables(tables), do: Storage.usual(:mnesia.dump_tables(tables))
  @spec force_load_table(Engine.table()) :: :yes | {:error, term}
  defdelegate force_load_table(table), to: :mnesia
  @spec set_master_nodes([node]) :: :ok | {:error, term}
  defdelegate set_master_nodes(nodes), to: :mnesia
  @spec set_master_nodes(Engine.table(), [node]) :: :ok | {:error, term}
  defdelegate set_master_nodes(table, nodes), to: :mnesia

  @spec wait_for_tables([Engine.table()], timeout) ::
          :ok | {:timeout, [Engine.table()]} | {:error, term}
  defdelegate wait_for_tables(tables, timeout), to: :mnesia
  @spec create_schema([node]) :: :ok | {:error, term}
  defdelegate create_schema(nodes), to: Start
  @spec delete_schema([node]) :: :ok | {:error, term}
  defdelegate delete_schema(nodes), to: Start

  # Nodes that do not go together are refused before they are connected.
  @spec change_config(atom, term) :: {:ok, term} | {:error, term}
  def change_config(:extra_db_nodes, [_ | _] = nodes) do
    strange? = List.improper?(nodes) or not Enum.all?(nodes, &is_atom/1)

    with :ok <- if(strange?, do: :ok, else: Nodes.agree(nodes)),
         do: :mnesia.change_config(:extra_db_nodes, nodes)
  end

  def change_config(key, value), do: :mnesia.change_config(key, value)

  # --- the system ---

  # Mnesia first: its tables are ours.
  @spec kill() :: :ok
  def kill do
    Start.ending(fn ->
      :mnesia.lkill()
      Application.stop(:remnesia)
      :ok
    end)
  end

  @spec kill_all() :: {[:ok], [node]}
  def kill_all,
    do: :rpc.multicall(system_info(:running_db_nodes), :remnesia, :lkill, [])

  @spec set_debug_level(level :: term) :: atom | {:error, term}
  defdelegate set_debug_level(level), to: :mnesia

  # --- information ---

  @spec table_info(Engine.table(), item :: term) :: term
  def table_info(table, item), do: Info.table(table, item)
  @spec definition(Engine.table()) :: Remnesia.Engine.Cstruct.t() | nil
  defdelegate definition(table), to: Info
  @spec table?(term) :: boolean
  def table?(table), do: table == :schema or definition(table) != nil
  @spec fragmented?(Engine.table()) :: boolean
  def fragmented?(table), do: :mnesia.table_info(table, :frag_properties) != []
  @spec raw_table_info(Engine.table(), :size | :memory) :: non_neg_integer
  def raw_table_info(table, item), do: :mnesia.raw_table_info(table, item)
  @spec system_info(item :: term) :: term
  defdelegate system_info(item), to: :mnesia
  @spec info() :: :ok
  defdelegate info(), to: :mnesia
  @spec schema() :: :ok
  defdelegate schema(), to: :mnesia
  @spec schema(Engine.table()) :: :ok
  defdelegate schema(table), to: :mnesia
  @spec error_description(reason :: term) :: term
  defdelegate error_description(reason), to: :mnesia
end
