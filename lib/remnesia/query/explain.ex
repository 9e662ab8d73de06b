defmodule Remnesia.Query.Explain do
  @moduledoc """
  The part of `Remnesia.Query` that says what a search does. Programs call it there.
  """

  import Remnesia.Query.Given

  alias Remnesia.{Engine, Query, Table}
  alias Remnesia.Query.{Data, Plan, Where}

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
  @spec explain(Table.name() | Where.t(), Query.guard() | [Query.guard()] | list, analyze: boolean) ::
          Plan.t()
  def explain(table, guards_or_spec \\ [], options \\ [])

  def explain(%Where{table: table, spec: spec}, options, []), do: explain(table, spec, options)

  def explain(table, guards_or_spec, options) do
    spec = if spec?(guards_or_spec), do: guards_or_spec, else: spec(table, guards_or_spec)

    case Engine.explain(table, spec) do
      {:bad_spec, reason} ->
        raise ArgumentError, "not a match specification: #{reason}"

      plan ->
        attributes = Engine.table_info(table, :attributes)
        plan = Plan.new(table, plan, attributes, size(table, plan))
        if Keyword.get(options, :analyze, false), do: analyze(plan, spec), else: plan
    end
  end

  # A scan looks at all records, and they may be on another node.
  defp size(table, {_way, _bounds, _locks, _rows, ways, _bounded}) do
    case List.keyfind(ways, :scan, 0) do
      {:scan, {:exact, size}} -> size
      _not_considered -> Engine.table_info(table, :size)
    end
  end

  defp analyze(plan, spec) do
    {visited, matched, time} = Engine.analyze(plan.table, spec)
    %{plan | visited: visited, matched: matched, time: time}
  end

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
  @spec test(Table.record() | tuple, Query.guard() | [Query.guard()] | list | Where.t()) ::
          {:ok, term} | {:error, String.t()}
  def test(record, %Where{spec: spec}), do: test(record, spec)

  def test(%{__struct__: table} = struct, guards_or_spec) do
    spec = if spec?(guards_or_spec), do: guards_or_spec, else: spec(table, guards_or_spec)
    test(Data.dump(struct), spec)
  end

  def test(record, spec)
      when is_tuple(record) and tuple_size(record) >= 2 and is_atom(elem(record, 0)),
      do: Engine.test_spec(record, spec)
end
