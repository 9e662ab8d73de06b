defmodule Remnesia.Engine.Cluster.Near do
  @moduledoc false

  # Reads outside transactions go to the native table itself where its copy is on this node; all others, and whatever is not a plain answer, are
  # Mnesia's.
  #
  # Where a table is read Mnesia's table of facts says. To ask it takes as long as a read, so its answer is kept for as long as it cannot have
  # changed (native/nif/src/near.rs).

  alias Remnesia.Engine
  alias Remnesia.Engine.Local.Index
  alias Remnesia.Native

  @spec dirty_read(Engine.table(), term) :: [tuple]
  def dirty_read(table, key) do
    case Native.read(:"$near", table, key, :read) do
      records when is_list(records) ->
        records

      refused ->
        with true <- here?(refused, table),
             records when is_list(records) <- Native.read(nil, {:mnesia, table}, key, :read) do
          records
        else
          _elsewhere_or_gone -> :mnesia.dirty_read(table, key)
        end
    end
  end

  # Mnesia reads the copy here: it is complete. Whether it is a native one the native side has said.
  defp here?({:"$error", :"$far"}, table) do
    run = Native.near_run()
    here? = :ets.lookup_element(:mnesia_gvar, {table, :where_to_read}, 2) == node()
    if here?, do: Native.near_prove(table, run)
    here?
  rescue
    ArgumentError -> false
  end

  defp here?(_no_native_table, _table), do: false

  @spec dirty_select(Engine.table(), list) :: [term]
  def dirty_select(table, spec) when is_list(spec) do
    case select(table, spec) do
      {:done, records} -> records
      _elsewhere_or_long -> :mnesia.dirty_select(table, spec)
    end
  end

  def dirty_select(table, spec), do: :mnesia.dirty_select(table, spec)

  defp select(table, spec) do
    with {:"$error", _} = refused <- Native.select(:"$near", table, spec, :read, 0),
         true <- here?(refused, table),
         do: Native.select(nil, {:mnesia, table}, spec, :read, 0)
  end

  # Where nothing is found Mnesia says whether the pattern can be one of this table.
  @spec dirty_match_object(Engine.table(), tuple) :: [tuple]
  def dirty_match_object(table, pattern) do
    with true <- is_tuple(pattern) and tuple_size(pattern) > 2,
         {:done, [_ | _] = records} <- select(table, [{pattern, [], [:"$_"]}]) do
      records
    else
      _elsewhere_or_none -> :mnesia.dirty_match_object(table, pattern)
    end
  end

  @spec dirty_index_read(Engine.table(), term, Engine.attribute()) :: [tuple]
  def dirty_index_read(table, value, attribute) do
    with position when is_integer(position) <- position(table, attribute),
         false <- :mnesia.has_var(value),
         {:done, records} <- index_read(table, value, position) do
      records
    else
      _elsewhere_or_long -> :mnesia.dirty_index_read(table, value, attribute)
    end
  end

  defp index_read(table, value, position) do
    with {:"$error", _} = refused <- Native.index_read(:"$near", table, value, position),
         true <- here?(refused, table),
         do: Native.index_read(nil, {:mnesia, table}, value, position)
  end

  defp position(_table, position) when is_integer(position), do: position

  defp position(table, attribute) do
    Index.find(:ets.lookup_element(:mnesia_gvar, {table, :attributes}, 2), attribute, 2)
  rescue
    ArgumentError -> nil
  end
end
