defmodule Remnesia.FragmentTables do
  @moduledoc false

  # Fragmented tables on both sides, stock's and ours, for the tests of them.

  import ExUnit.Assertions

  alias Remnesia.Door

  @doc "Removes all that these tests make: a foreigner first, its fragments go with those of the other."
  def remove do
    for side <- [:mnesia, :remnesia], table <- [:door_g, :door_p, :door_f] do
      side.change_table_access_mode(table, :read_write)
      side.delete_table(table)
    end
  end

  @doc "What both answer, which has to be the same."
  def same(fun) do
    {stock, ours} = Door.both(fun)
    assert ours == stock
    ours
  end

  def frag(m, kind \\ :transaction, fun), do: m.activity(kind, fun, [], :mnesia_frag)

  def properties(n, more \\ []), do: [n_fragments: n, node_pool: [node()]] ++ more

  @doc "Which fragment has which records."
  def contents(m, table) do
    for name <- frag(m, fn -> m.table_info(table, :frag_names) end),
        do: {name, Enum.sort(m.dirty_select(name, [{:_, [], [:"$_"]}]))}
  end

  def fill(m, keys \\ 1..40) do
    frag(m, fn -> for k <- keys, do: m.write({:door_f, k, rem(k, 5), -k}) end)
  end

  def create(m, type \\ :set, n \\ 5, more \\ []) do
    options = [type: type, attributes: [:k, :a, :b], index: [:a]]
    m.create_table(:door_f, options ++ [frag_properties: properties(n, more)])
  end
end
