defmodule Remnesia.Engine.Local.Schema do
  @moduledoc false

  # Schema changes. Each is a transaction of its own that first locks the schema, so two changes never interleave, and is
  # refused inside another one. Tables are on this node: what would need another one
  # gets the answer Mnesia gives where there is none, or, where Mnesia could do it, an error that says so.

  import Remnesia.Engine.Local.Transaction, only: [current: 0]

  alias Remnesia.Engine.Cluster.Start
  alias Remnesia.Engine
  alias Remnesia.Engine.Cstruct

  alias Remnesia.Engine.Local.{
    Activity,
    Apart,
    Definitions,
    Directory,
    Disc,
    FragmentCstruct,
    Fragments,
    Signal,
    Storage,
    Transaction,
    Wait
  }

  alias Remnesia.Events
  alias Remnesia.Native

  @no_cluster "`config :remnesia, engine: :local` says that tables live on this node"
  @convert "a node with tables of its own cannot join a cluster: Remnesia.Cluster.convert/1 makes it one, which others join"

  @spec create_table(term, term) :: Engine.change()
  def create_table(table, options) when is_list(options) do
    change(fn _txn ->
      for cstruct <- table |> Cstruct.read!(options) |> fragments() |> Enum.map(&check!/1),
          do: create(cstruct)

      :ok
    end)
  end

  def create_table(table, options), do: {:aborted, {:badarg, table, options}}

  # A table is one fragment, or more.
  defp fragments(%{frag_properties: []} = cstruct), do: [cstruct]
  defp fragments(cstruct), do: FragmentCstruct.expand!(cstruct, :create)

  defp check!(%{name: table} = cstruct) do
    free!(table)

    cstruct
    |> Cstruct.check!()
    |> Cstruct.check_replicas!(Disc.used?())
  end

  @doc "Refuses a name that a table has. A fragment that was left over by a killed process goes."
  @spec free!(term) :: :ok | no_return
  def free!(table) do
    cond do
      table == :schema -> Signal.abort({:already_exists, table})
      Native.table_props(table) == :error -> :ok
      left_over?(table) -> delete!(current(), table)
      true -> Signal.abort({:already_exists, table})
    end
  end

  defp left_over?(table) do
    {:ok, cstruct} = Definitions.fetch(table)

    case cstruct.frag_properties do
      [base_table: base] -> table not in Fragments.names(base)
      _other -> false
    end
  end

  defp create(cstruct) do
    define!(cstruct)
    # Told twice, as Mnesia does.
    tell(:write, cstruct, [])
    tell(:write, cstruct, [cstruct])
  end

  @doc "Makes a table, in memory and on disc in one step; nobody is told."
  @spec define!(Cstruct.t()) :: :ok | no_return
  def define!(cstruct) do
    case Disc.number(cstruct) do
      nil ->
        make!(cstruct, nil)

      number ->
        arguments = arguments(cstruct, number) ++ [[Disc.definition(number, cstruct)]]
        made!(cstruct, Wait.with_room(fn -> apply(Native, :table_define, arguments) end))
    end
  end

  @doc "Makes a table in memory, whose number on disc is this; nobody is told."
  @spec make!(Cstruct.t(), non_neg_integer | nil) :: :ok | no_return
  def make!(cstruct, number),
    do: made!(cstruct, apply(Native, :table_create, arguments(cstruct, number)))

  defp arguments(cstruct, number),
    do: [cstruct.name, Cstruct.shape(cstruct), cstruct, number, Disc.rows(cstruct)]

  defp made!(cstruct, :ok) do
    Definitions.remember(cstruct)
    :ok = Native.table_access(cstruct.name, cstruct.access_mode)
  end

  defp made!(_cstruct, {:"$error", reason}), do: Signal.abort(reason)

  @spec delete_table(term) :: Engine.change()
  def delete_table(:schema), do: change(fn _txn -> Signal.abort({:bad_type, :schema}) end)

  def delete_table(table) do
    change(fn txn -> delete_whole!(txn, table) end)
  end

  defp delete_whole!(txn, table) do
    cstruct = existing!(table, {:no_exists, table})
    tables = if cstruct.frag_properties == [], do: [table], else: fragments!(table)
    Enum.each(tables, &writable!/1)
    Enum.each(tables, &delete!(txn, &1))
  end

  # Fragments go all together.
  defp fragments!(table) do
    Fragments.state!(table)

    case Fragments.foreigners(table) do
      [] -> Fragments.names(table)
      others -> Signal.abort({:combine_error, table, ~c"Too many foreigners", others})
    end
  end

  @doc "Deletes a table within a change of the schema."
  @spec delete!(reference, atom) :: :ok | no_return
  def delete!(txn, table) do
    {:ok, cstruct} = Definitions.fetch(table)
    :ok = Signal.settle(Native.table_delete(txn, table), :table_delete, [txn, table])
    Definitions.forget(table)
    tell(:delete, cstruct, :undefined)
    Events.forget(table)
  end

  # Unlike the other changes this one aborts the transaction it is called in. Where there is an access module that is asked.
  @spec clear_table(term) :: Engine.change()
  def clear_table(table) do
    if Transaction.inside?(), do: Signal.abort(:nested_transaction)

    case Activity.get_id() do
      {module, _dirty, _store} when module != :remnesia ->
        Activity.transaction(fn -> clear_by_module(table) end, :infinity, module)

      _no_module ->
        Transaction.run(fn -> clear!(table) end, :infinity)
    end
  end

  defp clear_by_module(table) do
    {module, id, store} = Activity.get_id()
    Activity.handler(module).clear_table(id, store, table, :_)
  end

  @doc "Deletes all records within the transaction of the process."
  @spec clear!(term) :: :ok | no_return
  def clear!(table) do
    txn = current()
    if table == :schema, do: Signal.abort({:bad_type, :schema})
    cstruct = existing!(table, {:no_exists, table})
    writable!(table)
    :ok = Signal.settle(Native.table_clear(txn, table), :table_clear, [txn, table])
    tell_cleared(cstruct, txn)
    Events.complete(Activity.id(txn))
  end

  # Subscribers of a table learn that it was cleared by messages about its definition.
  defp tell_cleared(cstruct, txn) do
    table = cstruct.name
    {simple, detailed} = Events.subscribers(table)

    if {simple, detailed} != {[], []} do
      {definition, id} = {record(cstruct), Activity.id(txn)}

      Events.deliver([
        {simple, {:delete, {:schema, table}, id}},
        {simple, {:write, definition, id}},
        {detailed, {:delete, :schema, {:schema, table}, [definition], id}},
        {detailed, {:write, :schema, definition, [], id}}
      ])
    end

    :ok
  end

  @doc "Tells subscribers of the schema that a definition was written or deleted, and what it was before."
  @spec tell(:write | :delete, Cstruct.t(), [Cstruct.t()] | :undefined) :: :ok
  def tell(operation, cstruct, old) do
    {simple, detailed} = Events.subscribers(:schema)

    if {simple, detailed} != {[], []} do
      id = Activity.id(current())
      old = if is_list(old), do: Enum.map(old, &record/1), else: old

      Events.deliver([
        {simple, {operation, record(cstruct), id}},
        {detailed, {operation, :schema, record(cstruct), old, id}}
      ])
    end

    :ok
  end

  @doc "The record that the schema has of a table, in a list."
  @spec definition(term) :: [tuple]
  def definition(table) do
    case is_atom(table) and Definitions.fetch(table) do
      {:ok, cstruct} -> [record(cstruct)]
      _none -> []
    end
  end

  # Mnesia leaves out the copies in storage of plug-ins.
  defp record(cstruct),
    do: {:schema, cstruct.name, cstruct |> Cstruct.to_list() |> Keyword.delete(:external_copies)}

  @spec add_table_copy(term, term, term) :: Engine.change()
  def add_table_copy(table, node, type) do
    change(fn _txn ->
      if not (is_atom(table) and is_atom(node)), do: Signal.abort({:badarg, table, node})
      copies = existing!(table, {:no_exists, {table, :cstruct}})

      cond do
        node in Cstruct.nodes(copies) -> Signal.abort({:already_exists, table, node})
        Cstruct.storage_type?(type) -> Signal.abort({:not_active, table, node})
        true -> Signal.abort({:badarg, table, type})
      end
    end)
  end

  # The last copy takes the table with it.
  @spec del_table_copy(term, term) :: Engine.change()
  def del_table_copy(table, node) do
    change(fn txn ->
      if not is_atom(node), do: Signal.abort({:badarg, table, node})
      existing!(table, {:no_exists, {table, :cstruct}})
      drop_copy(txn, table, node)
    end)
  end

  defp drop_copy(txn, table, node) do
    cond do
      node != node() -> Signal.abort({:badarg, table, :unknown})
      table == :schema -> Signal.abort({:combine_error, :schema, ~c"Last replica"})
      true -> delete_whole!(txn, table)
    end
  end

  @spec move_table_copy(term, term, term) :: Engine.change()
  def move_table_copy(table, from, to) do
    change(fn _txn ->
      cond do
        table == :schema ->
          Signal.abort({:bad_type, :schema})

        not (is_atom(from) and is_atom(to)) ->
          Signal.abort({:badarg, table, from, to})

        true ->
          :ok
      end

      copies = Cstruct.nodes(existing!(table, {:no_exists, table}))
      writable!(table)

      cond do
        to in copies -> Signal.abort({:already_exists, table, to})
        from in copies -> Signal.abort({:not_active, :schema, to})
        true -> Signal.abort({:not_active, table, from})
      end
    end)
  end

  @spec change_table_copy_type(term, term, term) :: Engine.change()
  def change_table_copy_type(table, node, type) do
    change(fn txn ->
      if not is_atom(node), do: Signal.abort({:badarg, table, node})
      copies = existing!(table, {:no_exists, table})
      if table != :schema, do: writable!(table)

      cond do
        # Mnesia's word for a node that has no copy.
        type == :unknown ->
          drop_copy(txn, table, node)

        not Cstruct.storage_type?(type) ->
          Signal.abort({:bad_type, {:storage_type, type}})

        node not in Cstruct.nodes(copies) ->
          Signal.abort({:badarg, table, :unknown})

        type == Cstruct.storage_type(copies, node) ->
          Signal.abort({:already_exists, table, node, type})

        table == :schema and type == :disc_only_copies ->
          Signal.abort({:bad_type, :schema, {type, [node]}})

        table == :schema ->
          Storage.schema(copies, type)

        not Disc.used?() and type == :disc_only_copies and copies.type == :ordered_set ->
          Signal.abort({:bad_type, table, {:not_supported, :ordered_set, type}})

        not Disc.used?() ->
          Signal.abort({:has_no_disc, node})

        true ->
          Storage.table(txn, copies, type)
      end
    end)
  end

  # --- the schema on disc, other nodes ---

  @spec create_schema(term) :: :ok | {:error, term}
  def create_schema([]), do: create_schema([node()])

  def create_schema(nodes) when is_list(nodes) do
    cond do
      nodes != Enum.uniq(nodes) -> {:error, {:combine_error, nodes}}
      joint?(nodes) -> Start.create_schema(nodes)
      refused = Enum.find_value(nodes, &schema_there/1) -> {:error, refused}
      true -> with {:error, reason} <- Disc.create(), do: {:error, {node(), reason}}
    end
  end

  def create_schema(nodes), do: {:error, {:badarg, nodes}}

  # Several nodes, which are there.
  defp joint?(nodes) do
    other = Enum.find(nodes, &(&1 != node()))
    other in Node.list() and not Native.running()
  end

  # What keeps a node from getting a schema.
  defp schema_there(node) when node != node(),
    do: {node, {~c"All nodes not running", node, :nodedown}}

  defp schema_there(node) do
    if Native.running() or Directory.exists?(), do: {node, {:already_exists, node}}
  end

  @spec delete_schema(term) :: :ok | {:error, term}
  def delete_schema([_ | _] = nodes) do
    cond do
      Native.running() and node() in nodes ->
        {:error, {~c"Mnesia is not stopped everywhere", [node()]}}

      Enum.any?(nodes, &(&1 != node())) ->
        {:error, {~c"All nodes not running", Enum.reject(nodes, &(&1 == node()))}}

      true ->
        Directory.delete()
    end
  end

  def delete_schema(nodes), do: {:error, {:badarg, nodes}}

  @spec change_config(term, term) :: {:ok, term} | {:error, term}
  def change_config(:extra_db_nodes, nodes) when is_list(nodes) do
    {here, others} = Enum.split_with(nodes, &(&1 == node()))

    cond do
      not Native.running() -> {:error, {:node_not_running, node()}}
      not Enum.any?(others, &(:net_adm.ping(&1) == :pong)) -> connected(here)
      tables?() -> {:error, {:not_available, @convert}}
      Application.get_env(:remnesia, :engine) == :local -> {:error, {:not_available, @no_cluster}}
      true -> Start.join(others)
    end
  end

  def change_config(:dc_dump_limit, limit) when is_number(limit) and limit > 0 do
    if Native.running() do
      Definitions.put(:dc_dump_limit, limit)
      {:ok, limit}
    else
      {:error, {:not_started, :remnesia}}
    end
  end

  def change_config(key, _value), do: {:error, {:badarg, key}}

  defp connected(nodes) do
    known = Definitions.get(:extra_db_nodes, [])
    Definitions.put(:extra_db_nodes, Enum.uniq(nodes ++ known))
    {:ok, nodes}
  end

  defp tables?, do: Enum.any?(Native.tables(), &is_atom/1)

  # --- waiting for tables ---

  # A table is ready when it is created, so what is waited for is its creation, which nobody announces: a process that
  # waits looks again every few milliseconds.
  @poll 10

  @spec wait_for_tables(term, term) :: :ok | {:timeout, [term]} | {:error, term}
  def wait_for_tables(tables, timeout)
      when is_list(tables) and (timeout == :infinity or (is_integer(timeout) and timeout >= 0)) do
    deadline = if timeout == :infinity, do: :infinity, else: now() + timeout
    wait(tables, deadline)
  end

  def wait_for_tables(tables, timeout), do: {:error, {:badarg, tables, timeout}}

  defp wait(tables, deadline) do
    missing = Enum.reject(tables, &(&1 == :schema or Native.table_size(&1) != :error))

    cond do
      not Native.running() -> {:error, {:node_not_running, node()}}
      missing == [] -> :ok
      deadline != :infinity and now() >= deadline -> {:timeout, missing}
      true -> pause(missing, deadline)
    end
  end

  defp pause(tables, deadline) do
    Process.sleep(
      if deadline == :infinity, do: @poll, else: min(@poll, deadline - now()) |> max(0)
    )

    wait(tables, deadline)
  end

  defp now, do: System.monotonic_time(:millisecond)

  # --- helpers ---

  @doc """
  Runs a change of the schema as a transaction of its own, in a process of its own; the function gets the transaction. Once it has begun it is done to its
  end, also when the caller is killed.
  """
  @spec change((reference -> value)) :: Engine.result(value) when value: term
  def change(fun) do
    changing(fn txn ->
      Apart.to_the_end()
      fun.(txn)
    end)
  end

  @doc "The same of one that calls functions of the user, which may take for ever: who kills the caller ends it, until a table takes the place of another."
  @spec changing((reference -> value)) :: Engine.result(value) when value: term
  def changing(fun) do
    # Also a dirty activity is one that it would be nested in.
    if Activity.get_id() != :undefined do
      {:aborted, :nested_transaction}
    else
      Apart.run(fn -> run_change(fun) end)
    end
  end

  defp run_change(fun) do
    with {:atomic, {id, value}} <- Transaction.run(fn -> locked(fun) end, :infinity) do
      Events.complete(id)
      durable({:atomic, value})
    end
  end

  # The change has happened and stays: if it cannot be brought to disc now, it is as with a commit, in memory and queued.
  defp durable(result) do
    case Disc.sync() do
      :ok -> result
      {:"$error", reason} -> {:aborted, reason}
    end
  end

  defp locked(fun) do
    arguments = [txn = current(), :schema, :write]
    Signal.settle(apply(Native, :lock_global, arguments), :lock_global, arguments)
    {Activity.id(txn), fun.(txn)}
  end

  @doc "A change that is none."
  @spec refuse(term) :: {:aborted, term}
  def refuse(reason), do: change(fn _txn -> Signal.abort(reason) end)

  @doc "The definition of a table that is there."
  @spec existing!(term, term) :: Cstruct.t() | no_return
  def existing!(table, reason) do
    case Definitions.fetch(table) do
      {:ok, cstruct} -> cstruct
      :error -> Signal.abort(reason)
    end
  end

  @doc "Refuses a table that cannot be changed."
  @spec writable!(term) :: :ok | no_return
  def writable!(table) do
    if existing!(table, {:no_exists, table}).access_mode == :read_only,
      do: Signal.abort({:no_exists, table}),
      else: :ok
  end
end
