defmodule Remnesia.Engine.Local.Change do
  @moduledoc false

  # Changes of a table's definition, each a transaction of its own.

  alias Remnesia.Engine
  alias Remnesia.Engine.Cstruct
  alias Remnesia.Engine.Local.{Definitions, Disc, Fragments, Nodes, Rebuild, Schema, Signal}
  alias Remnesia.Engine.Local.Storage
  alias Remnesia.{Events, Native}

  # --- of the definition alone ---

  @spec access_mode(term, term) :: Engine.change()
  def access_mode(table, mode) do
    modify(table, fn cstruct ->
      if mode not in [:read_only, :read_write],
        do: Signal.abort({:bad_type, table, {:access_mode, mode}})

      if cstruct.access_mode == mode, do: Signal.abort({:already_exists, table, mode})
      if table != :schema, do: :ok = Native.table_access(table, mode)
      %{cstruct | access_mode: mode}
    end)
  end

  @spec load_order(term, term) :: Engine.change()
  def load_order(:schema, _order), do: Schema.refuse({:bad_type, :schema})

  def load_order(table, order) do
    modify(table, fn cstruct ->
      if not is_integer(order), do: Signal.abort({:bad_type, table, {:load_order, order}})
      %{cstruct | load_order: order}
    end)
  end

  @spec majority(term, boolean) :: Engine.change()
  def majority(:schema, majority) when is_boolean(majority),
    do: Schema.refuse({:bad_type, :schema})

  # All fragments of a table need as many replicas.
  def majority(table, majority) when is_boolean(majority) do
    Schema.change(fn _txn ->
      cstruct = Schema.existing!(table, {:no_exists, {table, :cstruct}})
      base = List.keyfind(cstruct.frag_properties, :base_table, 0, {:base_table, table})
      if base != {:base_table, table}, do: Signal.abort({:bad_type, table})

      if majority and cstruct.local_content,
        do: Signal.abort({:combine_error, table, local_content: true, majority: true})

      table
      |> Fragments.names()
      |> Enum.map(&Schema.existing!(&1, {:no_exists, {&1, :cstruct}}))
      |> Enum.each(&stored(%{Cstruct.next_version(&1) | majority: majority}))
    end)
  end

  # --- properties of the user ---

  @spec read_property(term, term) :: tuple | no_return
  def read_property(table, key) do
    with {:ok, %{user_properties: properties}} <- Definitions.fetch(table),
         property when is_tuple(property) <- List.keyfind(properties, key, 0) do
      property
    else
      _none ->
        if Remnesia.Native.running(),
          do: Signal.abort({:no_exists, {table, :user_property, key}}),
          else: Signal.abort({:node_not_running, node()})
    end
  end

  @spec write_property(term, term) :: Engine.change()
  def write_property(table, property) when is_tuple(property) and tuple_size(property) > 0 do
    modify(table, fn %{user_properties: properties} = cstruct ->
      properties = List.keydelete(properties, elem(property, 0), 0)
      %{cstruct | user_properties: Enum.sort([property | properties])}
    end)
  end

  def write_property(table, property), do: {:aborted, {:bad_type, table, property}}

  @spec delete_property(term, term) :: Engine.change()
  def delete_property(table, key) do
    modify(table, fn %{user_properties: properties} = cstruct ->
      %{cstruct | user_properties: List.keydelete(properties, key, 0)}
    end)
  end

  # --- of the records ---

  @spec transform(term, term, term) :: Engine.change()
  def transform(table, fun, attributes) do
    case Definitions.fetch(table) do
      {:ok, %{record_name: name}} -> transform(table, fun, attributes, name)
      :error -> Signal.abort(gone({table, :record_name}))
    end
  end

  @spec transform(term, term, term, term) :: Engine.change()
  def transform(table, fun, attributes, record_name)
      when is_list(attributes) and is_atom(record_name) and
             (is_function(fun) or fun == :ignore) do
    Schema.changing(fn txn ->
      if table == :schema, do: Signal.abort({:bad_type, :schema})
      cstruct = Schema.existing!(table, {:no_exists, table})
      Schema.writable!(table)

      next = Cstruct.next_version(cstruct)
      index = Enum.sort(cstruct.index)
      changed = %{next | attributes: attributes, record_name: record_name, index: index}
      Cstruct.check!(changed)
      messages = Rebuild.run(txn, changed, fun)
      {without, [transformed | with_some]} = steps(next, changed)
      store(changed)
      told(without ++ [transformed], cstruct)
      Events.deliver(messages)
      told(with_some, transformed)
    end)
  end

  def transform(table, fun, attributes, record_name),
    do: {:aborted, {:bad_type, table, fun, attributes, record_name}}

  # The definitions on the way, which Mnesia tells its subscribers too: indexes go one by one, then the records change, then indexes come one by one.
  defp steps(%{index: []}, changed), do: {[], [changed]}

  defp steps(%{index: index} = before, changed) do
    without = for n <- 1..length(index), do: %{before | index: Enum.drop(index, n)}

    with_some =
      for n <- 0..(length(index) - 1),
          do: %{changed | index: index |> Enum.take(n) |> Enum.sort()}

    {without, with_some ++ [changed]}
  end

  # --- of the indexes ---

  # An index is built in slices while reads and writes outside of transactions go on; transactions wait, as the table is locked. The
  # definition changes with the last slice: a process that is killed before leaves the table as it was.
  @spec add_index(term, term, term) :: Engine.change()
  def add_index(table, attributes, options \\ [])
  def add_index(:schema, _attributes, _options), do: Schema.refuse({:bad_type, :schema})

  def add_index(table, attributes, options) when options in [[], [unique: false]],
    do: build(table, attributes, false)

  def add_index(table, attributes, unique: true), do: build(table, attributes, true)
  def add_index(table, _attributes, options), do: {:aborted, {:badarg, table, options}}

  defp build(table, attributes, unique?) do
    Schema.change(fn txn ->
      before = Schema.existing!(table, {:no_exists, table})
      next = Cstruct.next_version(before)
      {changed, position} = Cstruct.add_index!(next, attributes, unique?)
      build([txn, table, position, unique?, changed])
      stored(changed, before)
    end)
  end

  defp build(arguments) do
    with :"$more" <- Signal.settle(apply(Native, :index_add, arguments), :index_add, arguments),
         do: build(arguments)
  end

  @spec del_index(term, term) :: Engine.change()
  def del_index(:schema, _attributes), do: Schema.refuse({:bad_type, :schema})

  def del_index(table, attributes) do
    Schema.change(fn txn ->
      before = Schema.existing!(table, {:no_exists, table})
      next = Cstruct.next_version(before)
      {changed, position} = Cstruct.drop_index!(next, attributes)
      arguments = [txn, table, position, changed]
      :ok = Signal.settle(apply(Native, :index_drop, arguments), :index_drop, arguments)
      stored(changed, before)
    end)
  end

  # --- what one node has little to do for ---

  @spec dump_tables(term) :: Engine.change()
  def dump_tables(tables) when is_list(tables) do
    Schema.change(fn txn ->
      cstructs =
        for table <- tables do
          if table == :schema, do: Signal.abort({:bad_type, :schema})
          Schema.existing!(table, {:no_exists, table})
        end

      if cstructs != [] and not Disc.used?(), do: Signal.abort({:has_no_disc, node()})

      for cstruct <- cstructs, Disc.rows?(cstruct) do
        Signal.abort({~c"Only allowed on ram_copies", cstruct.name, [node()]})
      end

      Enum.each(cstructs, &Storage.dump(txn, &1))
    end)
  end

  def dump_tables(tables), do: {:aborted, {:bad_type, tables}}

  @spec force_load(term) :: :yes | {:error, term}
  def force_load(table) when not is_atom(table) or table == :schema,
    do: {:error, {:bad_type, table}}

  # One that is being loaded is waited for, as in Mnesia.
  def force_load(table) do
    with {:ok, _cstruct} <- Definitions.fetch(table), :ok <- Nodes.loaded([table]) do
      :yes
    else
      :error -> {:error, {:no_exists, table}}
      error -> error
    end
  end

  @spec master_nodes(term) :: :ok | {:error, term}
  def master_nodes(nodes) when is_list(nodes) do
    if Native.running() do
      here = Enum.filter(nodes, &(&1 == node()))

      for table <- [:schema | Definitions.names()],
          do: Definitions.put({:master_nodes, table}, here)
    end

    :ok
  end

  def master_nodes(nodes), do: {:error, {:bad_type, nodes}}

  @spec master_nodes(term, term) :: :ok | {:error, term}
  def master_nodes(table, nodes) when is_list(nodes) do
    with true <- Native.running(),
         {:ok, cstruct} <- Definitions.fetch(table) do
      case nodes -- Cstruct.nodes(cstruct) do
        [] -> Definitions.put({:master_nodes, table}, nodes)
        others -> {:error, {:no_exists, table, others}}
      end
    else
      false -> :ok
      :error -> {:error, {:no_exists, table}}
    end
  end

  def master_nodes(table, nodes), do: {:error, {:bad_type, table, nodes}}

  # --- helpers ---

  defp gone(item) do
    if Native.running(), do: {:no_exists, item}, else: {:node_not_running, node()}
  end

  # A change of the definition that leaves the records alone.
  defp modify(table, fun) do
    Schema.change(fn _txn ->
      cstruct = Schema.existing!(table, {:no_exists, {table, :cstruct}})
      cstruct |> Cstruct.next_version() |> fun.() |> stored()
    end)
  end

  defp stored(cstruct) do
    {:ok, before} = Definitions.fetch(cstruct.name)
    stored(cstruct, before)
  end

  defp stored(cstruct, before) do
    store(cstruct)
    told([cstruct], before)
  end

  defp store(cstruct) do
    Definitions.store(cstruct)
    Events.refresh(cstruct.name)
  end

  # One definition after the other, each with the one before it.
  defp told(definitions, before) do
    Enum.reduce(definitions, before, fn next, old ->
      Schema.tell(:write, next, [old])
      next
    end)

    :ok
  end
end
