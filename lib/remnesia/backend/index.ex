defmodule Remnesia.Backend.Index do
  @moduledoc false

  # An index of Mnesia's, `{{value, key}}` or `{value, key}` for each record, as a view of the table's native index. Mnesia fills
  # and empties it, which does nothing; so it is neither stale nor half a step ahead of the table.

  alias Remnesia.Backend.Search
  alias Remnesia.Native

  @type index :: {atom, :index, {pos_integer, :ordered | :bag}}

  @doc "The rows of a key of the index: a value, or value and key."
  @spec lookup(index, term) :: [tuple]
  def lookup({_, _, {_, :bag}} = index, value), do: rows(index, keys(index, value))

  def lookup({_, _, {_, :ordered}} = index, {value, key} = row),
    do: if({value, key} in keys(index, value), do: [{row}], else: [])

  def lookup(_index, _key), do: []

  @doc "What a match spec finds among the rows."
  @spec select(index, list) :: [term]
  def select({_, _, {_, type}} = index, [{head, _guards, _body}] = spec) do
    case value(head, type) do
      {:ok, value} -> index |> rows(keys(index, value)) |> run(spec)
      :error -> index |> all() |> run(spec)
    end
  end

  def select(index, spec), do: index |> all() |> run(spec)

  defp run(rows, spec), do: :ets.match_spec_run(rows, :ets.match_spec_compile(spec))

  # A bound value: then the native index finds the keys.
  defp value({{value, _key}}, :ordered), do: bound(value)
  defp value({value, _key}, :bag), do: bound(value)
  defp value(_head, _type), do: :error

  defp bound(value), do: if(:mnesia.has_var(value), do: :error, else: {:ok, value})

  # A bag may have several records with one key and one value.
  defp keys({table, :index, {position, _type}}, value) do
    nil
    |> Native.index_read({:mnesia, table}, value, position)
    |> records([])
    |> Enum.map(&{value, elem(&1, 1)})
    |> Enum.uniq()
  end

  defp records({:done, list}, []), do: list
  defp records({:done, list}, lists), do: :lists.append(:lists.reverse([list | lists]))

  defp records({:slice, list, continuation}, lists),
    do: records(Native.select_next(nil, continuation), [list | lists])

  defp records(_refused, _lists), do: :erlang.error(:badarg)

  defp all({table, :index, {position, _type}} = index) do
    pairs =
      Search.select({:mnesia, table}, [
        {:_, [], [{{{:element, position, :"$_"}, {:element, 2, :"$_"}}}]}
      ])

    rows(index, Enum.sort(Enum.uniq(pairs)))
  end

  defp rows({_, _, {_, :bag}}, pairs), do: pairs
  defp rows({_, _, {_, :ordered}}, pairs), do: Enum.map(pairs, &{&1})
end
