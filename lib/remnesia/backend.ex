defmodule Remnesia.Backend do
  @moduledoc """
  Remnesia's tables as storage of OTP's Mnesia: a plain Mnesia program keeps its calls, its cluster and its transactions, and
  its tables are native.

      :ok = Remnesia.Backend.register()
      {:atomic, :ok} = :mnesia.create_table(:person, remnesia_disc: [node()], attributes: [:id, :name])

  `register/0` adds three storage types to Mnesia's schema:

  * `:remnesia_ram` - in memory, as `:ram_copies`
  * `:remnesia_disc` - in memory and on disc, as `:disc_copies`; what `mnesia:transaction/1` has answered survives the end of the VM,
    and after `config :remnesia, sync_interval:` milliseconds that of the machine (see the guide on durability)
  * `:remnesia_disc_only` - on disc alone, as `:disc_only_copies`, without its limit of 2 GB and also for an `:ordered_set`; as durable as `:remnesia_disc`

  Tables are `:set`, `:ordered_set` or `:bag`. Their indexes are native too: they are part of the table, always as it is, and searches
  by match specs use them. Records of Mnesia's plug-in tables are no tables of the `Remnesia.*` API.

  Every node of the cluster needs this code and the same list of types, in the same order, before it joins: `register/0` after
  Mnesia has started, or `types/0` as option of `create_schema/2`:

      :mnesia.create_schema([node()], backend_types: Remnesia.Backend.types())

  A node that joins with its schema in memory has to be started with the list: `-mnesia schema '[{backend_types, [..]}]'`.

  A write that the disc refuses cannot be refused any more: Mnesia ignores what a plug-in answers, and the replica would silently differ.
  So the node is halted, with the reason in the log; when it comes back it gets a full copy from another node.
  """

  # No process is in the path of a read or a write. `mnesia_backend_type` of OTP is the behaviour; not declared as one, because Mnesia is no
  # dependency of the library. How Mnesia calls which function is noted where that matters; each note was seen happen.
  #
  # Names of tables: an atom is a table, `{table, :index, {position, type}}` one of its indexes, which is a view (Remnesia.Backend.Index), or,
  # where the position is a plug-in's, tuples that Mnesia keeps; those and `{table, :retainer, name}` are in Remnesia.Backend.Loose.

  alias Remnesia.Backend.{Change, Index, Loose, Search, Table, Transfer}
  alias Remnesia.Native

  @aliases [:remnesia_ram, :remnesia_disc, :remnesia_disc_only]
  @lossy "Mnesia of this OTP release loses the records of a table that goes from here to disc_copies at once: " <>
           "change it to disc_only_copies first, then to disc_copies"

  @typedoc "A storage type that `register/0` adds."
  @type storage :: :remnesia_ram | :remnesia_disc | :remnesia_disc_only

  @doc """
  The storage types with this module, in the one order that all nodes of a cluster must have them in.

      iex> Remnesia.Backend.types()
      [remnesia_ram: Remnesia.Backend, remnesia_disc: Remnesia.Backend, remnesia_disc_only: Remnesia.Backend]
  """
  @spec types() :: [{storage, module}]
  def types, do: for(type <- @aliases, do: {type, __MODULE__})

  @doc """
  Adds the storage types to the schema of the running Mnesia. Does nothing if they are there.

  Answers `{:error, reason}` with Mnesia's reason where it refuses, as `{:not_active, ..}` if a node that has the schema on disc is down.
  """
  @spec register() :: :ok | {:error, term}
  def register do
    # Mnesia puts each in front of those that are there.
    Enum.reduce_while(Enum.reverse(@aliases), :ok, fn type, :ok ->
      case :mnesia.add_backend_type(type, __MODULE__) do
        {:atomic, :ok} -> {:cont, :ok}
        {:aborted, {:backend_type_already_exists, _type}} -> {:cont, :ok}
        {:aborted, reason} -> {:halt, {:error, reason}}
      end
    end)
  end

  # --- what Mnesia asks first ---

  # Other nodes call neither before they are started again: every callback makes sure itself.
  @doc false
  def init_backend, do: Table.ensure_started()

  @doc false
  def add_aliases(_aliases), do: :ok

  @doc false
  def remove_aliases(_aliases), do: :ok

  # `disc_copies` must never be declared: Mnesia takes it, and its dumps damage other tables.
  @doc false
  def semantics(:remnesia_ram, :storage), do: :ram_copies
  def semantics(_alias, :storage), do: :disc_only_copies
  def semantics(_alias, :types), do: [:set, :ordered_set, :bag]
  def semantics(_alias, :index_types), do: [:ordered, :bag]
  def semantics(_alias, :index_fun), do: fn _a, _t, position, o -> [elem(o, position - 1)] end
  def semantics(_alias, _item), do: :undefined

  # A type that no node keeps the table in is not to be named: at a start Mnesia would wait for such a copy of a table that is in memory alone.
  @doc false
  def check_definition(alias, table, nodes, properties) do
    with :ok <- allowed(alias, table, nodes, properties),
         do: if(nodes == [], do: {:ok, List.keydelete(properties, alias, 0)}, else: :ok)
  end

  defp allowed(alias, table, nodes, properties) do
    copies = copies(table)

    cond do
      copies == nil ->
        :ok

      lossy?() and Enum.any?(Keyword.get(properties, :disc_copies, []), &in?(&1, copies)) ->
        {:error, @lossy}

      true ->
        before = for {node, ^alias} <- copies, do: node
        changes(nodes -- before, before -- nodes)
    end
  end

  # Where a table is kept by us before the change that is being checked, `{node, alias}`; nil of a new table.
  defp copies(table) do
    for {{alias, __MODULE__}, nodes} <- :mnesia.table_info(table, :external_copies),
        node <- nodes,
        do: {node, alias}
  catch
    :exit, _new -> nil
  end

  defp in?(node, copies), do: List.keymember?(copies, node, 0)

  # Who does not run would find copies of a plug-in's to be others than it knows, and Mnesia cannot merge that: it could not start any more.
  # A node that is down can be taken out.
  defp changes(new, gone) do
    running = :mnesia.system_info(:running_db_nodes)
    # A node that starts merges its schema with that of others, which run and are not known yet.
    starts? = :mnesia.system_info(:is_running) != :yes
    down = if starts?, do: [], else: :mnesia.system_info(:db_nodes) -- running

    if down -- gone != [] and (new != [] or Enum.any?(gone, &(&1 in running))),
      do: {:error, not_merged(hd(down -- gone))},
      else: :ok
  end

  defp not_merged(node) do
    "Mnesia could not start any more on #{node}, which is down: it cannot merge a schema that knows of other native copies of a " <>
      "table. Start it first, or take it out of the cluster"
  end

  # Mnesia before OTP 27 forgets to write the records: they are gone after a restart.
  defp lossy?, do: :erlang.system_info(:otp_release) < ~c"27"

  @doc false
  def real_suffixes, do: []

  @doc false
  def tmp_suffixes, do: []

  # --- tables ---

  # Called in `mnesia_monitor`, which must not be kept waiting, also for tables that are there: the work is done in load_table.
  @doc false
  def create_table(_alias, _table, _properties), do: Table.ensure_started()

  @doc false
  def load_table(alias, table, reason, properties) when is_atom(table),
    do: Table.load(alias, table, reason, properties)

  def load_table(_alias, {table, :index, {position, _type}}, _reason, _properties)
      when is_integer(position),
      do: Table.add_index(table, position)

  def load_table(_alias, table, _reason, _properties), do: Loose.create(table)

  # It is no end: at start it follows the replay of Mnesia's log, and the table is used afterwards.
  @doc false
  def close_table(_alias, table) when is_atom(table), do: Table.close(table)
  def close_table(_alias, _table), do: :ok

  @doc false
  def sync_close_table(alias, table), do: close_table(alias, table)

  @doc false
  def delete_table(_alias, table) when is_atom(table), do: Table.delete(table)

  def delete_table(_alias, {table, :index, {position, _type}}) when is_integer(position),
    do: Table.drop_index(table, position)

  def delete_table(_alias, table), do: Loose.delete(table)

  @doc false
  def info(_alias, table, item) when is_atom(table), do: Table.info(table, item)

  def info(_alias, {table, :index, {position, _type}}, item) when is_integer(position),
    do: Table.info(table, item)

  def info(_alias, table, item), do: Loose.info(table, item)

  @doc false
  def fixtable(_alias, table, fix?), do: Search.fix(table, fix?)

  # --- indexes ---

  # An index of an attribute is a part of the table: it cannot be stale. One of a plug-in is filled anew at each start.
  @doc false
  def is_index_consistent(_alias, {_table, :index, {position, _type}}), do: is_integer(position)

  @doc false
  def index_is_consistent(_alias, _index, _consistent?), do: :ok

  # --- records ---

  @doc false
  def validate_record(_alias, _table, name, arity, type, _record),
    do: Change.accepts!({name, arity, type})

  @doc false
  def validate_key(_alias, _table, name, arity, type, _key),
    do: Change.accepts!({name, arity, type})

  @doc false
  def lookup(_alias, table, key) when is_atom(table) do
    case Native.read(nil, {:mnesia, table}, key, :read) do
      records when is_list(records) -> records
      _refused -> :erlang.error(:badarg)
    end
  end

  def lookup(_alias, {_table, :index, {position, _type}} = index, key) when is_integer(position),
    do: Index.lookup(index, key)

  def lookup(_alias, table, key), do: Loose.lookup(table, key)

  @doc false
  def insert(_alias, table, record) when is_atom(table), do: Change.insert(table, record)
  def insert(_alias, {_, :index, {position, _}}, _row) when is_integer(position), do: :ok
  def insert(_alias, table, row), do: Loose.insert(table, row)

  @doc false
  def delete(_alias, table, key) when is_atom(table), do: Change.delete(table, key)
  def delete(_alias, {_, :index, {position, _}}, _key) when is_integer(position), do: :ok
  def delete(_alias, table, key), do: Loose.delete(table, key)

  # Of a table either everything goes, or one record, whatever is in it.
  @doc false
  def match_delete(_alias, table, :_) when is_atom(table), do: Change.clear(table)

  def match_delete(_alias, table, record) when is_atom(table),
    do: Change.delete_object(table, record)

  def match_delete(_alias, {_, :index, {position, _}}, _row) when is_integer(position), do: :ok
  def match_delete(_alias, table, row), do: Loose.match_delete(table, row)

  @doc false
  def update_counter(_alias, table, key, increment),
    do: Change.update_counter(table, key, increment)

  # --- searches ---

  @doc false
  def first(_alias, table), do: Search.first(table)

  @doc false
  def last(_alias, table), do: Search.last(table)

  @doc false
  def next(_alias, table, key), do: Search.next(table, key)

  @doc false
  def prev(_alias, table, key), do: Search.prev(table, key)

  @doc false
  def slot(_alias, table, position), do: Search.slot(table, position)

  @doc false
  def select(_alias, table, spec) when is_atom(table), do: Search.select({:mnesia, table}, spec)

  def select(_alias, {_table, :index, {position, _type}} = index, spec) when is_integer(position),
    do: Index.select(index, spec)

  def select(_alias, table, spec), do: Loose.select(table, spec)

  @doc false
  def select(_alias, table, spec, limit) when is_atom(table),
    do: Search.search({:mnesia, table}, spec, limit)

  def select(_alias, {_table, :index, {position, _type}} = index, spec, _limit)
      when is_integer(position),
      do: Search.whole(Index.select(index, spec))

  def select(_alias, table, spec, _limit), do: Search.whole(Loose.select(table, spec))

  @doc false
  def select(continuation), do: Search.continue(continuation)

  @doc false
  def repair_continuation(continuation, _spec), do: continuation

  # --- a copy for another node, and from one ---

  @doc false
  def sender_init(_alias, table, storage, receiver), do: Transfer.sender(table, storage, receiver)

  # Not in OTP's list of callbacks, but called when a receiver asks with a message; ours never does.
  @doc false
  def sender_handle_info(_message, _alias, _table, _receiver, state),
    do: {fn state -> Transfer.chunk(state) end, Transfer.chunk(state)}

  @doc false
  def receiver_first_message(sender, {:first, size}, _alias, table),
    do: {size, Transfer.receiver(sender, table, size)}

  @doc false
  def receive_data(data, _alias, table, _sender, state),
    do: {:more, Transfer.take(data, table, state)}

  @doc false
  def receive_done(_alias, table, _sender, state), do: Transfer.finish(table, state)
end
