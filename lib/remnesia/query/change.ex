defmodule Remnesia.Query.Change do
  @moduledoc """
  The part of `Remnesia.Query` that changes all records that fulfil conditions. Programs call it there.
  """

  import Remnesia.Query.Given

  alias Remnesia.{Engine, Query, Table}
  alias Remnesia.Query.{Data, Order, Where}

  @doc """
  Deletes the records that fulfil all guards, see `select/3`, and returns how many they were.

  Records that are found by key are locked one by one, otherwise the table is.

  ## Examples

      iex> Remnesia.transaction!(fn ->
      ...>   {Remnesia.Query.delete_all(Example.Movie, {:<, :year, 2000}), Remnesia.Query.count(Example.Movie)}
      ...> end)
      {2, 1}
  """
  @spec delete_all(Table.name() | Where.t(), Query.guard() | [Query.guard()]) :: non_neg_integer
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
          Query.guard() | [Query.guard()],
          keyword | map | (Table.record() -> Table.record())
        ) :: non_neg_integer
  def update_all(table, guards, changes) do
    {table, spec, []} = query(table, guards, [])
    Engine.update_all(table, spec, updater(table, changes))
  end

  @doc false
  @spec update_all(Where.t(), keyword | map | (Table.record() -> Table.record())) ::
          non_neg_integer
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
end
