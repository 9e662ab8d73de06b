defmodule Remnesia.Query do
  @moduledoc """
  Reads and writes the records of a table, inside a transaction.

      Remnesia.transaction(fn ->
        Remnesia.Query.write(%Movie{id: 1, title: "Rush", year: 2013})
        Remnesia.Query.read(Movie, 1)
      end)

  Outside of a transaction every function here but `explain/3` and `test/2` exits with `{:aborted, :no_transaction}`.

  ## Which function

    * one record by its key: `read/3`; all records of a key of a bag: `read_all/3`
    * records that have given values: `match/3`, which uses the key and the indexes
    * records that fulfil conditions: `select/3`; a whole match specification: `select_raw/3`
    * the first few in some order: `select/3` with `:order_by`, `:limit` and `:offset`
    * what they come to: `count/3`, `exists?/3`, `min/4`, `max/4`
    * many records, a few at a time: `stream/3`, or `select_raw/3` with `:limit` and `select_continue/2`
    * to change or delete all that fulfil conditions: `update_all/4`, `delete_all/2`
    * keys alone, or in their order: `all_keys/1`, `first/1`, `next/2`, `last/1`, `prev/2`
    * why a search is slow, or finds nothing: `explain/3`, `test/2`

  ## Conditions

  Conditions are guards, tuples as `{:<, :year, 2000}` (see `select/3`), or Elixir, as `where(Movie, year < 2000)` (see `where/2`).
  Whatever takes a table and guards also takes what `where/2` makes in place of the two:

      Query.count(Movie, {:<, :year, 2000})
      Movie |> Query.where(year < 2000) |> Query.count()

  ## Options

    * `:lock` - the lock that is taken, see `t:lock/0`. Reading functions default to `:read`, writing ones to `:write`. An
      unknown lock fails the transaction with `{:bad_type, table, lock}`.
    * `:limit` - the size of a chunk of results. Defaults to `nil`: all of them at once.
    * `:coerce` - whether results are made structs. Defaults to `true`.

  Searches are documented in `Remnesia.Query.Search`, changes by conditions in `Remnesia.Query.Change`, `explain/3` and `test/2` in
  `Remnesia.Query.Explain`.

  What the database refuses fails the transaction: an unknown table with `{:no_exists, table}`, and so on.
  """

  import Remnesia.Query.Given, only: [load_all: 1]

  alias Remnesia.Engine
  alias Remnesia.Query.{Change, Data, Explain, Search, Where}
  alias Remnesia.Table
  alias Remnesia.Table.Definition

  require Remnesia.Error

  @typedoc """
  A lock. `:read` locks are shared, `:write` locks are exclusive. `:sticky_write` is a write lock that a cluster keeps
  at the node for its next transaction; on one node it is a write lock.
  """
  @type lock :: :read | :write | :sticky_write

  @typedoc "Options; see the module's documentation for what they mean and each function for those it knows."
  @type options :: [
          lock: lock,
          limit: pos_integer | nil,
          coerce: boolean,
          order_by: order,
          offset: non_neg_integer
        ]

  @typedoc "An attribute, from the smallest value on or from the greatest on; of several the first decides, then the second."
  @type order :: atom | {:asc | :desc, atom} | [atom | {:asc | :desc, atom}]

  @typedoc "Where a search with a limit goes on. Valid within the transaction that began it."
  @type continuation :: term

  @typedoc "A condition of `select/3`, see there."
  @type guard :: tuple

  @doc """
  The record with this key, or `nil`. Of a bag it is the first one; `read_all/3` answers the others too.

  Knows the option `:lock`.

  ## Examples

      iex> Remnesia.transaction!(fn -> Remnesia.Query.read(Example.Movie, 2).title end)
      "Jaws"
      iex> Remnesia.transaction!(fn -> Remnesia.Query.read(Example.Movie, 99, lock: :write) end)
      nil
  """
  @spec read(Table.name(), term, options) :: Table.record() | nil
  def read(table, key, options \\ []) do
    case Engine.read(table, key, lock(options, :read)) do
      [record | _] -> Data.load(record)
      [] -> nil
    end
  end

  @doc """
  All records with this key, in the order they were written: several for a bag, at most one otherwise.

  Knows the option `:lock`.

  ## Examples

      iex> Remnesia.transaction!(fn -> length(Remnesia.Query.read_all(Example.Email, 2)) end)
      2
  """
  @spec read_all(Table.name(), term, options) :: [Table.record()]
  def read_all(table, key, options \\ []),
    do: load_all(Engine.read(table, key, lock(options, :read)))

  @doc """
  Writes the record and returns it. In a set it replaces the record with the same key.

  A record whose key is `nil` gets the next number if the table has autoincrement: the greatest numeric key plus one, or
  1. Otherwise a `nil` key raises `Remnesia.Error`.

  Knows the option `:lock`, `:write` or `:sticky_write`.

  ## Examples

      iex> Remnesia.transaction!(fn ->
      ...>   Remnesia.Query.write(struct!(Example.Movie, title: "Ronin", year: 1998)).id
      ...> end)
      4
  """
  @spec write(Table.record(), options) :: Table.record()
  def write(%{__struct__: table} = struct, options \\ []) do
    record = Data.dump(struct)

    if elem(record, 1) == nil do
      write_next(table, struct, record, options)
    else
      :ok = Engine.write(table, record, lock(options, :write))
      struct
    end
  end

  defp write_next(table, struct, record, options) do
    if not Definition.has_autoincrement?(table) do
      Remnesia.Error.raise(
        "Remnesia records cannot have a nil primary key unless autoincrement is enabled"
      )
    end

    key = (Engine.last_number(table) || 0) + 1
    :ok = Engine.write(table, put_elem(record, 1, key), lock(options, :write))
    Map.put(struct, table.__info__().primary_key, key)
  end

  @doc """
  All records of the table, in key order for an `:ordered_set`.

  Knows the option `:lock`.

  ## Examples

      iex> Remnesia.transaction!(fn -> Enum.map(Remnesia.Query.all(Example.Movie), & &1.id) end)
      [1, 2, 3]
  """
  @spec all(Table.name(), options) :: [Table.record()]
  def all(table, options \\ []) do
    load_all(Engine.match_object(table, table.__info__().query_base, lock(options, :read)))
  end

  @doc """
  The records that have the values of the pattern: a tuple of a value, or `:_` for any, for each attribute.

  Raises `Remnesia.Error` if the tuple is not as long as the list of attributes. Knows the option `:lock`.

  ## Examples

      iex> Remnesia.transaction!(fn ->
      ...>   Enum.map(Remnesia.Query.match(Example.Movie, {:_, :_, 1975, :_}), & &1.title)
      ...> end)
      ["Jaws"]
  """
  @spec match(Table.name(), tuple, options) :: [Table.record()]
  def match(table, pattern, options \\ []) when is_tuple(pattern) do
    if tuple_size(pattern) != table.__info__().size do
      Remnesia.Error.raise("Match Pattern length is not equal to the no. of attributes")
    end

    load_all(Engine.match_object(table, Tuple.insert_at(pattern, 0, table), lock(options, :read)))
  end

  @doc """
  Conditions on a table, written as Elixir: what the functions of this module take in the place of a table and its guards.

      import Remnesia.Query, only: [where: 2]

      Movie |> where(year < 2000 and director == ^name) |> Remnesia.Query.select(order_by: :title)

  Names are attributes of the table, which must be known: an unknown one does not compile. Variables and calls are pinned, as `^name` or
  `^String.upcase(name)`; they are values. There can be

    * comparisons, `and`, `or`, `not`, `in` with a list, a range or a pinned collection, `is_nil(year)`
    * `+`, `-`, `*`, `/`, `div`, `rem`, `abs`, `round`, `trunc` and the operators of `Bitwise`
    * tests of types, as `is_binary(title)`; `elem`, `tuple_size` (from OTP 26 on), `hd`, `tl`, `length`, `byte_size`, `bit_size`, `map_size`,
      `is_map_key(map, key)`, `:erlang.map_get(key, map)`, `map.key`
    * `String.starts_with?(title, "Al")`, which uses a key or an index
    * tuples and lists of all this, constants, module attributes

  What cannot be part of a condition is refused when it is compiled. As in a guard of Elixir, one that fails is false.

  The conditions are compiled to a match specification, which is in the field `spec`: at run time no more is done than to put the
  pinned values in.

  ## Examples

      iex> require Remnesia.Query, as: Query
      iex> name = "Ron Howard"
      iex> late = Query.where(Example.Movie, year > 1980 and not is_nil(title))
      iex> Remnesia.transaction!(fn -> {Query.count(late), late |> Query.select(limit: 1) |> hd() |> Map.get(:id)} end)
      {2, 1}
      iex> Remnesia.transaction!(fn -> Query.exists?(Query.where(Example.Movie, director == ^name)) end)
      true
      iex> Code.eval_string("require Remnesia.Query; Remnesia.Query.where(Example.Movie, yaer < 2000)")
      ** (CompileError) nofile:1: unknown field yaer of Example.Movie, known ones are id, title, year, director; if it is a variable, pin it: ^yaer
  """
  defmacro where(table, condition), do: Where.compile(table, condition, __CALLER__)

  # --- searches ---

  @doc """
  The records that fulfil a `where/2`; see `select/3`, which takes it in the place of guards too.

      iex> where = Query.where(Example.Movie, year < 1980)
      iex> Remnesia.transaction!(fn -> Query.select(where) end) |> Enum.map(& &1.title)
      ["Jaws"]
  """
  @spec select(Where.t()) :: [Table.record()]
  defdelegate select(where), to: Search

  @doc """
  The records that fulfil all guards, or a `where/2` with options; see `select/3`.

      iex> Remnesia.transaction!(fn -> Query.select(Example.Movie, {:<, :year, 1980}) end) |> Enum.map(& &1.title)
      ["Jaws"]
  """
  @spec select(Table.name(), guard() | [guard()] | options()) ::
          [Table.record()] | [tuple] | {[tuple], continuation()} | :"$end_of_table"
  defdelegate select(table, guards_or_options), to: Search

  @spec select(
          Table.name() | Where.t(),
          guard() | [guard()] | options(),
          options()
        ) :: [Table.record()] | [tuple] | {[tuple], continuation()} | :"$end_of_table"
  defdelegate select(table, guards, options), to: Search

  @spec count(
          Table.name() | Where.t(),
          guard() | [guard()] | options(),
          options()
        ) :: non_neg_integer
  defdelegate count(table, guards \\ [], options \\ []), to: Search

  @spec exists?(
          Table.name() | Where.t(),
          guard() | [guard()] | options(),
          options()
        ) :: boolean
  defdelegate exists?(table, guards \\ [], options \\ []), to: Search

  @spec min(
          Table.name() | Where.t(),
          atom,
          guard() | [guard()] | options(),
          options()
        ) :: term
  defdelegate min(table, attribute, guards \\ [], options \\ []), to: Search

  @spec max(
          Table.name() | Where.t(),
          atom,
          guard() | [guard()] | options(),
          options()
        ) :: term
  defdelegate max(table, attribute, guards \\ [], options \\ []), to: Search

  @spec stream(
          Table.name() | Where.t(),
          guard() | [guard()] | options(),
          options()
        ) :: Enumerable.t()
  defdelegate stream(table, guards \\ [], options \\ []), to: Search

  @spec select_raw(Table.name(), list, options()) ::
          [Table.record()] | [term] | {[term], continuation()} | :"$end_of_table"
  defdelegate select_raw(table, spec, options \\ []), to: Search

  @spec select_continue(continuation(), options()) ::
          {[term], continuation()} | :"$end_of_table"
  defdelegate select_continue(continuation, options \\ []), to: Search

  # --- changes by conditions ---

  @spec delete_all(Table.name() | Where.t(), guard() | [guard()]) :: non_neg_integer
  defdelegate delete_all(table, guards \\ []), to: Change

  @doc """
  Changes the records that fulfil a `where/2`, and answers their number; see `update_all/3`.

      iex> where = Query.where(Example.Movie, year < 1980)
      iex> Remnesia.transaction!(fn -> Query.update_all(where, director: "Somebody") end)
      1
  """
  @spec update_all(Where.t(), keyword | map | (Table.record() -> Table.record())) ::
          non_neg_integer
  defdelegate update_all(where, changes), to: Change

  @spec update_all(
          Table.name(),
          guard() | [guard()],
          keyword | map | (Table.record() -> Table.record())
        ) :: non_neg_integer
  defdelegate update_all(table, guards, changes), to: Change

  # --- what a search does ---

  @spec explain(Table.name() | Where.t(), guard() | [guard()] | list, analyze: boolean) ::
          Remnesia.Query.Plan.t()
  defdelegate explain(table, guards_or_spec \\ [], options \\ []), to: Explain

  @spec test(Table.record() | tuple, guard() | [guard()] | list | Where.t()) ::
          {:ok, term} | {:error, String.t()}
  defdelegate test(record, guards_or_spec), to: Explain

  @doc """
  Deletes the record with this key, if there is one; of a bag all of them.

  Knows the option `:lock`.

  ## Examples

      iex> Remnesia.transaction!(fn -> Remnesia.Query.delete(Example.Movie, 99) end)
      :ok
  """
  @spec delete(Table.name(), term, options) :: :ok
  def delete(table, key, options \\ []), do: Engine.delete(table, key, lock(options, :write))

  @doc """
  Deletes this record, if there is one equal to it in every field. A field that is `:_` fails the transaction with
  `{:bad_type, table, record}`.

  Knows the option `:lock`.

  ## Examples

      iex> Remnesia.transaction!(fn ->
      ...>   [first | _] = Remnesia.Query.read_all(Example.Email, 2)
      ...>   Remnesia.Query.delete_record(first)
      ...>   length(Remnesia.Query.read_all(Example.Email, 2))
      ...> end)
      1
  """
  @spec delete_record(Table.record(), options) :: :ok
  def delete_record(%{__struct__: table} = struct, options \\ []) do
    Engine.delete_object(table, Data.dump(struct), lock(options, :write))
  end

  @doc """
  All keys of the table, each once.

      iex> Remnesia.transaction!(fn -> Remnesia.Query.all_keys(Example.Movie) end)
      [1, 2, 3]
  """
  @spec all_keys(Table.name()) :: [term]
  def all_keys(table), do: Engine.all_keys(table)

  @doc """
  The first key: the smallest of an `:ordered_set`, any of the others. `:"$end_of_table"` if there is none.

      iex> Remnesia.transaction!(fn -> Remnesia.Query.first(Example.Movie) end)
      1
  """
  @spec first(Table.name()) :: term | :"$end_of_table"
  def first(table), do: Engine.first(table)

  @doc """
  The last key: the greatest of an `:ordered_set`; the same as `first/1` for the others.

      iex> Remnesia.transaction!(fn -> Remnesia.Query.last(Example.Movie) end)
      3
  """
  @spec last(Table.name()) :: term | :"$end_of_table"
  def last(table), do: Engine.last(table)

  @doc """
  The key after this one, or `:"$end_of_table"`. The key need not exist in an `:ordered_set`; in the others it must.

      iex> Remnesia.transaction!(fn -> Remnesia.Query.next(Example.Movie, 1.5) end)
      2
  """
  @spec next(Table.name(), term) :: term | :"$end_of_table"
  def next(table, key), do: Engine.next(table, key)

  @doc """
  The key before this one in an `:ordered_set`, or `:"$end_of_table"`; the same as `next/2` for the others.

      iex> Remnesia.transaction!(fn -> Remnesia.Query.prev(Example.Movie, 1) end)
      :"$end_of_table"
  """
  @spec prev(Table.name(), term) :: term | :"$end_of_table"
  def prev(table, key), do: Engine.prev(table, key)

  # Most calls have no options: that costs nothing. Reads and writes have it at hand.
  defp lock([], default), do: default
  defp lock(options, default), do: Keyword.get(options, :lock, default)
end
