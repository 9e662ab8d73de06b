defmodule Remnesia.Mnesia.Dirty do
  @moduledoc """
  The dirty functions of `:remnesia`, by Mnesia's names: no transaction, no lock, committed records only; each call is atomic. They are the same
  everywhere, also within a transaction. What is wrong leaves as an exit with `{:aborted, reason}`, see `Remnesia.Mnesia.Access`; where
  there is no such table the reason is `{:no_exists, what}`.
  """

  alias Remnesia.Engine

  @type table :: atom

  @doc """
  The records of a key, by `{table, key}`.

      iex> :remnesia.dirty_read({:city, :oslo})
      [{:city, :oslo, :norway, 700_000}]
  """
  @spec dirty_read({table, term}) :: [tuple]
  def dirty_read({table, key}), do: Engine.dirty_read(table, key)
  def dirty_read(other), do: Engine.abort({:bad_type, other})

  @doc """
  The records of a key.

      iex> :remnesia.dirty_read(:city, :rome)
      []
  """
  @spec dirty_read(table, term) :: [tuple]
  def dirty_read(table, key), do: Engine.dirty_read(table, key)

  @doc """
  Writes a record into the table of its name.

      iex> :remnesia.dirty_write({:city, :rome, :italy, 2_800_000})
      :ok
  """
  @spec dirty_write(tuple) :: :ok
  def dirty_write(record) when is_tuple(record) and tuple_size(record) > 2,
    do: Engine.dirty_write(elem(record, 0), record)

  def dirty_write(other), do: Engine.abort({:bad_type, other})

  @doc """
  Writes a record into a table.

      iex> :remnesia.dirty_write(:city, {:city, :rome, :italy, 2_800_000})
      :ok
  """
  @spec dirty_write(table, tuple) :: :ok
  def dirty_write(table, record), do: Engine.dirty_write(table, record)

  @doc """
  Deletes the records of a key; there may be none.

      iex> :remnesia.dirty_delete({:city, :oslo})
      :ok
  """
  @spec dirty_delete({table, term}) :: :ok
  def dirty_delete({table, key}), do: Engine.dirty_delete(table, key)
  def dirty_delete(other), do: Engine.abort({:bad_type, other})

  @doc """
  The same.

      iex> :remnesia.dirty_delete(:city, :oslo)
      :ok
  """
  @spec dirty_delete(table, term) :: :ok
  def dirty_delete(table, key), do: Engine.dirty_delete(table, key)

  @doc """
  Deletes a record, if exactly it is there.

      iex> :remnesia.dirty_delete_object({:city, :oslo, :norway, 1})
      :ok
  """
  @spec dirty_delete_object(tuple) :: :ok
  def dirty_delete_object(record) when is_tuple(record) and tuple_size(record) > 2,
    do: Engine.dirty_delete_object(elem(record, 0), record)

  def dirty_delete_object(other), do: Engine.abort({:bad_type, other})

  @doc """
  The same in a table.

      iex> :remnesia.dirty_delete_object(:city, {:city, :oslo, :norway, 1})
      :ok
  """
  @spec dirty_delete_object(table, tuple) :: :ok
  def dirty_delete_object(table, record), do: Engine.dirty_delete_object(table, record)

  @doc """
  Adds to a counter, `{table, key}`, and answers its new value, which is never below 0. For tables of type `:set` and `:ordered_set` with one
  attribute beside the key; others are refused with `{:combine_error, table, :update_counter}`.

      iex> :remnesia.dirty_update_counter({:hits, "/"}, 1)
      1
      iex> :remnesia.dirty_update_counter({:hits, "/"}, -5)
      0
  """
  @spec dirty_update_counter({table, term}, integer) :: non_neg_integer
  def dirty_update_counter({table, key}, increment),
    do: Engine.dirty_update_counter(table, key, increment)

  def dirty_update_counter(other, _increment), do: Engine.abort({:bad_type, other})

  @doc """
  The same.

      iex> :remnesia.dirty_update_counter(:hits, "/about", 3)
      3
  """
  @spec dirty_update_counter(table, term, integer) :: non_neg_integer
  def dirty_update_counter(table, key, increment),
    do: Engine.dirty_update_counter(table, key, increment)

  @doc """
  The records that match a pattern, in the table of its name.

      iex> :remnesia.dirty_match_object({:city, :_, :norway, :_})
      [{:city, :oslo, :norway, 700_000}]
  """
  @spec dirty_match_object(tuple) :: [tuple]
  def dirty_match_object(pattern) when is_tuple(pattern) and tuple_size(pattern) > 2,
    do: Engine.dirty_match_object(elem(pattern, 0), pattern)

  def dirty_match_object(other), do: Engine.abort({:bad_type, other})

  @doc """
  The same in a table.

      iex> :remnesia.dirty_match_object(:city, {:city, :_, :italy, :_})
      []
  """
  @spec dirty_match_object(table, tuple) :: [tuple]
  def dirty_match_object(table, pattern), do: Engine.dirty_match_object(table, pattern)

  @doc """
  What a match specification finds.

      iex> :remnesia.dirty_select(:city, [{{:city, :"$1", :_, :_}, [], [:"$1"]}])
      [:oslo]
  """
  @spec dirty_select(table, list) :: [term]
  def dirty_select(table, spec), do: Engine.dirty_select(table, spec)

  @doc """
  The records with a value of an indexed attribute.

      iex> :remnesia.dirty_index_read(:city, :norway, :country)
      [{:city, :oslo, :norway, 700_000}]
  """
  @spec dirty_index_read(table, term, atom | pos_integer) :: [tuple]
  def dirty_index_read(table, value, attribute),
    do: Engine.dirty_index_read(table, value, attribute)

  @doc """
  The records that match a pattern, by an indexed attribute that is bound in it.

      iex> :remnesia.dirty_index_match_object({:city, :_, :norway, :_}, :country)
      [{:city, :oslo, :norway, 700_000}]
  """
  @spec dirty_index_match_object(tuple, atom | pos_integer) :: [tuple]
  def dirty_index_match_object(pattern, attribute)
      when is_tuple(pattern) and tuple_size(pattern) > 2,
      do: Engine.dirty_index_match_object(elem(pattern, 0), pattern, attribute)

  def dirty_index_match_object(other, _attribute), do: Engine.abort({:bad_type, other})

  @doc """
  The same in a table.

      iex> :remnesia.dirty_index_match_object(:city, {:city, :_, :italy, :_}, :country)
      []
  """
  @spec dirty_index_match_object(table, tuple, atom | pos_integer) :: [tuple]
  def dirty_index_match_object(table, pattern, attribute),
    do: Engine.dirty_index_match_object(table, pattern, attribute)

  @doc """
  All keys.

      iex> :remnesia.dirty_all_keys(:city)
      [:oslo]
  """
  @spec dirty_all_keys(table) :: [term]
  def dirty_all_keys(table), do: Engine.dirty_all_keys(table)

  @doc """
  The first key, or `:"$end_of_table"`.

      iex> :remnesia.dirty_first(:city)
      :oslo
  """
  @spec dirty_first(table) :: term
  def dirty_first(table), do: Engine.dirty_first(table)

  @doc """
  The last key; where keys have no order the same as `dirty_first/1`.

      iex> :remnesia.dirty_last(:city)
      :oslo
  """
  @spec dirty_last(table) :: term
  def dirty_last(table), do: Engine.dirty_last(table)

  @doc """
  The key after a key. Exits with `{:badarg, [table, key]}` where there is no such key and no order.

      iex> :remnesia.dirty_next(:city, :oslo)
      :"$end_of_table"
  """
  @spec dirty_next(table, term) :: term
  def dirty_next(table, key), do: Engine.dirty_next(table, key)

  @doc """
  The key before a key; where keys have no order the same as `dirty_next/2`.

      iex> :remnesia.dirty_prev(:city, :oslo)
      :"$end_of_table"
  """
  @spec dirty_prev(table, term) :: term
  def dirty_prev(table, key), do: Engine.dirty_prev(table, key)

  @doc """
  The records of a slot. Slots are counted from 0; the one after the last is `:"$end_of_table"`, beyond that it exits with `{:badarg, [table, slot]}`.

      iex> :remnesia.dirty_slot(:city, 0)
      [{:city, :oslo, :norway, 700_000}]
      iex> :remnesia.dirty_slot(:city, 1)
      :"$end_of_table"
  """
  @spec dirty_slot(table, non_neg_integer) :: [tuple] | :"$end_of_table"
  def dirty_slot(table, slot), do: Engine.dirty_slot(table, slot)

  @doc false
  @spec has_var(term) :: boolean
  def has_var(term), do: Engine.variable?(term)

  @doc """
  Calls a function where the table is, which is here; `{:badarg, arguments}` if it fails.

      iex> :remnesia.dirty_rpc(:city, :remnesia, :dirty_read, [:city, :rome])
      []
  """
  @spec dirty_rpc(table, module, atom, [term]) :: term
  def dirty_rpc(table, module, function, arguments) do
    if Engine.system_info(:is_running) == :no or not Engine.table?(table),
      do: Engine.abort({:no_exists, arguments})

    try do
      apply(module, function, arguments)
    catch
      :throw, value -> value
      _kind, _reason -> Engine.abort({:badarg, arguments})
    end
  end
end
