defmodule Remnesia.Engine.Local.Refill do
  @moduledoc false

  # Fills tables with the records of a backup, all of them or none, in the transaction of a schema change.
  #
  # A table that is emptied or made anew is filled beside the old one, which stays as it is; at the end all take the places of the old ones, on
  # disc in one commit. What is added to a table goes to the write set of the transaction. So whatever fails before the end, nothing has
  # happened, and a VM that dies leaves the old tables or the new ones.

  alias Remnesia.Engine.Cstruct
  alias Remnesia.Engine.Local
  alias Remnesia.Engine.Local.{Definitions, Disc, Schema, Signal, Successor, Wait}
  alias Remnesia.{Events, Native}

  @typedoc "What becomes of a table: emptied and filled, made anew by a definition and filled, added to, deleted."
  @type step ::
          {:clear, atom} | {:recreate, Cstruct.t()} | {:keep, atom} | {:delete, atom}

  @doc """
  Does these steps. `fill` gets a function that takes records under the names of their tables, and `{table, key}` for keys to be deleted; those of other
  tables are passed over.
  """
  @spec run(reference, [step], (([tuple] -> :ok) -> result)) :: result | no_return
        when result: term
  def run(txn, steps, fill) do
    begin(steps, txn, [], fn tables ->
      by_name = Map.new(tables, &{&1.name, &1})
      result = fill.(fn items -> Enum.each(items, &item(&1, by_name)) end)
      finish(txn, tables)
      result
    end)
  end

  # --- beginning ---

  # Each table is abandoned by whoever began it.
  defp begin([], _txn, tables, fun), do: fun.(tables)

  defp begin([step | steps], txn, tables, fun) do
    table = begin_one(step, txn)

    try do
      begin(steps, txn, [table | tables], fun)
    catch
      kind, reason ->
        abandon(table, txn)
        :erlang.raise(kind, reason, __STACKTRACE__)
    end
  end

  defp begin_one({:delete, table}, txn) do
    cstruct = existing!(table, txn)
    Schema.writable!(table)
    table(cstruct, :delete)
  end

  defp begin_one({:clear, table}, txn) do
    cstruct = existing!(table, txn)
    Schema.writable!(table)
    shadow(cstruct, cstruct, txn, false)
  end

  defp begin_one({:keep, table}, txn) do
    cstruct = existing!(table, txn)
    Schema.writable!(table)

    # What the write set brings is refused only at the end, when it is too late for the other tables.
    if cstruct.unique == [] do
      table(cstruct, :keep)
    else
      table = shadow(cstruct, cstruct, txn, false)
      copy(nil, table, txn)
      table
    end
  end

  defp begin_one({:recreate, cstruct}, txn) do
    cstruct |> Cstruct.check!() |> Cstruct.check_replicas!(Disc.used?())

    case Definitions.fetch(cstruct.name) do
      {:ok, before} ->
        # A read-only table cannot be locked to be changed.
        Native.table_access(cstruct.name, :read_write)

        try do
          lock(cstruct.name, txn)
          shadow(cstruct, before, txn, false)
        catch
          kind, reason ->
            Native.table_access(cstruct.name, before.access_mode)
            :erlang.raise(kind, reason, __STACKTRACE__)
        end

      :error ->
        create(cstruct)
        lock(cstruct.name, txn)
        shadow(cstruct, cstruct, txn, true)
    end
  end

  defp table(cstruct, how, more \\ %{}) do
    %{name: name, record_name: record_name} = cstruct
    Map.merge(%{name: name, how: how, record_name: record_name, cstruct: cstruct}, more)
  end

  defp existing!(table, txn) do
    cstruct = Schema.existing!(table, {:no_exists, table})
    lock(table, txn)
    cstruct
  end

  defp lock(table, txn) do
    arguments = [txn, table, :write]
    :ok = Signal.settle(apply(Native, :lock_table, arguments), :lock_table, arguments)
  end

  # Empty, and gone with the next start unless it is finished.
  defp create(cstruct) do
    shape = Cstruct.shape(cstruct)

    case Native.table_create(
           cstruct.name,
           shape,
           cstruct,
           Disc.begin(cstruct),
           Disc.rows(cstruct)
         ) do
      :ok -> :ok
      {:"$error", reason} -> Signal.abort(reason)
    end
  end

  defp shadow(cstruct, before, txn, new?) do
    number = Disc.begin(cstruct)
    :ok = Successor.begin(txn, cstruct, number)
    table(cstruct, :shadow, %{number: number, before: before, new?: new?})
  end

  defp copy(continuation, table, txn) do
    answer =
      if continuation,
        do: Native.select_next(nil, continuation),
        else: Native.select(nil, table.name, [{:_, [], [:"$_"]}], :read, 1_000)

    case answer do
      {:done, records} ->
        Enum.each(records, &write(table, &1))

      {:"$error", reason} ->
        Signal.abort(Signal.reason(reason))

      {_slice, records, continuation} ->
        Enum.each(records, &write(table, &1))
        copy(continuation, table, txn)
    end
  end

  # --- filling ---

  defp item(item, tables) when is_tuple(item) and tuple_size(item) > 1 do
    case Map.fetch(tables, elem(item, 0)) do
      {:ok, table} when tuple_size(item) == 2 -> delete(table, elem(item, 1))
      {:ok, table} -> write(table, put_elem(item, 0, table.record_name))
      :error -> :ok
    end
  end

  defp item(item, _tables), do: Signal.abort({:bad_type, item})

  defp write(%{how: :shadow} = table, record),
    do: done!(Successor.write(table.name, record))

  defp write(%{how: :keep} = table, record),
    do: Local.write(table.name, record, :write)

  defp write(_deleted, _record), do: :ok

  defp delete(%{how: :shadow} = table, key),
    do: done!(Wait.with_room(fn -> Native.shadow_delete(table.name, key) end))

  defp delete(%{how: :keep} = table, key), do: Local.delete(table.name, key, :write)
  defp delete(_deleted, _key), do: :ok

  defp done!({:"$error", reason}), do: Signal.abort(Signal.reason(reason))
  defp done!(_done), do: :ok

  # --- the end ---

  defp finish(txn, tables) do
    shadows = Enum.filter(tables, &(&1.how == :shadow))
    # What was brought to disc of a table in RAM was of the old one.
    for %{name: name} <- shadows, do: Definitions.put({:dumped, name}, false)

    swaps = for %{name: name, cstruct: cstruct} <- shadows, do: {name, cstruct}
    definitions = Enum.flat_map(shadows, &Successor.definitions(&1.cstruct, &1.number))
    Successor.swap(txn, swaps, definitions)
    Enum.each(tables, &finish_one(&1, txn))
  end

  defp finish_one(%{how: :keep}, _txn), do: :ok

  defp finish_one(%{how: :delete, name: name, cstruct: cstruct}, txn) do
    :ok = Signal.settle(Native.table_delete(txn, name), :table_delete, [txn, name])
    Definitions.forget(name)
    Schema.tell(:delete, cstruct, :undefined)
    Events.forget(name)
  end

  defp finish_one(%{how: :shadow, name: name, cstruct: cstruct} = table, _txn) do
    Definitions.remember(cstruct)
    Native.table_access(name, cstruct.access_mode)
    Events.refresh(name)

    cond do
      table.new? -> Schema.tell(:write, cstruct, [])
      table.before != cstruct -> Schema.tell(:write, cstruct, [table.before])
      true -> :ok
    end
  end

  defp abandon(%{how: :shadow, name: name, number: number} = table, txn) do
    Native.shadow_drop(name)
    Disc.give_up(List.wrap(number))

    if table.new?,
      do: Wait.with_room(fn -> Native.table_delete(txn, name) end),
      else: Native.table_access(name, table.before.access_mode)

    :ok
  end

  defp abandon(_table, _txn), do: :ok
end
