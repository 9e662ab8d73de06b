defmodule Remnesia.Engine.Local.Storage do
  @moduledoc false

  # Tables, and the schema, from memory to disc and back while they are used. Each is the middle of a schema change, which holds the
  # schema's lock; a table is held exclusively and frozen. What counts at the next start is the definition, and that changes in one
  # step: before it everything is as it was, after it everything is done.

  alias Remnesia.Engine.Cstruct
  alias Remnesia.Engine.Local.{Definitions, Directory, Disc, Nodes, Rebuild, Schema, Signal}
  alias Remnesia.{Events, Native}

  @type type :: :ram_copies | :disc_copies | :disc_only_copies

  # --- tables ---

  @doc "Changes how a table is kept here."
  @spec table(reference, Cstruct.t(), type) :: :ok | no_return
  def table(txn, cstruct, type) do
    changed = cstruct |> Cstruct.next_version() |> Cstruct.put_storage(node(), type)

    # What was dumped is void: rows come anew, or go.
    dumped(cstruct.name, false, fn ->
      # Rows that are in memory stay there, else it is another table.
      if :only in [Disc.rows(cstruct), Disc.rows(changed)],
        do: Rebuild.run(txn, changed, :ignore),
        else: keep(txn, changed, Disc.rows?(changed))
    end)

    Definitions.remember(changed)
    told(changed, cstruct)
  end

  # The rows are on disc as long as the definition says so: both change in one step.
  defp keep(txn, %{name: table} = changed, log?) do
    {number, _rows} = Native.table_disc(table)
    clear = if log?, do: [], else: [{:clear, number}]
    changes = clear ++ [Disc.definition(number, changed)]
    arguments = [txn, table, log?, Disc.rows?(changed), changes, changed]
    :ok = Signal.settle(apply(Native, :table_keep, arguments), :table_keep, arguments)
  end

  @doc "Brings the records of a table in memory to disc, where the next start finds them."
  @spec dump(reference, Cstruct.t()) :: :ok | no_return
  def dump(txn, cstruct), do: dumped(cstruct.name, true, fn -> keep(txn, cstruct, true) end)

  # A definition says on disc whether the records were dumped, so that is known before it is written.
  defp dumped(table, now, fun) do
    was = Definitions.get({:dumped, table}, false)
    Definitions.put({:dumped, table}, now)

    try do
      fun.()
    catch
      kind, reason ->
        Definitions.put({:dumped, table}, was)
        :erlang.raise(kind, reason, __STACKTRACE__)
    end
  end

  # --- the schema ---

  @doc "Puts the schema on disc, with the definitions of all tables, or takes it away from there."
  @spec schema(Cstruct.t(), type) :: :ok | no_return
  def schema(cstruct, :disc_copies) do
    if Directory.exists?(), do: Signal.abort({:already_exists, node()})
    changed = cstruct |> Cstruct.next_version() |> Cstruct.put_storage(node(), :disc_copies)

    case Disc.adopt(changed) do
      :ok ->
        for table <- Native.tables(),
            is_atom(table),
            {:ok, definition} = Definitions.fetch(table) do
          :ok = Native.table_number(table, Disc.define(definition))
        end

        stored(changed, cstruct)

      {:error, reason} ->
        Signal.abort(reason)
    end
  end

  def schema(cstruct, :ram_copies) do
    on_disc =
      for table <- Definitions.names(),
          {:ok, definition} = Definitions.fetch(table),
          Disc.rows?(definition),
          do: table

    if on_disc != [], do: Signal.abort({~c"Disc resident tables", on_disc, node()})
    # Records of tables in memory that were dumped are read from what goes now.
    with {:error, reason} <- Nodes.all_loaded(), do: Signal.abort(reason)
    for table <- Native.tables(), do: :ok = Native.table_number(table, nil)

    with {:error, reason} <- Disc.abandon(), do: Signal.abort(reason)

    cstruct
    |> Cstruct.next_version()
    |> Cstruct.put_storage(node(), :ram_copies)
    |> stored(cstruct)
  end

  defp stored(changed, before) do
    Definitions.store(changed)
    told(changed, before)
  end

  defp told(changed, before) do
    Events.refresh(changed.name)
    Schema.tell(:write, changed, [before])
    :ok
  end
end
