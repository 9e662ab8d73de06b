defmodule Remnesia.Engine.Local.Schema do
  @moduledoc false

  # Changes of the schema. Each is a transaction of its own that first locks the schema, so two changes never interleave, and is
  # refused inside another one. What they change: `Tables`, `Copies`, `Change`.

  import Remnesia.Engine.Local.Transaction, only: [current: 0]

  alias Remnesia.Engine
  alias Remnesia.Engine.Cstruct
  alias Remnesia.Engine.Local.{Activity, Apart, Definitions, Disc, Signal, Transaction}
  alias Remnesia.Events
  alias Remnesia.Native

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

  @doc "The definition of a table that is there. One that is being loaded is not there yet, as in Mnesia."
  @spec existing!(term, term) :: Cstruct.t() | no_return
  def existing!(table, reason) do
    case Definitions.fetch(table) do
      {:ok, cstruct} -> if there?(table), do: cstruct, else: Signal.abort({:no_exists, table})
      :error -> Signal.abort(reason)
    end
  end

  defp there?(table), do: table == :schema or Native.table_size(table) != :error

  @doc "Refuses a table that cannot be changed."
  @spec writable!(term) :: :ok | no_return
  def writable!(table) do
    if existing!(table, {:no_exists, table}).access_mode == :read_only,
      do: Signal.abort({:no_exists, table}),
      else: :ok
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

  @doc "A definition as subscribers and readers of the schema get it. Mnesia leaves out the copies in storage of plug-ins."
  @spec record(Cstruct.t()) :: tuple
  def record(cstruct),
    do: {:schema, cstruct.name, cstruct |> Cstruct.to_list() |> Keyword.delete(:external_copies)}
end
