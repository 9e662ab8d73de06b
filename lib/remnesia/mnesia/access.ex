defmodule Remnesia.Mnesia.Access do
  @moduledoc """
  Reading, writing and locking within an activity of `:remnesia`, by Mnesia's names.

  Outside of an activity each function exits with `{:aborted, :no_transaction}`. In a transaction a failure is an exit that ends it, with
  the reason as its result:

  | reason | when |
  |---|---|
  | `{:no_exists, table}` | there is no such table, or it is read-only and was to be changed |
  | `{:bad_type, record}` | the record has another name or size than the table's |
  | `{:bad_type, table, lock}` | there is no such lock |
  | `{:bad_type, table, record}` | an object to be deleted, or a pattern, is none |

  Locks: `:read`, `:write`, `:sticky_write` (on one node the same as `:write`).
  """

  alias Remnesia.Engine

  @type table :: atom
  @type lock :: :read | :write | :sticky_write

  # --- reading ---

  @doc """
  The records of a key, by `{table, key}`.

      iex> :remnesia.transaction(fn -> :remnesia.read({:city, :oslo}) end)
      {:atomic, [{:city, :oslo, :norway, 700_000}]}
  """
  @spec read({table, term}) :: [tuple]
  def read({table, key}), do: Engine.read(table, key, :read)
  def read(other), do: Engine.abort({:bad_type, other})

  @doc """
  The records of a key.

      iex> :remnesia.transaction(fn -> :remnesia.read(:city, :rome) end)
      {:atomic, []}
  """
  @spec read(table, term) :: [tuple]
  def read(table, key), do: Engine.read(table, key, :read)

  @doc """
  The same, with a lock.

      iex> :remnesia.transaction(fn -> :remnesia.read(:city, :rome, :write) end)
      {:atomic, []}
      iex> :remnesia.transaction(fn -> :remnesia.read(:city, :rome, :loose) end)
      {:aborted, {:bad_type, :city, :loose}}
  """
  @spec read(table, term, lock) :: [tuple]
  def read(table, key, lock), do: Engine.read(table, key, lock)

  @doc """
  The records of a key that is going to be written: with a write lock.

      iex> :remnesia.transaction(fn -> :remnesia.wread({:city, :oslo}) end)
      {:atomic, [{:city, :oslo, :norway, 700_000}]}
  """
  @spec wread({table, term}) :: [tuple]
  def wread({table, key}), do: Engine.read(table, key, :write)
  def wread(other), do: Engine.abort({:bad_type, other})

  # --- writing ---

  @doc """
  Writes a record into the table of its name.

      iex> :remnesia.transaction(fn -> :remnesia.write({:city, :rome, :italy, 2_800_000}) end)
      {:atomic, :ok}
      iex> :remnesia.transaction(fn -> :remnesia.write({:city, :rome}) end)
      {:aborted, {:bad_type, {:city, :rome}}}
  """
  @spec write(tuple) :: :ok
  def write(record) when is_tuple(record) and tuple_size(record) > 2,
    do: Engine.write(elem(record, 0), record, :write)

  def write(other), do: Engine.abort({:bad_type, other})

  @doc """
  Writes a record into a table.

      iex> :remnesia.transaction(fn -> :remnesia.write(:city, {:city, :rome, :italy, 2_800_000}, :write) end)
      {:atomic, :ok}
  """
  @spec write(table, tuple, lock) :: :ok
  def write(table, record, lock), do: Engine.write(table, record, lock)

  @doc """
  Writes a record with a sticky lock.

      iex> :remnesia.transaction(fn -> :remnesia.s_write({:city, :rome, :italy, 2_800_000}) end)
      {:atomic, :ok}
  """
  @spec s_write(tuple) :: :ok
  def s_write(record) when is_tuple(record) and tuple_size(record) > 2,
    do: Engine.write(elem(record, 0), record, :sticky_write)

  @doc """
  Deletes the records of a key; there may be none.

      iex> :remnesia.transaction(fn -> :remnesia.delete({:city, :oslo}) end)
      {:atomic, :ok}
  """
  @spec delete({table, term}) :: :ok
  def delete({table, key}), do: Engine.delete(table, key, :write)
  def delete(other), do: Engine.abort({:bad_type, other})

  @doc """
  The same, with a lock.

      iex> :remnesia.transaction(fn -> :remnesia.delete(:city, :oslo, :write) end)
      {:atomic, :ok}
  """
  @spec delete(table, term, lock) :: :ok
  def delete(table, key, lock), do: Engine.delete(table, key, lock)

  @doc """
  The same, with a sticky lock.

      iex> :remnesia.transaction(fn -> :remnesia.s_delete({:city, :oslo}) end)
      {:atomic, :ok}
  """
  @spec s_delete({table, term}) :: :ok
  def s_delete({table, key}), do: Engine.delete(table, key, :sticky_write)
  def s_delete(other), do: Engine.abort({:bad_type, other})

  @doc """
  Deletes a record, if exactly it is there.

      iex> :remnesia.transaction(fn ->
      ...>   :remnesia.delete_object({:city, :oslo, :norway, 1})
      ...>   :remnesia.read(:city, :oslo)
      ...> end)
      {:atomic, [{:city, :oslo, :norway, 700_000}]}
  """
  @spec delete_object(tuple) :: :ok
  def delete_object(record) when is_tuple(record) and tuple_size(record) > 2,
    do: Engine.delete_object(elem(record, 0), record, :write)

  def delete_object(other), do: Engine.abort({:bad_type, other})

  @doc """
  The same in a table, with a lock.

      iex> :remnesia.transaction(fn -> :remnesia.delete_object(:city, {:city, :oslo, :_, :_}, :write) end)
      {:aborted, {:bad_type, :city, {:city, :oslo, :_, :_}}}
  """
  @spec delete_object(table, tuple, lock) :: :ok
  def delete_object(table, record, lock), do: Engine.delete_object(table, record, lock)

  @doc """
  The same, with a sticky lock.

      iex> :remnesia.transaction(fn -> :remnesia.s_delete_object({:city, :oslo, :norway, 1}) end)
      {:atomic, :ok}
  """
  @spec s_delete_object(tuple) :: :ok
  def s_delete_object(record) when is_tuple(record) and tuple_size(record) > 2,
    do: Engine.delete_object(elem(record, 0), record, :sticky_write)

  def s_delete_object(other), do: Engine.abort({:bad_type, other})

  # --- searching ---

  @doc """
  The records that match a pattern, in the table of its name.

      iex> :remnesia.transaction(fn -> :remnesia.match_object({:city, :_, :norway, :_}) end)
      {:atomic, [{:city, :oslo, :norway, 700_000}]}
  """
  @spec match_object(tuple) :: [tuple]
  def match_object(pattern) when is_tuple(pattern) and tuple_size(pattern) > 2,
    do: Engine.match_object(elem(pattern, 0), pattern, :read)

  def match_object(other), do: Engine.abort({:bad_type, other})

  @doc """
  The same in a table, with a lock.

      iex> :remnesia.transaction(fn -> :remnesia.match_object(:city, {:city, :_, :italy, :_}, :read) end)
      {:atomic, []}
  """
  @spec match_object(table, tuple, lock) :: [tuple]
  def match_object(table, pattern, lock), do: Engine.match_object(table, pattern, lock)

  @doc """
  What a match specification finds.

      iex> :remnesia.transaction(fn -> :remnesia.select(:city, [{{:city, :"$1", :norway, :_}, [], [:"$1"]}]) end)
      {:atomic, [:oslo]}
  """
  @spec select(table, list) :: [term]
  def select(table, spec), do: Engine.select(table, spec, :read)

  @doc """
  The same, with a lock.

      iex> :remnesia.transaction(fn -> :remnesia.select(:city, [{:_, [], [:ok]}], :write) end)
      {:atomic, [:ok]}
  """
  @spec select(table, list, lock) :: [term]
  def select(table, spec, lock), do: Engine.select(table, spec, lock)

  @doc """
  The same in chunks of about so many records: `{found, continuation}`, or `:"$end_of_table"`.

      iex> :remnesia.transaction(fn ->
      ...>   {found, continuation} = :remnesia.select(:city, [{:_, [], [:ok]}], 10, :read)
      ...>   {found, :remnesia.select(continuation)}
      ...> end)
      {:atomic, {[:ok], :"$end_of_table"}}
  """
  @spec select(table, list, pos_integer, lock) :: {[term], term} | :"$end_of_table"
  def select(table, spec, size, lock), do: Engine.select(table, spec, size, lock)

  @doc """
  The chunk after a continuation of `select/4`; of another transaction's it fails with `:wrong_transaction`.

      iex> {:atomic, {[:ok], continuation}} =
      ...>   :remnesia.transaction(fn -> :remnesia.select(:city, [{:_, [], [:ok]}], 1, :read) end)
      iex> :remnesia.transaction(fn -> :remnesia.select(continuation) end)
      {:aborted, :wrong_transaction}
  """
  @spec select(term) :: {[term], term} | :"$end_of_table"
  def select(continuation), do: Engine.select(continuation)

  @doc """
  The records with a value of an indexed attribute, which is given by name or position.

  Fails with `{:no_exists, table, {:index, [position]}}` where there is no index, `{:bad_type, attribute}` for an unknown one.

      iex> :remnesia.transaction(fn -> :remnesia.index_read(:city, :norway, :country) end)
      {:atomic, [{:city, :oslo, :norway, 700_000}]}
  """
  @spec index_read(table, term, atom | pos_integer) :: [tuple]
  def index_read(table, value, attribute), do: Engine.index_read(table, value, attribute)

  @doc """
  The records that match a pattern, by an indexed attribute that is bound in it.

      iex> :remnesia.transaction(fn -> :remnesia.index_match_object({:city, :_, :norway, :_}, :country) end)
      {:atomic, [{:city, :oslo, :norway, 700_000}]}
  """
  @spec index_match_object(tuple, atom | pos_integer) :: [tuple]
  def index_match_object(pattern, attribute) when is_tuple(pattern) and tuple_size(pattern) > 2,
    do: Engine.index_match_object(elem(pattern, 0), pattern, attribute, :read)

  def index_match_object(other, _attribute), do: Engine.abort({:bad_type, other})

  @doc """
  The same in a table, with a lock.

      iex> :remnesia.transaction(fn -> :remnesia.index_match_object(:city, {:city, :_, :italy, :_}, :country, :read) end)
      {:atomic, []}
  """
  @spec index_match_object(table, tuple, atom | pos_integer, lock) :: [tuple]
  def index_match_object(table, pattern, attribute, lock),
    do: Engine.index_match_object(table, pattern, attribute, lock)

  # --- keys ---

  @doc """
  All keys of a table.

      iex> :remnesia.transaction(fn -> :remnesia.all_keys(:city) end)
      {:atomic, [:oslo]}
  """
  @spec all_keys(table) :: [term]
  def all_keys(table), do: Engine.all_keys(table)

  @doc """
  The first key, or `:"$end_of_table"`.

      iex> :remnesia.transaction(fn -> :remnesia.first(:city) end)
      {:atomic, :oslo}
  """
  @spec first(table) :: term
  def first(table), do: Engine.first(table)

  @doc """
  The last key, or `:"$end_of_table"`; where keys have no order the same as `first/1`.

      iex> :remnesia.transaction(fn -> :remnesia.last(:city) end)
      {:atomic, :oslo}
  """
  @spec last(table) :: term
  def last(table), do: Engine.last(table)

  @doc """
  The key after a key, or `:"$end_of_table"`. Fails with `{:badarg, [table, key]}` where there is no such key and no order.

      iex> :remnesia.transaction(fn -> :remnesia.next(:city, :oslo) end)
      {:atomic, :"$end_of_table"}
  """
  @spec next(table, term) :: term
  def next(table, key), do: Engine.next(table, key)

  @doc """
  The key before a key; where keys have no order the same as `next/2`.

      iex> :remnesia.transaction(fn -> :remnesia.prev(:city, :oslo) end)
      {:atomic, :"$end_of_table"}
  """
  @spec prev(table, term) :: term
  def prev(table, key), do: Engine.prev(table, key)

  # --- folding ---

  @doc """
  Folds a function over all records, in key order where there is one. It may change the table: each record is handed over as it is
  when its turn comes, and those it adds are not.

      iex> :remnesia.transaction(fn -> :remnesia.foldl(fn {:city, _, _, people}, sum -> people + sum end, 0, :city) end)
      {:atomic, 700_000}
  """
  @spec foldl((tuple, acc -> acc), acc, table) :: acc when acc: term
  def foldl(fun, acc, table), do: foldl(fun, acc, table, :read)

  @doc """
  The same, with a lock for the table.

      iex> :remnesia.transaction(fn -> :remnesia.foldl(fn _city, number -> number + 1 end, 0, :city, :write) end)
      {:atomic, 1}
  """
  @spec foldl((tuple, acc -> acc), acc, table, lock) :: acc when acc: term
  def foldl(fun, acc, table, lock) when is_function(fun),
    do: Engine.fold(:left, fun, acc, table, lock)

  @doc """
  The same from the last key to the first.

      iex> :remnesia.transaction(fn -> :remnesia.foldr(fn record, all -> [record | all] end, [], :city) end)
      {:atomic, [{:city, :oslo, :norway, 700_000}]}
  """
  @spec foldr((tuple, acc -> acc), acc, table) :: acc when acc: term
  def foldr(fun, acc, table), do: foldr(fun, acc, table, :read)

  @doc """
  The same, with a lock for the table.

      iex> :remnesia.transaction(fn -> :remnesia.foldr(fn _city, number -> number + 1 end, 0, :city, :write) end)
      {:atomic, 1}
  """
  @spec foldr((tuple, acc -> acc), acc, table, lock) :: acc when acc: term
  def foldr(fun, acc, table, lock) when is_function(fun),
    do: Engine.fold(:right, fun, acc, table, lock)

  # --- locking ---

  @doc """
  Locks `{:table, table}`, `{:record, table, key}` or `{:global, term, nodes}` until the transaction ends.

  For a write answers the nodes that are locked; for a read what a read answers, or `:ok` for a table.

      iex> :remnesia.transaction(fn -> :remnesia.lock({:table, :city}, :write) end)
      {:atomic, [node()]}
      iex> :remnesia.transaction(fn -> :remnesia.lock({:record, :city, :rome}, :read) end)
      {:atomic, []}
  """
  @spec lock(term, lock | :load | :none) :: term
  def lock(item, lock), do: Engine.lock(item, lock)

  @doc """
  Locks a table.

      iex> :remnesia.transaction(fn -> :remnesia.lock_table(:city, :read) end)
      {:atomic, :ok}
  """
  @spec lock_table(table, lock | :load | :none) :: term
  def lock_table(table, lock), do: Engine.lock({:table, table}, lock)

  @doc """
  Locks a table for reading.

      iex> :remnesia.transaction(fn -> :remnesia.read_lock_table(:city) end)
      {:atomic, :ok}
  """
  @spec read_lock_table(table) :: :ok
  def read_lock_table(table) do
    Engine.lock({:table, table}, :read)
    :ok
  end

  @doc """
  Locks a table for writing.

      iex> :remnesia.transaction(fn -> :remnesia.write_lock_table(:city) end)
      {:atomic, :ok}
  """
  @spec write_lock_table(table) :: :ok
  def write_lock_table(table) do
    Engine.lock({:table, table}, :write)
    :ok
  end
end
