defmodule Remnesia.Engine.Local.Access do
  @moduledoc false

  # Which tables are read-only. Every write asks, so the answer must cost next to nothing: a persistent term that is an
  # empty list in nearly every program. Writing it makes the VM look through all processes, which is fine for an event
  # as rare as a schema change.

  @key :"$remnesia_read_only"

  @doc "True unless this table is read-only."
  defmacro writable?(table) do
    quote do
      case :persistent_term.get(unquote(@key), []) do
        [] -> true
        tables -> not :lists.member(unquote(table), tables)
      end
    end
  end

  def read_only?(table), do: table in :persistent_term.get(@key, [])

  def put(table, :read_only), do: :persistent_term.put(@key, [table | rest(table)])

  def put(table, :read_write),
    do: if(read_only?(table), do: :persistent_term.put(@key, rest(table)), else: :ok)

  @doc "The database is stopped: no table is left."
  def forget do
    :persistent_term.erase(@key)
    :ok
  end

  defp rest(table), do: List.delete(:persistent_term.get(@key, []), table)
end
