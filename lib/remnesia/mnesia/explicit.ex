defmodule Remnesia.Mnesia.Explicit do
  @moduledoc """
  The operations of `:remnesia` that an access module hands on: those of `Remnesia.Mnesia.Access` with the activity's id and store in front,
  see `Remnesia.Mnesia.Activity.activity/4`.
  """

  alias Remnesia.Engine
  alias Remnesia.Mnesia.Tables

  @typedoc "What an access module gets first."
  @type id :: {:tid, integer, pid} | {:async_dirty | :sync_dirty | :ets, pid}

  @typedoc "What it gets then."
  @type store :: {:tidstore, reference, list, pos_integer} | :non_transaction

  @doc false
  @spec lock(id, store, term, term) :: term
  def lock(id, store, item, lock), do: Engine.in_activity(id, store, :lock, [item, lock])

  @doc false
  @spec write(id, store, term, term, term) :: term
  def write(id, store, table, record, lock),
    do: Engine.in_activity(id, store, :write, [table, record, lock])

  @doc false
  @spec delete(id, store, term, term, term) :: term
  def delete(id, store, table, key, lock),
    do: Engine.in_activity(id, store, :delete, [table, key, lock])

  @doc false
  @spec delete_object(id, store, term, term, term) :: term
  def delete_object(id, store, table, record, lock),
    do: Engine.in_activity(id, store, :delete_object, [table, record, lock])

  @doc false
  @spec read(id, store, term, term, term) :: term
  def read(id, store, table, key, lock),
    do: Engine.in_activity(id, store, :read, [table, key, lock])

  @doc false
  @spec match_object(id, store, term, term, term) :: term
  def match_object(id, store, table, pattern, lock),
    do: Engine.in_activity(id, store, :match_object, [table, pattern, lock])

  @doc false
  @spec select(id, store, term, term, term) :: term
  def select({:tid, _, _}, _store, table, spec, lock)
      when table == :schema or not is_atom(table) do
    cond do
      table != :schema ->
        Engine.abort({:bad_type, table})

      lock in [:read, :write, :sticky_write, :load, :none] ->
        Engine.abort({:bad_type, table, spec})

      true ->
        Engine.abort({:bad_type, table, lock})
    end
  end

  def select(id, store, table, spec, lock),
    do: Engine.in_activity(id, store, :select, [table, spec, lock])

  @doc false
  @spec select(id, store, term, term, term, term) :: term
  def select(id, store, table, spec, size, lock),
    do: Engine.in_activity(id, store, :select, [table, spec, size, lock])

  @doc false
  @spec select_cont(id, store, term) :: term
  def select_cont(id, store, continuation),
    do: Engine.in_activity(id, store, :select_cont, [continuation])

  @doc false
  @spec index_match_object(id, store, term, term, term, term) :: term
  def index_match_object(id, store, table, pattern, attribute, lock),
    do: Engine.in_activity(id, store, :index_match_object, [table, pattern, attribute, lock])

  @doc false
  @spec first(id, store, term) :: term
  def first(id, store, table), do: Engine.in_activity(id, store, :first, [table])

  @doc false
  @spec last(id, store, term) :: term
  def last(id, store, table), do: Engine.in_activity(id, store, :last, [table])

  @doc false
  @spec next(id, store, term, term) :: term
  def next(id, store, table, key), do: Engine.in_activity(id, store, :next, [table, key])

  @doc false
  @spec prev(id, store, term, term) :: term
  def prev(id, store, table, key), do: Engine.in_activity(id, store, :prev, [table, key])

  @doc false
  @spec all_keys(id, store, term, term) :: term
  def all_keys(id, store, table, _lock), do: Engine.in_activity(id, store, :all_keys, [table])

  @doc false
  @spec index_read(id, store, term, term, term, term) :: term
  def index_read(id, store, table, value, attribute, :read),
    do: Engine.in_activity(id, store, :index_read, [table, value, attribute])

  def index_read(_id, _store, table, _value, _attribute, lock),
    do: Engine.abort({:bad_type, table, lock})

  @doc false
  @spec foldl(id, store, fun, term, term, term) :: term
  def foldl(id, store, fun, acc, table, lock),
    do: Engine.fold(id, store, :left, fun, acc, table, lock)

  @doc false
  @spec foldr(id, store, fun, term, term, term) :: term
  def foldr(id, store, fun, acc, table, lock),
    do: Engine.fold(id, store, :right, fun, acc, table, lock)

  @doc false
  @spec table_info(id, store, term, term) :: term
  def table_info(_id, _store, table, item), do: Engine.table_info(table, item)

  @doc false
  @spec clear_table(id, store, term, term) :: term
  def clear_table({:tid, _, _} = id, store, table, _pattern),
    do: Engine.in_activity(id, store, :clear_table, [table])

  def clear_table(_id, _store, table, _pattern), do: Tables.clear_table(table)
end
