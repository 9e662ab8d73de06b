defmodule Remnesia.Transfer.Restore do
  @moduledoc false

  # A backup in Mnesia's format into the running database, as one change of the schema.

  alias Remnesia.Engine.Cstruct
  alias Remnesia.Engine.Local.{Disc, Refill, Schema, Signal}
  alias Remnesia.Transfer.Media

  @type operation :: :clear_tables | :recreate_tables | :keep_tables | :skip_tables

  @doc "Restores; `operations` says what becomes of which table, the first word counts."
  @spec run(module, term, [{atom, operation}], operation) :: {:atomic, [atom]} | {:aborted, term}
  def run(module, opaque, operations, default) do
    case Media.schema(module, opaque) do
      {:ok, _header, schema} ->
        Schema.changing(fn txn ->
          steps = steps(schema, operations, default)
          Refill.run(txn, steps, fn put -> fill(module, opaque, put) end)
          for step <- steps, name = filled(step), do: name
        end)

      {:error, reason} ->
        {:aborted, reason}
    end
  end

  defp fill(module, opaque, put) do
    case Media.iterate(module, opaque, fn _header, _schema -> :ok end, fn items, :ok ->
           put.(items)
         end) do
      {:ok, :ok} -> :ok
      {:error, reason} -> Signal.abort(reason)
    end
  end

  # The last table comes first, as in Mnesia's answer.
  defp steps(schema, operations, default) do
    Enum.reduce(schema, [], fn
      {:schema, :schema, _definition}, steps ->
        steps

      {:schema, table, definition}, steps ->
        case operation(table, operations, default) do
          :skip_tables -> steps
          :clear_tables -> [{:clear, table} | steps]
          :keep_tables -> [{:keep, table} | steps]
          :recreate_tables -> [{:recreate, cstruct(table, definition)} | steps]
        end

      {:schema, table}, steps ->
        [{:delete, table} | Enum.reject(steps, &(filled(&1) == table))]

      other, _steps ->
        Signal.abort({:bad_type, other})
    end)
  end

  defp operation(table, operations, default) do
    case List.keyfind(operations, table, 0) do
      {^table, operation} -> operation
      nil -> default
    end
  end

  defp filled({:delete, _table}), do: nil
  defp filled({:recreate, cstruct}), do: cstruct.name
  defp filled({_operation, table}), do: table

  @doc "The definition of a table as a backup says it, with its copies here."
  @spec cstruct(atom, keyword) :: Cstruct.t() | no_return
  def cstruct(table, definition) do
    if not (is_atom(table) and Keyword.keyword?(definition)),
      do: Signal.abort({:bad_type, {:schema, table, definition}})

    # A definition that was made elsewhere; its storage is known by the place its nodes stand at.
    storage =
      Enum.find([:disc_copies, :disc_only_copies, :ram_copies], :ram_copies, fn kind ->
        node() in List.wrap(definition[kind])
      end)

    storage = if storage == :ram_copies, do: elsewhere(definition), else: storage
    copies = [:ram_copies, :disc_copies, :disc_only_copies, :external_copies]
    options = Keyword.drop(definition, [:name, :cookie, :snmp | copies])
    Cstruct.read!(table, [{storage, [node()]} | options])
  end

  defp elsewhere(definition) do
    kind = Enum.find([:disc_copies, :disc_only_copies], &(List.wrap(definition[&1]) != []))

    if node() not in List.wrap(definition[:ram_copies]) and kind != nil and Disc.used?(),
      do: kind,
      else: :ram_copies
  end
end
