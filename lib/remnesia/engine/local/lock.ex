defmodule Remnesia.Engine.Local.Lock do
  @moduledoc false

  # Mnesia's lock/2 with what it answers: the nodes that are locked for a write, what is stored for a read.

  alias Remnesia.Engine.Local
  alias Remnesia.Engine.Local.{Activity, Dirty, Schema, Signal, Transaction}

  @writes [:write, :sticky_write]

  @doc "Locks an item in the activity of the process."
  @spec lock(term, term) :: term | no_return
  def lock(item, kind) do
    case Activity.get_id() do
      {:remnesia, {:tid, _, _}, _} -> acquire(item, kind)
      {:remnesia, _dirty, _} -> []
      {module, id, store} -> Activity.handler(module).lock(id, store, item, kind)
      :undefined -> Signal.no_transaction()
    end
  end

  @doc "Locks an item in the transaction of the process."
  @spec acquire(term, term) :: term | no_return
  def acquire({:table, table}, kind), do: table(table, kind)
  def acquire({:record, table, key}, kind), do: record(table, key, kind)
  def acquire({:global, term, nodes}, kind), do: global(term, nodes, kind)

  def acquire(item, _kind) do
    if not Transaction.inside?(), do: Signal.no_transaction()
    Signal.abort({:bad_type, item})
  end

  defp table(table, _kind) when not is_atom(table), do: Signal.abort({:bad_type, table})

  # Changes of the schema lock its name.
  defp table(:schema, :read) do
    Local.lock_global(:schema, :read)
    :ok
  end

  defp table(:schema, kind) when kind in [:load | @writes] do
    Local.lock_global(:schema, :write)
    [node()]
  end

  defp table(table, :read) do
    Local.lock_table(table, :read)
    :ok
  end

  # A load lock excludes writers and other loaders: for one node that is a write lock.
  defp table(table, kind) when kind in [:load | @writes] do
    Local.lock_table(table, if(kind == :load, do: :write, else: kind))
    locked(kind)
  end

  defp table(_table, :none), do: []
  defp table(table, kind), do: Signal.abort({:bad_type, table, kind})

  defp record(table, _key, _kind) when not is_atom(table), do: Signal.abort({:bad_type, table})

  # A record of the schema is a table's definition.
  defp record(:schema, table, :read) do
    Local.lock_global(:schema, :read)
    Schema.definition(table)
  end

  defp record(:schema, _table, kind) when kind in @writes do
    Local.lock_global(:schema, :write)
    [node()]
  end

  defp record(table, key, :read) do
    # Locked by its name even where nothing is, it is shown by its name. What the transaction wrote is not told.
    Local.lock_record(table, key, :read)
    Dirty.read(table, key)
  end

  defp record(table, key, kind) when kind in @writes do
    Local.lock_record(table, key, kind)
    locked(kind)
  end

  defp record(_table, _key, :none), do: []
  defp record(table, _key, kind), do: Signal.abort({:bad_type, table, kind})

  defp locked(:sticky_write), do: :granted
  defp locked(_kind), do: [node()]

  defp global(term, nodes, kind) when is_list(nodes) do
    if kind not in [:read, :write], do: Signal.abort({:bad_type, kind})

    if node() in nodes do
      Local.lock_global(term, kind)
      [node()]
    else
      []
    end
  end

  defp global(_term, nodes, _kind), do: Signal.abort({:bad_type, nodes})
end
