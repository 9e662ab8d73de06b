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

  What the database refuses fails the transaction: an unknown table with `{:no_exists, table}`, and so on.
  """

  alias Remnesia.Engine
  alias Remnesia.Query.{Data, Order, Plan, Spec, Where}
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
  The records that fulfil all guards.

  A guard is a tuple of an operator and its operands, which are attributes, values or guards:

    * comparison - `:==`, `:!=`, `:<`, `:<=`, `:>`, `:>=`, and `:===`, `:!==` that tell 5 from 5.0
    * logic - `:and`, `:or`, `:xor` with two operands, `:not` with one
    * tests with one operand - `:is_nil`, `:is_atom`, `:is_binary`, `:is_boolean`, `:is_float`, `:is_integer`, `:is_list`,
      `:is_map`, `:is_number`, `:is_tuple` and the others of a match specification
    * arithmetic - `:+`, `:-`, `:*`, `:div`, `:rem` and the others of a match specification

    * membership - `{:in, :id, [1, 2, 3]}`, as `===`. Instead of a list it can be a range or another collection. Its members are values,
      also if they are named like an attribute.
    * `{:prefix, :name, "Al"}` - strings that begin with this one

  An atom that is an attribute's name means the attribute, on either side. A tuple as a value is written
  `{:const, tuple}`. An unknown operator raises `ArgumentError`.

  Values compare as in Elixir: in term order, where all numbers come before all atoms. So a `nil` is greater than any number.

  ## Options

    * `:lock` - defaults to `:read`
    * `:limit` - at most so many records, exactly so many if there are
    * `:offset` - so many are left out before the first. Defaults to 0.
    * `:order_by` - an attribute, `{:desc, attribute}`, or a list of these. Records that are equal in all of them come in no
      particular order: name the key last to make it certain. Without it an `:ordered_set` is in the order of its keys.
    * `:coerce` - with `coerce: false` records are tuples. With `:limit`, and neither `:order_by` nor `:offset`, the limit then is that of a
      chunk and the result has a continuation, see `select_raw/3`.

  An order by the key of an `:ordered_set` or by an index, together with a limit, looks at the first records only, if the conditions are not
  such that another way is better. Otherwise what is found is sorted, and with a limit no more than that is kept.

  ## Examples

      iex> guards = [{:>=, :year, 1990}, {:or, {:==, :director, "Ron Howard"}, {:==, :title, "Jaws"}}]
      iex> Remnesia.transaction!(fn -> Enum.map(Remnesia.Query.select(Example.Movie, guards), & &1.id) end)
      [3]
      iex> Remnesia.transaction!(fn -> Remnesia.Query.select(Example.Movie, {:not, {:is_integer, :year}}) end)
      []
      iex> Remnesia.transaction!(fn ->
      ...>   for guard <- [{:in, :id, [3, 1, 9]}, {:prefix, :title, "R"}] do
      ...>     Example.Movie |> Remnesia.Query.select(guard, order_by: :title, limit: 1) |> Enum.map(& &1.title)
      ...>   end
      ...> end)
      [["Reservoir Dogs"], ["Reservoir Dogs"]]
      iex> Remnesia.transaction!(fn ->
      ...>   Enum.map(Remnesia.Query.select(Example.Movie, [], order_by: {:desc, :year}, offset: 1), & &1.year)
      ...> end)
      [1992, 1975]
  """
  @spec select(Table.name() | Where.t(), guard | [guard] | options, options) ::
          [Table.record()] | [tuple] | {[tuple], continuation} | :"$end_of_table"
  def select(table, guards, options), do: table |> query(guards, options) |> select_query()

  @doc false
  def select(%Where{} = where), do: select(where, [], [])

  @doc false
  def select(table, guards_or_options), do: select(table, guards_or_options, [])

  defp select_query({table, spec, options}) do
    if Keyword.has_key?(options, :order_by) or Keyword.has_key?(options, :offset),
      do: select_in_order(table, spec, options),
      else: select_raw(table, spec, options)
  end

  defp select_in_order(table, spec, options) do
    order = Order.positions(table, Keyword.get(options, :order_by, []))
    limit = size!(:limit, Keyword.get(options, :limit), 1)
    offset = size!(:offset, Keyword.get(options, :offset), 0)
    records = Engine.select_in_order(table, spec, order, limit, offset, lock(options, :read))
    if Keyword.get(options, :coerce, true), do: load_all(records), else: records
  end

  defp size!(_option, nil, _least), do: 0
  defp size!(_option, size, least) when is_integer(size) and size >= least, do: size

  defp size!(option, other, least) do
    raise ArgumentError,
          "expected #{inspect(option)} to be an integer of #{least} or more, got: #{inspect(other)}"
  end

  # A table and guards, or conditions that know their table; then options.
  defp query(%Where{table: table, spec: spec}, options, []), do: {table, spec, options}
  defp query(table, guards, options), do: {table, spec(table, guards), options}

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

  @doc """
  How many records fulfil all guards, see `select/3`. None of them is made: it takes half the time of a select or less, and none at
  all for a table that the transaction has not written to if there are no guards.

  Knows the option `:lock`.

  ## Examples

      iex> Remnesia.transaction!(fn ->
      ...>   {Remnesia.Query.count(Example.Movie), Remnesia.Query.count(Example.Movie, {:<, :year, 1990})}
      ...> end)
      {3, 1}
  """
  @spec count(Table.name() | Where.t(), guard | [guard] | options, options) :: non_neg_integer
  def count(table, guards \\ [], options \\ []) do
    {table, spec, options} = query(table, guards, options)
    Engine.count(table, spec, lock(options, :read))
  end

  @doc """
  Is there a record that fulfils all guards, see `select/3`? It stops at the first.

  Knows the option `:lock`.

  ## Examples

      iex> Remnesia.transaction!(fn -> Remnesia.Query.exists?(Example.Movie, {:==, :title, "Jaws"}) end)
      true
  """
  @spec exists?(Table.name() | Where.t(), guard | [guard] | options, options) :: boolean
  def exists?(table, guards \\ [], options \\ []) do
    {table, [{head, guards, _body}], options} = query(table, guards, options)
    spec = [{head, guards, [true]}]
    Engine.select_in_order(table, spec, [], 1, 0, lock(options, :read)) != []
  end

  @doc """
  The smallest value of an attribute among the records that fulfil all guards, or `nil` if there are none.

  It is the first of an order by that attribute, see `select/3`: one look for the key of an `:ordered_set` or an indexed attribute
  without other conditions. All numbers are smaller than all atoms, `nil` included.

      Remnesia.Query.min(Movie, :year, {:==, :director, "Ron Howard"})
      Movie |> Remnesia.Query.where(director == "Ron Howard") |> Remnesia.Query.min(:year)

  Knows the option `:lock`. Raises `ArgumentError` if the attribute is unknown.

  ## Examples

      iex> Remnesia.transaction!(fn -> {Remnesia.Query.min(Example.Movie, :year), Remnesia.Query.max(Example.Movie, :year)} end)
      {1975, 2013}
      iex> Remnesia.transaction!(fn -> Remnesia.Query.min(Example.Movie, :year, {:>, :year, 2020}) end)
      nil
  """
  @spec min(Table.name() | Where.t(), atom, guard | [guard] | options, options) :: term
  def min(table, attribute, guards \\ [], options \\ []),
    do: table |> query(guards, options) |> first_value(attribute, 1)

  @doc """
  The greatest value of an attribute among the records that fulfil all guards, or `nil` if there are none; see `min/4`.
  """
  @spec max(Table.name() | Where.t(), atom, guard | [guard] | options, options) :: term
  def max(table, attribute, guards \\ [], options \\ []),
    do: table |> query(guards, options) |> first_value(attribute, -1)

  defp first_value({table, [{head, guards, _body}], options}, attribute, direction) do
    position = Order.position!(table, attribute)
    spec = [{head, guards, [elem(head, position - 1)]}]

    case Engine.select_in_order(table, spec, [direction * position], 1, 0, lock(options, :read)) do
      [value] -> value
      [] -> nil
    end
  end

  @doc """
  Deletes the records that fulfil all guards, see `select/3`, and returns how many they were.

  Records that are found by key are locked one by one, otherwise the table is.

  ## Examples

      iex> Remnesia.transaction!(fn ->
      ...>   {Remnesia.Query.delete_all(Example.Movie, {:<, :year, 2000}), Remnesia.Query.count(Example.Movie)}
      ...> end)
      {2, 1}
  """
  @spec delete_all(Table.name() | Where.t(), guard | [guard]) :: non_neg_integer
  def delete_all(table, guards \\ []) do
    {table, spec, []} = query(table, guards, [])
    Engine.delete_all(table, spec)
  end

  @doc """
  Changes the records that fulfil all guards, see `select/3`, and returns how many they were.

  `changes` are new values by attribute, or a function that gets each record and returns the new one. The key cannot be changed.
  All records are found before the first is changed. A function that raises changes nothing, as it ends the transaction.

      Remnesia.Query.update_all(Movie, {:<, :year, 2000}, era: :old)
      Movie |> Remnesia.Query.where(year < 2000) |> Remnesia.Query.update_all(&%{&1 | year: &1.year + 1})

  Records that are found by key are locked one by one, otherwise the table is. A changed record of a bag comes after the others of its key.

  Raises `ArgumentError` if an attribute is unknown or the key, or the function returns another key or something else than a record of
  the table.

  ## Examples

      iex> Remnesia.transaction!(fn ->
      ...>   2 = Remnesia.Query.update_all(Example.Movie, {:<, :year, 2000}, director: "unknown")
      ...>   1 = Remnesia.Query.update_all(Example.Movie, {:==, :id, 2}, fn movie -> %{movie | year: movie.year + 1} end)
      ...>   movie = Remnesia.Query.read(Example.Movie, 2)
      ...>   {movie.year, movie.director}
      ...> end)
      {1976, "unknown"}
  """
  @spec update_all(
          Table.name(),
          guard | [guard],
          keyword | map | (Table.record() -> Table.record())
        ) :: non_neg_integer
  def update_all(table, guards, changes) do
    {table, spec, []} = query(table, guards, [])
    Engine.update_all(table, spec, updater(table, changes))
  end

  @doc false
  def update_all(%Where{} = where, changes), do: update_where(where, changes)

  defp update_where(%Where{table: table, spec: spec}, changes),
    do: Engine.update_all(table, spec, updater(table, changes))

  defp updater(table, fun) when is_function(fun, 1) do
    fn record ->
      struct = Data.load(record)

      with %{__struct__: ^table} = changed <- fun.(struct),
           new when elem(new, 1) === elem(record, 1) <- Data.dump(changed) do
        new
      else
        other ->
          raise ArgumentError,
                "expected a record of #{inspect(table)} with the key #{inspect(elem(record, 1))}, got: #{inspect(other)}"
      end
    end
  end

  defp updater(table, changes) do
    changes =
      for {attribute, value} <- changes do
        case Order.position!(table, attribute) do
          2 -> raise ArgumentError, "#{inspect(attribute)} is the key, which cannot be changed"
          position -> {position - 1, value}
        end
      end

    &Enum.reduce(changes, &1, fn {at, value}, record -> put_elem(record, at, value) end)
  end

  defp spec(table, guards) do
    %{query_map: variables, query_base: head} = table.__info__()
    [{head, Spec.build(guards, variables), [:"$_"]}]
  end

  @doc """
  The results of a match specification, as in `:ets.select/2`, over records as tuples `{table, value, ...}`.

  `table.__info__().query_base` is a head that binds attribute n to `:"$n"`. Results that are not whole records need
  `coerce: false`. A specification that is none raises `ArgumentError`.

  With `:limit` only the first chunk is returned: as structs, or with `coerce: false` as `{results, continuation}` for
  `select_continue/2`, or `:"$end_of_table"` when there is none.

  Knows the options `:lock`, `:limit` and `:coerce`.

  ## Examples

      iex> spec = [{{Example.Movie, :_, :"$1", :"$2", :_}, [{:<, :"$2", 1990}], [:"$1"]}]
      iex> Remnesia.transaction!(fn -> Remnesia.Query.select_raw(Example.Movie, spec, coerce: false) end)
      ["Jaws"]
  """
  @spec select_raw(Table.name(), list, options) ::
          [Table.record()] | [term] | {[term], continuation} | :"$end_of_table"
  def select_raw(table, spec, options \\ []) do
    lock = lock(options, :read)

    result =
      case Keyword.get(options, :limit) do
        nil -> Engine.select(table, spec, lock)
        limit -> Engine.select(table, spec, limit, lock)
      end

    if Keyword.get(options, :coerce, true), do: coerce(result), else: result
  end

  defp coerce(records) when is_list(records), do: load_all(records)
  defp coerce({records, _continuation}), do: load_all(records)
  defp coerce(:"$end_of_table"), do: []

  @doc """
  The next chunk of a search that was begun with `:limit` and `coerce: false`: `{records, continuation}`, or
  `:"$end_of_table"`.

  A continuation of another transaction fails the transaction with `:wrong_transaction`. Knows the option `:coerce`.

  ## Examples

      iex> Remnesia.transaction!(fn ->
      ...>   {_two, continuation} = Remnesia.Query.select(Example.Movie, [], limit: 2, coerce: false)
      ...>   {[movie], _end} = Remnesia.Query.select_continue(continuation)
      ...>   movie.id
      ...> end)
      3
  """
  @spec select_continue(continuation, options) :: {[term], continuation} | :"$end_of_table"
  def select_continue(continuation, options \\ []) do
    case Engine.select(continuation) do
      {records, continuation} ->
        {if(Keyword.get(options, :coerce, true), do: load_all(records), else: records),
         continuation}

      :"$end_of_table" ->
        :"$end_of_table"
    end
  end

  @doc """
  A stream of the records that fulfil all guards, see `select/3`. They are read a chunk at a time, so memory does not grow
  with their number, which is why there is no order but that of the table. The stream is read inside the transaction that reads the rest.

  ## Options

    * `:lock` - defaults to `:read`
    * `:limit` - the size of a chunk. Defaults to 500.
    * `:coerce` - defaults to `true`

  ## Examples

      iex> Remnesia.transaction!(fn ->
      ...>   Example.Movie |> Remnesia.Query.stream({:<, :year, 2000}, limit: 1) |> Enum.map(& &1.id)
      ...> end)
      [1, 2]
  """
  @spec stream(Table.name() | Where.t(), guard | [guard] | options, options) :: Enumerable.t()
  def stream(table, guards \\ [], options \\ []) do
    {table, spec, options} = query(table, guards, options)
    lock = lock(options, :read)
    limit = Keyword.get(options, :limit) || 500
    load? = Keyword.get(options, :coerce, true)

    Stream.resource(
      fn -> :start end,
      fn at ->
        case if(at == :start, do: Engine.select(table, spec, limit, lock), else: Engine.select(at)) do
          {records, continuation} ->
            {if(load?, do: load_all(records), else: records), continuation}

          :"$end_of_table" ->
            {:halt, at}
        end
      end,
      fn _at -> :ok end
    )
  end

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

  @doc """
  How a search is answered: which keys, index or ranges are used, how many records are looked at, and what is locked.

  Takes what `select/3` or `select_raw/3` takes, conditions of `where/2` too, and returns a `Remnesia.Query.Plan`, which prints as a few lines. It works
  inside and outside of a transaction. A specification that is none raises `ArgumentError` with the reason.

  ## Options

    * `:analyze` - whether to run the search too and tell what it did. Within a transaction that takes its locks; outside it is
      a dirty read. Defaults to `false`.

  ## Examples

      iex> Remnesia.Query.explain(Example.User, {:==, :age, 40}).plan
      :index
      iex> Remnesia.Query.explain(Example.Movie, [{:>=, :id, 2}, {:<, :id, 10}])
      #Remnesia.Query.Plan<
      Example.Movie: key range
        bounds      id >= 2 and id < 10
        looks at    2 of 3 records
        locks       the table
      >
      iex> Remnesia.Query.explain(Example.Movie, {:==, :director, "Ron Howard"})
      #Remnesia.Query.Plan<
      Example.Movie: scan of the whole table
        looks at    all 3 records
        locks       the table
        hint        an index on director could be used
      >
      iex> plan = Remnesia.Query.explain(Example.Movie, {:==, :title, "Jaws"}, analyze: true)
      iex> {plan.visited, plan.matched}
      {3, 1}
  """
  @spec explain(Table.name() | Where.t(), guard | [guard] | list, analyze: boolean) :: Plan.t()
  def explain(table, guards_or_spec \\ [], options \\ [])

  def explain(%Where{table: table, spec: spec}, options, []), do: explain(table, spec, options)

  def explain(table, guards_or_spec, options) do
    spec = if spec?(guards_or_spec), do: guards_or_spec, else: spec(table, guards_or_spec)

    case Engine.explain(table, spec) do
      {:bad_spec, reason} ->
        raise ArgumentError, "not a match specification: #{reason}"

      plan ->
        attributes = Engine.table_info(table, :attributes)
        plan = Plan.new(table, plan, attributes, Engine.table_info(table, :size))
        if Keyword.get(options, :analyze, false), do: analyze(plan, spec), else: plan
    end
  end

  defp analyze(plan, spec) do
    {visited, matched, time} = Engine.analyze(plan.table, spec)
    %{plan | visited: visited, matched: matched, time: time}
  end

  # A guard of three parts begins with an operator, a clause with a tuple or a variable.
  defp spec?([_ | _] = list), do: Enum.all?(list, &clause?/1)
  defp spec?(_guard), do: false

  defp clause?({head, guards, body}) when is_list(guards) and is_list(body),
    do: is_tuple(head) or head == :_ or match?("$" <> _, is_atom(head) && Atom.to_string(head))

  defp clause?(_guard), do: false

  @doc """
  Tries a match specification, or guards as in `select/3`, on one record, which need not be in any table.

  `{:ok, result}` is what a select returns for it, `{:ok, false}` if it does not match, `{:error, reason}` says why the specification
  is refused. The record is a struct of a table module or a tuple that begins with an atom. A specification sees the tuple.

  ## Examples

      iex> Remnesia.Query.test({:movie, 1, "Jaws"}, [{{:movie, :"$1", :"$2"}, [{:>, :"$1", 0}], [:"$2"]}])
      {:ok, "Jaws"}
      iex> Remnesia.Query.test({:movie, 1, "Jaws"}, [{{:movie, 2, :_}, [], [:"$_"]}])
      {:ok, false}
      iex> Remnesia.Query.test({:movie, 1, "Jaws"}, [{{:movie, :_, :_}, [], [:"$1"]}])
      {:error, "Variable $1 is unbound."}
      iex> Remnesia.Query.test(struct!(Example.Movie, id: 1, year: 1975), {:<, :year, 1980})
      {:ok, {Example.Movie, 1, nil, 1975, nil}}
  """
  @spec test(Table.record() | tuple, guard | [guard] | list | Where.t()) ::
          {:ok, term} | {:error, String.t()}
  def test(record, %Where{spec: spec}), do: test(record, spec)

  def test(%{__struct__: table} = struct, guards_or_spec) do
    spec = if spec?(guards_or_spec), do: guards_or_spec, else: spec(table, guards_or_spec)
    test(Data.dump(struct), spec)
  end

  def test(record, spec)
      when is_tuple(record) and tuple_size(record) >= 2 and is_atom(elem(record, 0)),
      do: Engine.test_spec(record, spec)

  # Most calls have no options: that costs nothing.
  defp lock([], default), do: default
  defp lock(options, default), do: Keyword.get(options, :lock, default)

  defp load_all([]), do: []
  defp load_all([record | records]), do: [Data.load(record) | load_all(records)]
end
