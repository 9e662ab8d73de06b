defmodule Oracle.Tables do
  @moduledoc false

  # One table module per type, with and without index. Both sides use the same modules.

  defmodule Set do
    @moduledoc false
    use Remnesia.Table, attributes: [:id, :a, :b]
  end

  defmodule IndexedSet do
    @moduledoc false
    use Remnesia.Table, attributes: [:id, :a, :b], index: [:a]
  end

  defmodule Ordered do
    @moduledoc false
    use Remnesia.Table, attributes: [:id, :a, :b], type: :ordered_set, autoincrement: true
  end

  defmodule IndexedOrdered do
    @moduledoc false
    use Remnesia.Table, attributes: [:id, :a, :b], type: :ordered_set, index: [:a, :b]
  end

  defmodule Bag do
    @moduledoc false
    use Remnesia.Table, attributes: [:id, :a, :b], type: :bag
  end

  defmodule IndexedBag do
    @moduledoc false
    use Remnesia.Table, attributes: [:id, :a, :b], type: :bag, index: [:b]
  end

  def all, do: [Set, IndexedSet, Ordered, IndexedOrdered, Bag, IndexedBag]

  @doc "Type of a table."
  def type(table), do: table.__info__().type

  @doc """
  Keys to use in one program: integers or their float twins, not both. Where `1` and `1.0`, or `0.0` and `-0.0`, meet, stock loses records (with an index) or
  does not see its own writes (in one transaction); test/remnesia/differences_test.exs shows each case.
  """
  def keys(:integers), do: [0, 1, {1, :x} | others()]
  def keys(:floats), do: [-0.0, 1.0, {1.0, :x} | others()]

  defp others, do: [2, -3, 2.5, :a, :b, "k", [1 | 2], %{k: 1}, 1_180_591_620_717_411_303_424]

  def values, do: [0, 1, 1.0, 2, 2.5, nil, true, :a, :id, "v", {1, 2}, [], [1, :a], %{1 => 2}]
end
