defmodule Remnesia.Engine.Cluster.Bulk do
  @moduledoc false

  # Searches that answer more than rows, made of Mnesia's functions: they hold locks on all nodes as those do.

  alias Remnesia.Engine.Cluster.Info

  @doc "Results in the order of these positions of their records, negative ones falling; `limit` (0 for all) from number `offset` on."
  @spec select_in_order(atom, list, [integer], non_neg_integer, non_neg_integer, term) :: [term]
  def select_in_order(table, spec, order, limit, offset, lock) do
    spec = for {head, guards, body} <- spec, do: {head, guards, [{{List.last(body), :"$_"}}]}

    sorted =
      table |> :mnesia.select(spec, lock) |> Enum.sort(&before?(elem(&1, 1), elem(&2, 1), order))

    rest = Enum.drop(sorted, offset)
    results = if limit == 0, do: rest, else: Enum.take(rest, limit)
    Enum.map(results, &elem(&1, 0))
  end

  # What is equal at all positions is in the order of its keys, so that pages do not overlap.
  defp before?(a, b, []), do: elem(a, 1) <= elem(b, 1)

  defp before?(a, b, [position | rest]) do
    {x, y} = {elem(a, abs(position) - 1), elem(b, abs(position) - 1)}

    cond do
      x == y -> before?(a, b, rest)
      position > 0 -> x < y
      true -> x > y
    end
  end

  @spec count(atom, list, term) :: non_neg_integer
  def count(table, spec, lock) do
    spec = for {head, guards, _body} <- spec, do: {head, guards, [true]}
    length(:mnesia.select(table, spec, lock))
  end

  @spec delete_all(atom, list) :: non_neg_integer
  def delete_all(table, spec) do
    records = whole(table, spec)

    if Info.table(table, :type) == :bag,
      do: each(records, &delete_object(table, &1)),
      else: each(records, &:mnesia.delete(table, elem(&1, 1), :write))
  end

  @spec update_all(atom, list, (tuple -> tuple)) :: non_neg_integer
  def update_all(table, spec, fun) do
    found = whole(table, spec)
    changed = Enum.map(found, fun)

    # All go before the first comes: of two equal records of a bag one may be the new form of another.
    if Info.table(table, :type) == :bag,
      do: each(found, &delete_object(table, &1))

    each(changed, &:mnesia.write(table, &1, :write))
  end

  # Mnesia takes no object that could be a pattern: the others of its key come again.
  defp delete_object(table, record) do
    if :mnesia.has_var(record) do
      key = elem(record, 1)
      others = List.delete(:mnesia.read(table, key, :write), record)
      :mnesia.delete(table, key, :write)
      Enum.each(others, &:mnesia.write(table, &1, :write))
    else
      :mnesia.delete_object(table, record, :write)
    end
  end

  defp whole(table, spec),
    do: :mnesia.select(table, for({head, guards, _} <- spec, do: {head, guards, [:"$_"]}), :write)

  defp each(list, fun) do
    Enum.each(list, fun)
    length(list)
  end

  @doc "The greatest number among the keys, for who is about to write one more."
  @spec last_number(atom) :: number | nil
  def last_number(table) do
    :mnesia.write_lock_table(table)

    if is_number(last = committed(table)),
      do: table |> :mnesia.select(above(table, last)) |> Enum.max(fn -> last end),
      else: table |> :mnesia.all_keys() |> Enum.filter(&is_number/1) |> Enum.max(fn -> nil end)
  end

  # Numbers come before all else; where others do too, or there is no order, all keys are looked at.
  defp committed(table),
    do: if(Info.table(table, :type) == :ordered_set, do: :mnesia.dirty_last(table))

  # What this transaction has written above.
  defp above(table, last) do
    head = put_elem(Info.table(table, :wild_pattern), 1, :"$1")
    [{head, [{:>, :"$1", last}, {:is_number, :"$1"}], [:"$1"]}]
  end
end
