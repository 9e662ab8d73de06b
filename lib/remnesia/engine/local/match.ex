defmodule Remnesia.Engine.Local.Match do
  @moduledoc false

  # Patterns: what is asked for by a record with variables. Each is a match specification of one clause, so the planner decides
  # what is used, whatever position the caller names; the position is checked as Mnesia does it, no more.

  import Remnesia.Engine.Local.Transaction, only: [current: 0]

  alias Remnesia.Engine.Local
  alias Remnesia.Engine.Local.{Dirty, Info, Signal}
  alias Remnesia.Native

  defguardp is_pattern(table, pattern)
            when is_atom(table) and table != :schema and is_tuple(pattern) and
                   tuple_size(pattern) > 2

  @doc "The specification of the records that a pattern matches."
  @spec spec(tuple) :: list
  def spec(pattern), do: [{pattern, [], [:"$_"]}]

  @spec index_match_object(term, term, term, term) :: [tuple] | no_return
  def index_match_object(table, pattern, attribute, kind) when is_pattern(table, pattern) do
    case current() do
      :undefined ->
        Signal.no_transaction()

      txn ->
        if Native.txn_depth(txn) == 0, do: Signal.no_transaction()
        position = position(table, attribute)

        cond do
          is_integer(position) and position > tuple_size(pattern) ->
            Signal.abort({:bad_type, table, position})

          kind != :read ->
            Signal.abort({:bad_type, table, kind})

          true ->
            check(table, pattern, attribute, position)
            Local.select(table, spec(pattern), :read)
        end
    end
  end

  def index_match_object(table, pattern, _attribute, _kind) do
    if not Local.is_transaction(), do: Signal.no_transaction()
    Signal.abort({:bad_type, table, pattern})
  end

  @spec dirty_match_object(term, term) :: [tuple] | no_return
  def dirty_match_object(table, pattern) when is_pattern(table, pattern),
    do: Dirty.select(table, spec(pattern))

  def dirty_match_object(table, pattern), do: Signal.abort({:bad_type, table, pattern})

  @spec dirty_index_match_object(term, term, term) :: [tuple] | no_return
  def dirty_index_match_object(table, pattern, attribute) when is_pattern(table, pattern) do
    check(table, pattern, attribute, position(table, attribute))
    Dirty.select(table, spec(pattern))
  end

  def dirty_index_match_object(table, pattern, _attribute),
    do: Signal.abort({:bad_type, table, pattern})

  # The place of an attribute, which may be given as such.
  defp position(_table, position) when is_integer(position), do: position
  defp position(_table, {_plugin} = position), do: position

  defp position(table, attribute) do
    case Enum.find_index(Info.table(table, :attributes), &(&1 == attribute)) do
      nil -> Signal.abort({:bad_type, attribute})
      index -> index + 2
    end
  end

  # An index is named, so it must be there, and its value be known; unless the key is.
  defp check(_table, _pattern, _attribute, {_plugin}), do: :ok

  defp check(table, pattern, attribute, position) do
    cond do
      position > tuple_size(pattern) ->
        Signal.abort({:bad_type, table, position})

      not Local.variable?(elem(pattern, 1)) ->
        :ok

      Local.variable?(elem(pattern, position - 1)) ->
        Signal.abort({:bad_type, table, attribute, elem(pattern, position - 1)})

      elem(pattern, 1) == :_ and position not in Info.table(table, :index) ->
        Signal.abort({:no_exists, table, {:index, position}})

      true ->
        :ok
    end
  end
end
