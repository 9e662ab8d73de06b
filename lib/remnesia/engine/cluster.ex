defmodule Remnesia.Engine.Cluster do
  @moduledoc false

  # Several nodes: OTP's Mnesia is the engine, and Remnesia.Backend its storage. A function here is the one of Mnesia with the storage types
  # translated (Remnesia.Engine.Cluster.Storage); what only the `Remnesia.*` API has is made of Mnesia's functions (Remnesia.Engine.Cluster.Bulk).
  #
  # Mnesia's reasons are the answers. A read outside transactions that finds its table here goes to the native table itself.

  alias Remnesia.Engine.Cluster.{Bulk, Info, Several, Start, Storage}
  alias Remnesia.Engine.Cstruct
  alias Remnesia.Engine.Local
  alias Remnesia.Engine.Local.{Disc, Explain, Pattern, Settings}
  alias Remnesia.Native

  # --- transactions ---

  def transaction(fun), do: :mnesia.transaction(fun)
  def transaction(fun, more), do: :mnesia.transaction(fun, more)
  def transaction(fun, arguments, retries), do: :mnesia.transaction(fun, arguments, retries)

  def transaction(fun, arguments, retries, :remnesia),
    do: :mnesia.transaction(fun, arguments, retries)

  # With an access module Mnesia has the form that leaves by exit alone.
  def transaction(fun, arguments, retries, access) do
    {:atomic, :mnesia.activity({:transaction, retries}, fun, arguments, access)}
  catch
    :exit, {:aborted, reason} -> {:aborted, reason}
  end

  # On every node that has a copy it is committed, and on the disc of this one.
  def sync_transaction(fun), do: fun |> :mnesia.sync_transaction() |> durable()
  def sync_transaction(fun, more), do: fun |> :mnesia.sync_transaction(more) |> durable()

  def sync_transaction(fun, arguments, retries),
    do: fun |> :mnesia.sync_transaction(arguments, retries) |> durable()

  defp durable({:atomic, _value} = result) do
    with false <- :mnesia.is_transaction(), {:"$error", reason} <- Disc.sync() do
      {:aborted, reason}
    else
      _done -> result
    end
  end

  defp durable(result), do: result

  def dirty_activity(kind, fun, arguments, :remnesia), do: apply(:mnesia, kind, [fun, arguments])

  def dirty_activity(kind, fun, arguments, access),
    do: :mnesia.activity(kind, fun, arguments, access)

  # The name of the door's own access module.
  def get_activity_id do
    case :mnesia.get_activity_id() do
      {:mnesia, id, store} -> {:remnesia, id, store}
      other -> other
    end
  end

  @doc "Fragments are Mnesia's own."
  def access_module(:remnesia_frag), do: :mnesia_frag
  def access_module(module), do: module

  def put_activity_id({:remnesia, id, store}), do: :mnesia.put_activity_id({:mnesia, id, store})
  def put_activity_id(other), do: :mnesia.put_activity_id(other)

  def in_activity(id, store, :all_keys, [table]), do: :mnesia.all_keys(id, store, table, :read)

  def in_activity(id, store, :index_read, [table, value, attribute]),
    do: :mnesia.index_read(id, store, table, value, attribute, :read)

  def in_activity(id, store, operation, arguments),
    do: apply(:mnesia, operation, [id, store | arguments])

  def is_transaction, do: :mnesia.is_transaction()

  # --- access within a transaction ---

  defdelegate read(table, key, lock), to: :mnesia
  defdelegate write(table, record, lock), to: :mnesia
  defdelegate delete(table, key, lock), to: :mnesia
  defdelegate delete_object(table, record, lock), to: :mnesia
  defdelegate match_object(table, pattern, lock), to: :mnesia
  defdelegate select(table, spec, lock), to: :mnesia
  defdelegate select(table, spec, limit, lock), to: :mnesia
  defdelegate select(continuation), to: :mnesia
  defdelegate index_read(table, value, attribute), to: :mnesia
  defdelegate index_match_object(table, pattern, attribute, lock), to: :mnesia
  defdelegate all_keys(table), to: :mnesia
  defdelegate first(table), to: :mnesia
  defdelegate last(table), to: :mnesia
  defdelegate next(table, key), to: :mnesia
  defdelegate prev(table, key), to: :mnesia
  defdelegate lock(item, lock), to: :mnesia

  def fold(:left, fun, acc, table, lock), do: :mnesia.foldl(fun, acc, table, lock)
  def fold(:right, fun, acc, table, lock), do: :mnesia.foldr(fun, acc, table, lock)

  def fold(id, store, :left, fun, acc, table, lock),
    do: :mnesia.foldl(id, store, fun, acc, table, lock)

  def fold(id, store, :right, fun, acc, table, lock),
    do: :mnesia.foldr(id, store, fun, acc, table, lock)

  defdelegate select_in_order(table, spec, order, limit, offset, lock), to: Bulk
  defdelegate count(table, spec, lock), to: Bulk
  defdelegate delete_all(table, spec), to: Bulk
  defdelegate update_all(table, spec, fun), to: Bulk
  defdelegate last_number(table), to: Bulk

  def lock_table(table, lock), do: ok(:mnesia.lock({:table, table}, lock))
  def lock_record(table, key, lock), do: ok(:mnesia.lock({:record, table, key}, lock))
  def lock_global(term, lock), do: ok(:mnesia.lock({:global, term, [node()]}, lock))

  defp ok(_nodes), do: :ok

  # --- access without one ---

  def dirty_read(table, key) do
    if here?(table) do
      case Native.read(nil, {:mnesia, table}, key, :read) do
        records when is_list(records) -> records
        _gone -> :mnesia.dirty_read(table, key)
      end
    else
      :mnesia.dirty_read(table, key)
    end
  end

  # Mnesia reads the copy here: it is complete. Whether it is a native one the native side says.
  defp here?(table) do
    :ets.lookup_element(:mnesia_gvar, {table, :where_to_read}, 2) == node()
  rescue
    ArgumentError -> false
  end

  def dirty_select(table, spec) when is_list(spec) do
    with true <- here?(table),
         {:done, records} <- Native.select(nil, {:mnesia, table}, spec, :read, 0) do
      records
    else
      _elsewhere_or_long -> :mnesia.dirty_select(table, spec)
    end
  end

  def dirty_select(table, spec), do: :mnesia.dirty_select(table, spec)

  defdelegate dirty_write(table, record), to: :mnesia
  defdelegate dirty_delete(table, key), to: :mnesia
  defdelegate dirty_delete_object(table, record), to: :mnesia
  defdelegate dirty_update_counter(table, key, increment), to: :mnesia
  defdelegate dirty_match_object(table, pattern), to: :mnesia
  defdelegate dirty_index_match_object(table, pattern, attribute), to: :mnesia
  defdelegate dirty_all_keys(table), to: :mnesia
  defdelegate dirty_first(table), to: :mnesia
  defdelegate dirty_last(table), to: :mnesia
  defdelegate dirty_next(table, key), to: :mnesia
  defdelegate dirty_prev(table, key), to: :mnesia
  defdelegate dirty_slot(table, slot), to: :mnesia

  def dirty_index_read(table, value, attribute) do
    with true <- here?(table),
         position when is_integer(position) <- position(table, attribute),
         false <- :mnesia.has_var(value),
         {:done, records} <- Native.index_read(nil, {:mnesia, table}, value, position) do
      records
    else
      _elsewhere_or_long -> :mnesia.dirty_index_read(table, value, attribute)
    end
  end

  defp position(_table, position) when is_integer(position), do: position

  defp position(table, attribute) do
    index = Enum.find_index(Info.table(table, :attributes), &(&1 == attribute))
    if index, do: index + 2
  end

  # --- events ---

  defdelegate subscribe(what), to: :mnesia
  defdelegate unsubscribe(what), to: :mnesia
  defdelegate report_event(event), to: :mnesia

  # --- what a search does ---

  # Of a table of the backend that is here. Mnesia locks the table unless the key is bound in the head.
  def explain(table, spec) do
    with plan when elem(plan, 0) != :bad_spec <- Explain.plan({:mnesia, table}, spec),
         do: put_elem(plan, 2, if(key_bound?(spec), do: :record, else: :table))
  end

  defp key_bound?([{head, _guards, _body}]) when is_tuple(head) and tuple_size(head) > 1,
    do: not :mnesia.has_var(elem(head, 1))

  defp key_bound?(_spec), do: false

  def analyze(table, spec), do: Explain.run({:mnesia, table}, spec)

  # --- what is the same for both engines ---

  defdelegate sync(), to: Local
  defdelegate disc_metrics(), to: Local
  defdelegate test_spec(record, spec), to: Explain, as: :test
  defdelegate variable?(term), to: Pattern
  defdelegate start(settings, start), to: Settings

  @spec abort(term) :: no_return
  def abort({:aborted, _reason} = reason), do: exit(reason)
  def abort(reason), do: exit({:aborted, reason})

  def modules do
    {:ok, modules} = :application.get_key(:remnesia, :modules)
    modules
  end

  # --- schema ---

  @unique "a unique index is not available in a cluster: nodes would have to agree on each value"

  # Where Mnesia would say so in the middle of a change.
  def refuse_change(reason),
    do:
      if(:mnesia.is_transaction(), do: {:aborted, :nested_transaction}, else: {:aborted, reason})

  def create_table(table, options) do
    with :ok <- indexes(options),
         :ok <- active(table, options),
         {:ok, options} <- Several.options(table, options),
         do: Storage.usual(:mnesia.create_table(table, Storage.options(options)))
  end

  # As Mnesia refuses tables on the disc of a node that does not run; those of plug-ins it lets pass.
  defp active(table, options) do
    with [_ | _] = nodes <- Storage.native_nodes(options),
         [node | _] <- nodes -- :mnesia.system_info(:running_db_nodes) do
      table |> Cstruct.read!(options) |> Cstruct.check!()
      {:aborted, {:not_active, table, node}}
    else
      _all_run -> :ok
    end
  catch
    :exit, {:aborted, reason} -> {:aborted, reason}
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

  def add_table_index(table, attributes, options \\ [])
  def add_table_index(_table, _attributes, [_ | _]), do: not_available(@unique)
  def add_table_index(table, [_, _ | _] = attributes, []), do: Several.add(table, attributes)

  def add_table_index(table, attributes, []),
    do: Storage.usual(:mnesia.add_table_index(table, one(attributes)))

  def del_table_index(table, [_, _ | _] = attributes), do: Several.drop(table, attributes)

  def del_table_index(table, attributes),
    do: Storage.usual(:mnesia.del_table_index(table, one(attributes)))

  defp one([attribute]), do: attribute
  defp one(attribute), do: attribute

  def add_table_copy(table, node, type),
    do: Storage.usual(:mnesia.add_table_copy(table, node, type_of(table, type)))

  def change_table_copy_type(table, node, type),
    do: Storage.usual(:mnesia.change_table_copy_type(table, node, type_of(table, type)))

  defp type_of(:schema, type), do: type
  defp type_of(_table, type), do: Storage.type(type)

  def delete_table(table), do: Storage.usual(:mnesia.delete_table(table))
  def clear_table(table), do: Storage.usual(:mnesia.clear_table(table))
  def del_table_copy(table, node), do: Storage.usual(:mnesia.del_table_copy(table, node))
  def move_table_copy(table, a, b), do: Storage.usual(:mnesia.move_table_copy(table, a, b))
  defdelegate transform_table(table, fun, attributes), to: :mnesia
  defdelegate transform_table(table, fun, attributes, record_name), to: :mnesia
  defdelegate change_table_access_mode(table, mode), to: :mnesia
  defdelegate change_table_load_order(table, order), to: :mnesia
  defdelegate change_table_majority(table, majority), to: :mnesia
  defdelegate read_table_property(table, key), to: :mnesia
  defdelegate write_table_property(table, property), to: :mnesia
  defdelegate delete_table_property(table, key), to: :mnesia
  defdelegate change_table_frag(table, change), to: :mnesia
  def dump_tables(tables), do: Storage.usual(:mnesia.dump_tables(tables))
  defdelegate force_load_table(table), to: :mnesia
  defdelegate set_master_nodes(nodes), to: :mnesia
  defdelegate set_master_nodes(table, nodes), to: :mnesia
  defdelegate wait_for_tables(tables, timeout), to: :mnesia
  defdelegate create_schema(nodes), to: Start
  defdelegate delete_schema(nodes), to: Start
  defdelegate change_config(key, value), to: :mnesia

  # --- the system ---

  # Mnesia first: its tables are ours.
  def kill do
    :mnesia.lkill()
    Application.stop(:remnesia)
    :ok
  end

  defdelegate set_debug_level(level), to: :mnesia

  # --- information ---

  def table_info(table, item), do: Info.table(table, item)
  defdelegate definition(table), to: Info
  def table?(table), do: table == :schema or definition(table) != nil
  def fragmented?(table), do: :mnesia.table_info(table, :frag_properties) != []
  def raw_table_info(table, item), do: :mnesia.raw_table_info(table, item)
  defdelegate system_info(item), to: :mnesia
  defdelegate info(), to: :mnesia
  defdelegate schema(), to: :mnesia
  defdelegate schema(table), to: :mnesia
  defdelegate error_description(reason), to: :mnesia
end
