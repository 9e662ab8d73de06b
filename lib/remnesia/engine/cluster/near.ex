defmodule Remnesia.Engine.Cluster.Near do
  @moduledoc false

  # Reads outside transactions go to the native table itself where its copy is on this node; all others, and whatever is not a plain answer, are
  # Mnesia's.

  alias Remnesia.Engine
  alias Remnesia.Engine.Local.Index
  alias Remnesia.Native

  @spec dirty_read(Engine.table(), term) :: [tuple]
  def dirty_read(table, key) do
    with true <- here?(table),
         records when is_list(records) <- Native.read(nil, {:mnesia, table}, key, :read) do
      records
    else
      _elsewhere_or_gone -> :mnesia.dirty_read(table, key)
    end
  end

  # Mnesia reads the copy here: it is complete. Whether it is a native one the native side says.
  defp here?(table) do
    :ets.lookup_element(:mnesia_gvar, {table, :where_to_read}, 2) == node()
  rescue
    ArgumentError -> false
  end

  @spec dirty_select(Engine.table(), list) :: [term]
  def dirty_select(table, spec) when is_list(spec) do
    with true <- here?(table),
         {:done, records} <- Native.select(nil, {:mnesia, table}, spec, :read, 0) do
      records
    else
      _elsewhere_or_long -> :mnesia.dirty_select(table, spec)
    end
  end

  def dirty_select(table, spec), do: :mnesia.dirty_select(table, spec)

  # Where nothing is found Mnesia says whether the pattern can be one of this table.
  @spec dirty_match_object(Engine.table(), tuple) :: [tuple]
  def dirty_match_object(table, pattern) do
    with true <- is_tuple(pattern) and tuple_size(pattern) > 2 and here?(table),
         {:done, [_ | _] = records} <-
           Native.select(nil, {:mnesia, table}, [{pattern, [], [:"$_"]}], :read, 0) do
      records
    else
      _elsewhere_or_none -> :mnesia.dirty_match_object(table, pattern)
    end
  end

  @spec dirty_index_read(Engine.table(), term, Engine.attribute()) :: [tuple]
  def dirty_index_read(table, value, attribute) do
    with true <- here?(table),
         position when is_integer(position) <- position(table, attribute),
         false <- :mnesia.has_var(value),
         {:done, records} <- Native.index_read(nil, {:mnesia, table}, value, position) do
      records
    else
      _elsewhere_or_long -> :mnesia.dirty_index_read(table, value, attribute)
    end
  end

  defp position(_table, position) when is_integer(position), do: position

  defp position(table, attribute) do
    Index.find(:ets.lookup_element(:mnesia_gvar, {table, :attributes}, 2), attribute, 2)
  rescue
    ArgumentError -> nil
  end
end
