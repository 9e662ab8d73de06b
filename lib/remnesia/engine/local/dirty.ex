defmodule Remnesia.Engine.Local.Dirty do
  @moduledoc false

  # Access without a transaction: one NIF call, no lock, committed data only. A dirty function stays dirty inside a
  # transaction. What goes wrong leaves as an exit, in the shapes Mnesia gives to each.

  alias Remnesia.Engine.Local.{Scan, Signal, Wait}
  alias Remnesia.Native

  def read(table, key) do
    case Native.read(nil, table, key, :read) do
      records when is_list(records) -> records
      {:"$error", _reason} = error -> refused(error, table, [table, key])
    end
  end

  def write(table, record) when is_tuple(record) and tuple_size(record) > 2 do
    case Native.write(nil, table, record, :write) do
      :ok -> :ok
      signal -> settle(signal, :write, [nil, table, record, :write], elem(record, 1), table)
    end
  end

  def write(table, record), do: Signal.abort({:bad_type, table, record})

  def delete(table, key) do
    case Native.delete(nil, table, key) do
      :ok -> :ok
      signal -> settle(signal, :delete, [nil, table, key], key, {table, :where_to_commit})
    end
  end

  def delete_object(table, record) when is_tuple(record) and tuple_size(record) > 2 do
    settle(
      Native.delete_object(nil, table, record),
      :delete_object,
      [nil, table, record],
      elem(record, 1),
      table
    )
  end

  def delete_object(table, record), do: Signal.abort({:bad_type, table, record})

  def update_counter(table, key, increment) when is_integer(increment) do
    case Native.update_counter(table, key, increment) do
      value when is_integer(value) -> value
      signal -> settle(signal, :update_counter, [table, key, increment], key, table)
    end
  end

  def update_counter(table, _key, increment), do: Signal.abort({:bad_type, table, increment})

  def select(table, spec) when is_list(spec), do: scan(:select, [nil, table, spec, :read, 0])
  def select(table, spec), do: Signal.abort({:bad_type, table, spec})

  @doc "The first chunk of a select, and its continuation."
  def select(table, spec, limit)
      when is_atom(table) and is_list(spec) and is_integer(limit) and limit > 0 do
    arguments = [nil, table, spec, :read, limit]
    template = Scan.template(nil, table, spec, :read)
    Scan.chunk(apply(Native, :select, arguments), :select, arguments, template)
  end

  def select(table, spec, limit), do: Signal.abort({:badarg, table, spec, limit})

  @doc "The chunk after a continuation."
  def select(continuation), do: Scan.continue(nil, continuation)

  def index_read(table, value, position), do: scan(:index_read, [nil, table, value, position])

  def all_keys(table), do: scan(:all_keys, [nil, table])

  defp scan(operation, arguments),
    do: Scan.all(apply(Native, operation, arguments), operation, arguments)

  # A large commit may hold the key: wait for it, then do the call again.
  defp settle(:"$commit_wait", operation, arguments, key, item) do
    table = Enum.find(arguments, &(&1 != nil))
    Wait.commit(table, key)
    settle(apply(Native, operation, arguments), operation, arguments, key, item)
  end

  defp settle({:"$error", _reason} = error, _operation, arguments, _key, item),
    do: refused(error, Enum.find(arguments, &(&1 != nil)), item)

  defp settle(value, _operation, _arguments, _key, _item), do: value

  defp refused({:"$error", reason}, table, item)
       when reason == :not_running or reason == {:no_exists, table},
       do: Signal.abort({:no_exists, item})

  defp refused({:"$error", reason}, _table, _item), do: Signal.abort(Signal.reason(reason))
end
