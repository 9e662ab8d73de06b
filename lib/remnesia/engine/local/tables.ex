defmodule Remnesia.Engine.Local.Tables do
  @moduledoc false

  # Tables come, go, and are emptied.

  import Remnesia.Engine.Local.Transaction, only: [current: 0]

  alias Remnesia.Engine
  alias Remnesia.Engine.Cstruct

  alias Remnesia.Engine.Local.{
    Activity,
    Checkpoints,
    Definitions,
    Disc,
    FragmentCstruct,
    Fragments,
    Schema,
    Signal,
    Transaction,
    Wait
  }

  alias Remnesia.Events
  alias Remnesia.Native

  @spec create_table(term, term) :: Engine.change()
  def create_table(table, options) when is_list(options) do
    Schema.change(fn _txn ->
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
    Schema.tell(:write, cstruct, [])
    Schema.tell(:write, cstruct, [cstruct])
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
  def delete_table(:schema), do: Schema.change(fn _txn -> Signal.abort({:bad_type, :schema}) end)

  def delete_table(table) do
    Schema.change(fn txn -> delete_whole!(txn, table) end)
  end

  @doc "Deletes a table, with all fragments of it."
  @spec delete_whole!(reference, term) :: :ok | no_return
  def delete_whole!(txn, table) do
    cstruct = Schema.existing!(table, {:no_exists, table})
    tables = if cstruct.frag_properties == [], do: [table], else: fragments!(table)
    Enum.each(tables, &Schema.writable!/1)
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
    Checkpoints.forget(table)
    Schema.tell(:delete, cstruct, :undefined)
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
    cstruct = Schema.existing!(table, {:no_exists, table})
    Schema.writable!(table)
    :ok = Signal.settle(Native.table_clear(txn, table), :table_clear, [txn, table])
    tell_cleared(cstruct, txn)
    Events.complete(Activity.id(txn))
  end

  # Subscribers of a table learn that it was cleared by messages about its definition.
  defp tell_cleared(cstruct, txn) do
    table = cstruct.name
    {simple, detailed} = Events.subscribers(table)

    if {simple, detailed} != {[], []} do
      {definition, id} = {Schema.record(cstruct), Activity.id(txn)}

      Events.deliver([
        {simple, {:delete, {:schema, table}, id}},
        {simple, {:write, definition, id}},
        {detailed, {:delete, :schema, {:schema, table}, [definition], id}},
        {detailed, {:write, :schema, definition, [], id}}
      ])
    end

    :ok
  end
end
