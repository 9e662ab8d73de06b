defmodule Remnesia.Engine.Local.Locks do
  @moduledoc false

  # Who holds and waits for what, and how transactions ended, in Mnesia's shapes.
  #
  # A lock of a record keeps the hash of the key, not the key. So the keys are looked for, in what the transaction wrote and in the table,
  # and among those that lock/2 has named or that somebody has waited for; otherwise the key is `{:hash, number}`.

  alias Remnesia.Native

  @table :______WHOLETABLE_____
  @global :______GLOBAL_____

  @type tid :: {:tid, integer, pid}

  @doc "The locks that are held: `{{table, key}, kind, tid}`."
  @spec held() :: [{{atom, term}, :read | :write, tid}]
  def held, do: Enum.sort(for {item, kind, false, tid} <- all(), do: {item, kind, tid})

  @doc "Those that are waited for: `{{table, key}, kind, pid, tid, tid of one that holds it}`."
  @spec queue() :: [{{atom, term}, :read | :write, pid, tid, tid}]
  def queue do
    all = all()

    for {item, kind, true, {:tid, _, pid} = tid} <- all do
      holder = Enum.find_value(all, tid, &holder(&1, item, tid))
      {item, kind, pid, tid, holder}
    end
    |> Enum.sort()
  end

  # The holder may have the table, where the waiter wants a record of it, or the other way round.
  defp holder({{table, key}, _kind, false, tid}, {table, wanted}, waiter)
       when tid != waiter and (key == wanted or key == @table or wanted == @table),
       do: tid

  defp holder(_lock, _item, _waiter), do: nil

  defp all do
    for {item, exclusive, waits, serial, pid} <- Native.locks(),
        do: {item(item), if(exclusive, do: :write, else: :read), waits, {:tid, serial, pid}}
  end

  defp item({:table, table}), do: {table, @table}
  defp item({:record, table, key}), do: {table, found(key)}
  # Changes of the schema lock its name.
  defp item({:global, {:ok, :schema}}), do: {:schema, @table}
  defp item({:global, term}), do: {@global, found(term)}

  defp found({:ok, term}), do: term
  defp found(hash), do: {:hash, hash}

  @doc "The transactions that are open: `{serial, pid, :coordinator}`."
  @spec transactions() :: [{integer, pid, :coordinator}]
  def transactions do
    {open, _, _, _} = Native.transactions()
    for {serial, pid} <- open, do: {serial, pid, :coordinator}
  end

  @doc "How many transactions have ended so, or were begun again."
  @spec count(:commits | :failures | :restarts) :: non_neg_integer
  def count(what) do
    {_, commits, failures, restarts} = Native.transactions()
    %{commits: commits, failures: failures, restarts: restarts}[what]
  end
end
