defmodule Remnesia.Query.Search do
  @moduledoc """
  The part of `Remnesia.Query` that finds records by conditions. Programs call it there.
  """

  import Remnesia.Query.Given

  alias Remnesia.{Engine, Query, Table}
  alias Remnesia.Query.{Order, Where}

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
  @spec select(
          Table.name() | Where.t(),
          Query.guard() | [Query.guard()] | Query.options(),
          Query.options()
        ) ::
          [Table.record()] | [tuple] | {[tuple], Query.continuation()} | :"$end_of_table"
  def select(table, guards, options), do: table |> query(guards, options) |> select_query()

  @doc false
  @spec select(Where.t()) :: [Table.record()]
  def select(%Where{} = where), do: select(where, [], [])

  @doc false
  @spec select(Table.name(), Query.guard() | [Query.guard()] | Query.options()) ::
          [Table.record()] | [tuple] | {[tuple], Query.continuation()} | :"$end_of_table"
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
  @spec count(
          Table.name() | Where.t(),
          Query.guard() | [Query.guard()] | Query.options(),
          Query.options()
        ) :: non_neg_integer
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
  @spec exists?(
          Table.name() | Where.t(),
          Query.guard() | [Query.guard()] | Query.options(),
          Query.options()
        ) :: boolean
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
  @spec min(
          Table.name() | Where.t(),
          atom,
          Query.guard() | [Query.guard()] | Query.options(),
          Query.options()
        ) :: term
  def min(table, attribute, guards \\ [], options \\ []),
    do: table |> query(guards, options) |> first_value(attribute, 1)

  @doc """
  The greatest value of an attribute among the records that fulfil all guards, or `nil` if there are none; see `min/4`.

      iex> Remnesia.transaction!(fn -> Remnesia.Query.max(Example.Movie, :year) end)
      2013
  """
  @spec max(
          Table.name() | Where.t(),
          atom,
          Query.guard() | [Query.guard()] | Query.options(),
          Query.options()
        ) :: term
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
  @spec select_raw(Table.name(), list, Query.options()) ::
          [Table.record()] | [term] | {[term], Query.continuation()} | :"$end_of_table"
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
  @spec select_continue(Query.continuation(), Query.options()) ::
          {[term], Query.continuation()} | :"$end_of_table"
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
  @spec stream(
          Table.name() | Where.t(),
          Query.guard() | [Query.guard()] | Query.options(),
          Query.options()
        ) :: Enumerable.t()
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
end
