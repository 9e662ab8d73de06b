defmodule Remnesia.Mnesia.Tables do
  @moduledoc """
  Tables and the schema in `:remnesia`, by Mnesia's names.

  A change of the schema is a transaction of its own and answers `{:atomic, :ok}` or `{:aborted, reason}`; within another transaction
  the reason is `:nested_transaction`, while the database is stopped `{:node_not_running, node}`.
  """

  alias Remnesia.Engine

  @type table :: atom
  @type result :: {:atomic, :ok} | {:aborted, term}

  @doc """
  Creates a table of the name in the options.

      iex> :remnesia.create_table(name: :street)
      {:atomic, :ok}
      iex> :remnesia.create_table(name: :street)
      {:aborted, {:already_exists, :street}}
  """
  @spec create_table(keyword) :: result
  def create_table([_ | _] = options) do
    case List.keytake(options, :name, 0) do
      {{:name, table}, options} -> Engine.create_table(table, options)
      nil -> Engine.refuse_change({:badarg, :unknown, ~c"Missing key", :name, options})
    end
  end

  def create_table(options), do: {:aborted, {:badarg, options}}

  @doc """
  Creates a table.

  Options, those of Mnesia: `:attributes` (`[:key, :val]`), `:type` (`:set`, `:ordered_set`, `:bag`, and ours `:duplicate_bag`), `:index`, `:record_name`
  (the table's name), `:ram_copies` (`[node()]`), `:disc_copies`, `:disc_only_copies`, `:access_mode`, `:load_order`, `:majority`,
  `:local_content`, `:storage_properties`, `:user_properties`, `:frag_properties` (see `:remnesia_frag`); and `:storage_type`, one word for a table that is here only.

      iex> :remnesia.create_table(:street, attributes: [:name, :city], index: [:city])
      {:atomic, :ok}
      iex> :remnesia.create_table(:square, attributes: [:name])
      {:aborted, {:bad_type, :square, {:attributes, [:name]}}}
  """
  @spec create_table(table, keyword) :: result
  def create_table(table, options), do: Engine.create_table(table, options)

  @doc """
  Deletes a table.

      iex> :remnesia.delete_table(:nowhere)
      {:aborted, {:no_exists, :nowhere}}
  """
  @spec delete_table(table) :: result
  def delete_table(table), do: Engine.delete_table(table)

  @doc """
  Deletes all records of a table. Within a transaction it aborts that.

      iex> :remnesia.clear_table(:hits)
      {:atomic, :ok}
  """
  @spec clear_table(table) :: result
  def clear_table(table), do: Engine.clear_table(table)

  @doc """
  Changes all records of a table by a function, and its attributes. The function gets a record and answers one with the same key. If it fails for one of
  them, `{"Bad transform function", table, fun, node, reason}`, nothing is changed. `:ignore` changes the attributes' names only.

      iex> :remnesia.transform_table(:hits, fn {:hits, page, n} -> {:hits, page, n * 2} end, [:page, :double])
      {:atomic, :ok}
  """
  @spec transform_table(table, (tuple -> tuple) | :ignore, [atom]) :: result
  def transform_table(table, fun, attributes), do: Engine.transform_table(table, fun, attributes)

  @doc """
  The same with a new record name.

      iex> :remnesia.transform_table(:hits, fn {:hits, page, n} -> {:hit, page, n} end, [:page, :count], :hit)
      {:atomic, :ok}
      iex> :remnesia.table_info(:hits, :record_name)
      :hit
  """
  @spec transform_table(table, (tuple -> tuple) | :ignore, [atom], atom) :: result
  def transform_table(table, fun, attributes, record_name),
    do: Engine.transform_table(table, fun, attributes, record_name)

  @doc """
  Adds an index on an attribute, given by name or position.

      iex> :remnesia.add_table_index(:city, :country)
      {:aborted, {:already_exists, :city, 3}}
  """
  @spec add_table_index(table, atom | pos_integer) :: result
  def add_table_index(table, attribute), do: Engine.add_table_index(table, attribute)

  @doc """
  Drops an index.

      iex> :remnesia.del_table_index(:city, :people)
      {:aborted, {:no_exists, :city, 4}}
  """
  @spec del_table_index(table, atom | pos_integer) :: result
  def del_table_index(table, attribute), do: Engine.del_table_index(table, attribute)

  @doc """
  Makes a table read-only, or writable again.

      iex> :remnesia.change_table_access_mode(:hits, :read_write)
      {:aborted, {:already_exists, :hits, :read_write}}
  """
  @spec change_table_access_mode(table, :read_only | :read_write) :: result
  def change_table_access_mode(table, mode), do: Engine.change_table_access_mode(table, mode)

  @doc """
  Changes the order that tables are loaded in.

      iex> :remnesia.change_table_load_order(:hits, 5)
      {:atomic, :ok}
  """
  @spec change_table_load_order(table, integer) :: result
  def change_table_load_order(table, order), do: Engine.change_table_load_order(table, order)

  @doc """
  Says whether writes need most of the replicas. There is one.

      iex> :remnesia.change_table_majority(:hits, true)
      {:atomic, :ok}
  """
  @spec change_table_majority(table, boolean) :: result
  def change_table_majority(table, majority), do: Engine.change_table_majority(table, majority)

  @doc """
  Changes where a table is stored.

      iex> :remnesia.change_table_copy_type(:hits, node(), :ram_copies)
      {:aborted, {:already_exists, :hits, node(), :ram_copies}}
  """
  @spec change_table_copy_type(table, node, atom) :: result
  def change_table_copy_type(table, node, type),
    do: Engine.change_table_copy_type(table, node, type)

  @doc """
  Adds a replica.

      iex> :remnesia.add_table_copy(:hits, node(), :ram_copies)
      {:aborted, {:already_exists, :hits, node()}}
  """
  @spec add_table_copy(table, node, atom) :: result
  def add_table_copy(table, node, type), do: Engine.add_table_copy(table, node, type)

  @doc """
  Deletes a replica; with the last one the table.

      iex> :remnesia.del_table_copy(:nowhere, node())
      {:aborted, {:no_exists, {:nowhere, :cstruct}}}
  """
  @spec del_table_copy(table, node) :: result
  def del_table_copy(table, node), do: Engine.del_table_copy(table, node)

  @doc """
  Moves a replica.

      iex> :remnesia.move_table_copy(:hits, node(), node())
      {:aborted, {:already_exists, :hits, node()}}
  """
  @spec move_table_copy(table, node, node) :: result
  def move_table_copy(table, from, to), do: Engine.move_table_copy(table, from, to)

  @doc """
  A property that the program has given to a table; exits with `{:no_exists, {table, :user_property, key}}`.

      iex> :remnesia.write_table_property(:hits, {:owner, "web"})
      {:atomic, :ok}
      iex> :remnesia.read_table_property(:hits, :owner)
      {:owner, "web"}
  """
  @spec read_table_property(table, term) :: tuple
  def read_table_property(table, key), do: Engine.read_table_property(table, key)

  @doc """
  Gives a property, a tuple whose first element is its key; see `read_table_property/2`.

      iex> :remnesia.write_table_property(:hits, {:color, :red, :dark})
      {:atomic, :ok}
  """
  @spec write_table_property(table, tuple) :: result
  def write_table_property(table, property), do: Engine.write_table_property(table, property)

  @doc """
  Takes a property away; it may not be there.

      iex> :remnesia.delete_table_property(:hits, :owner)
      {:atomic, :ok}
  """
  @spec delete_table_property(table, term) :: result
  def delete_table_property(table, key), do: Engine.delete_table_property(table, key)

  @doc """
  Changes the fragments of a table, and of the tables whose foreign key names it.

  | change | |
  |---|---|
  | `{:activate, properties}` | makes a table a fragmented one, of one fragment |
  | `:deactivate` | makes it a plain one; it must have one fragment only |
  | `{:add_frag, nodes}` | one fragment more, on the first of the nodes; records move to where they belong |
  | `:del_frag` | one fragment less |
  | `{:add_node, node}`, `{:del_node, node}` | changes the pool of nodes that fragments may be on |

      iex> :remnesia.change_table_frag(:hits, {:add_frag, [node()]})
      {:aborted, {:no_exists, :hits, :frag_properties, :frag_hash}}
      iex> :remnesia.change_table_frag(:hits, {:activate, []})
      {:atomic, :ok}
      iex> :remnesia.change_table_frag(:hits, {:add_frag, [node()]})
      {:atomic, :ok}
      iex> :remnesia.activity(:transaction, fn -> :remnesia.table_info(:hits, :frag_names) end, [], :mnesia_frag)
      [:hits, :hits_frag2]
  """
  @spec change_table_frag(table, term) :: result
  def change_table_frag(table, change), do: Engine.change_table_frag(table, change)

  @doc """
  Waits until tables are there: `:ok`, or `{:timeout, missing}`.

      iex> :remnesia.wait_for_tables([:city], 1000)
      :ok
      iex> :remnesia.wait_for_tables([:city, :nowhere], 1)
      {:timeout, [:nowhere]}
  """
  @spec wait_for_tables([table], timeout) :: :ok | {:timeout, [table]} | {:error, term}
  def wait_for_tables(tables, timeout), do: Engine.wait_for_tables(tables, timeout)

  @doc """
  Loads a table without waiting for other nodes.

      iex> :remnesia.force_load_table(:city)
      :yes
  """
  @spec force_load_table(table) :: :yes | {:error, term}
  def force_load_table(table), do: Engine.force_load_table(table)

  @doc """
  Writes RAM tables to disc.

      iex> :remnesia.dump_tables([:city])
      {:aborted, {:has_no_disc, node()}}
  """
  @spec dump_tables([table]) :: result
  def dump_tables(tables), do: Engine.dump_tables(tables)

  @doc """
  Names the nodes that tables are loaded from.

      iex> :remnesia.set_master_nodes([node()])
      :ok
  """
  @spec set_master_nodes([node]) :: :ok | {:error, term}
  def set_master_nodes(nodes), do: Engine.set_master_nodes(nodes)

  @doc """
  The same for one table.

      iex> :remnesia.set_master_nodes(:city, [node()])
      :ok
  """
  @spec set_master_nodes(table, [node]) :: :ok | {:error, term}
  def set_master_nodes(table, nodes), do: Engine.set_master_nodes(table, nodes)

  @doc """
  Creates a schema on disc.

      iex> :remnesia.create_schema([node()])
      {:error, {node(), {:already_exists, node()}}}
  """
  @spec create_schema([node], list) :: :ok | {:error, term}
  def create_schema(nodes, properties \\ [])

  def create_schema(nodes, properties) when is_list(properties), do: Engine.create_schema(nodes)
  def create_schema([], properties), do: create_schema([node()], properties)
  def create_schema(nodes, _properties), do: {:error, {:badarg, nodes}}

  @doc """
  Deletes the schema on disc; the database has to be stopped.

      iex> :remnesia.delete_schema([node()])
      {:error, {~c"Mnesia is not stopped everywhere", [node()]}}
  """
  @spec delete_schema([node]) :: :ok | {:error, term}
  def delete_schema(nodes), do: Engine.delete_schema(nodes)

  @doc """
  What is known of a table: one item, or `:all`. Exits with `{:aborted, {:no_exists, table, item}}`, but `:size` and `:memory` of an unknown table are 0.

      iex> :remnesia.table_info(:city, :attributes)
      [:name, :country, :people]
      iex> :remnesia.table_info(:nowhere, :size)
      0
  """
  @spec table_info(table, term) :: term
  def table_info(table, item) do
    case Engine.get_activity_id() do
      {module, id, store} when module != :remnesia ->
        Engine.access_module(module).table_info(id, store, table, item)

      _own ->
        Engine.table_info(table, item)
    end
  end

  @doc false
  @spec raw_table_info(table, :size | :memory) :: non_neg_integer
  def raw_table_info(table, item), do: Engine.raw_table_info(table, item)

  @doc """
  Prints the definitions of all tables.

      iex> :remnesia.schema()
      :ok
  """
  @spec schema() :: :ok
  def schema, do: Engine.schema()

  @doc """
  Prints the definition of a table.

      iex> :remnesia.schema(:city)
      :ok
  """
  @spec schema(table) :: :ok
  def schema(table), do: Engine.schema(table)
end
