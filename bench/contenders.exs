defmodule Bench.Item do
  use Remnesia.Table, attributes: [:id, :group, :name, :kind, :score], index: [:group]
end

defmodule Bench.Plain do
  use Remnesia.Table, attributes: [:id, :group, :name, :kind, :score]
end

defmodule Bench.Ordered do
  use Remnesia.Table, attributes: [:id, :group, :name, :kind, :score], type: :ordered_set
end

defmodule Bench.Counter do
  use Remnesia.Table, attributes: [:id, :value]
end

# The contenders implement the operations of the workload; each group has ten records.

defmodule Bench.Contender.Remnesia do
  alias Bench.{Counter, Item, Ordered, Plain}
  alias Remnesia.{Engine, Native, Query, Table}

  def name, do: :remnesia

  def setup(records) do
    for t <- [Item, Plain, Ordered, Counter], do: Table.create!(t)

    for chunk <- Stream.chunk_every(1..records, 1_000) do
      Remnesia.transaction!(fn ->
        for i <- chunk do
          Query.write(item(i, div(i, 10)))
          Query.write(plain(i))
          Query.write(struct!(Ordered, Map.from_struct(plain(i))))
        end
      end)
    end

    Remnesia.transaction!(fn -> for i <- 1..16, do: Query.write(%Counter{id: i, value: 0}) end)
  end

  def teardown, do: for(t <- [Item, Plain, Ordered, Counter], do: Table.delete!(t))

  defp item(i, group),
    do: %Item{id: i, group: group, name: "name #{i}", kind: :plain, score: i * 0.5}

  defp plain(i),
    do: %Plain{id: i, group: div(i, 10), name: "name #{i}", kind: :plain, score: i * 0.5}

  def transaction(fun), do: Remnesia.transaction(fun)
  def read(i), do: Query.read(Item, i)

  def write(i, group),
    do: Query.write(%Item{id: i, group: group, name: "written", kind: :other, score: 1.5})

  def update(i) do
    record = Query.read(Item, i)
    Query.write(%{record | score: 2.5})
  end

  def count(i) do
    counter = Query.read(Counter, i, lock: :write)
    Query.write(%{counter | value: counter.value + 1})
  end

  def count_yielding(i) do
    counter = Query.read(Counter, i, lock: :write)
    :erlang.yield()
    Query.write(%{counter | value: counter.value + 1})
  end

  def counted,
    do:
      Remnesia.transaction!(fn -> Counter |> Query.all() |> Enum.map(& &1.value) |> Enum.sum() end)

  def reset_counters,
    do:
      Remnesia.transaction!(fn -> for i <- 1..16, do: Query.write(%Counter{id: i, value: 0}) end)

  def by_group(group), do: Query.match(Item, {:_, group, :_, :_, :_})
  # Where there is no index on the attribute.
  def guard_scan(limit), do: Query.select(Plain, {:<, :group, limit})

  def guard_key(i), do: [_] = Query.select(Item, {:==, :id, i})
  def guard_group(group), do: Query.select(Item, {:==, :group, group})
  def guard_range(from, to), do: Query.select(Ordered, [{:>=, :id, from}, {:<, :id, to}])

  def guard_count(limit), do: Query.count(Plain, {:<, :group, limit})

  def first_by_key(n), do: Query.select(Ordered, [], order_by: {:desc, :id}, limit: n)
  def first_by_scan(n), do: Query.select(Plain, [], order_by: {:desc, :score}, limit: n)

  # A search that finds nothing to read: what remains is compiling and planning.
  def plan_small(i) do
    head = {Item, :"$1", :"$2", :"$3", :"$4", :"$5"}
    [] = Engine.dirty_select(Item, [{head, [{:<, :"$1", i}, {:>, :"$1", i}], [:"$_"]}])
  end

  def dirty_read(i), do: Engine.dirty_read(Item, i)

  def dirty_overwrite(i),
    do: Engine.dirty_write(Plain, {Plain, i, div(i, 10), "written", :other, 1.5})

  def dirty_insert(i),
    do: Engine.dirty_write(Plain, {Plain, {:new, i}, 1, "written", :other, 1.5})

  def drop_inserted(to), do: for(i <- 1..to//1, do: Engine.dirty_delete(Plain, {:new, i}))
  def locks, do: Native.lock_count()
  def memory, do: Native.table_memory(Plain)
end

defmodule Bench.Contender.Mnesia do
  def name, do: :mnesia

  def setup(records) do
    attributes = [:id, :group, :name, :kind, :score]
    {:atomic, :ok} = :mnesia.create_table(:item, attributes: attributes, index: [:group])
    {:atomic, :ok} = :mnesia.create_table(:plain, attributes: attributes)
    {:atomic, :ok} = :mnesia.create_table(:ordered, attributes: attributes, type: :ordered_set)
    {:atomic, :ok} = :mnesia.create_table(:counter, attributes: [:id, :value])

    for i <- 1..records do
      :mnesia.dirty_write({:item, i, div(i, 10), "name #{i}", :plain, i * 0.5})
      :mnesia.dirty_write({:plain, i, div(i, 10), "name #{i}", :plain, i * 0.5})
      :mnesia.dirty_write({:ordered, i, div(i, 10), "name #{i}", :plain, i * 0.5})
    end

    reset_counters()
  end

  def teardown,
    do:
      for(t <- [:item, :plain, :ordered, :counter], do: {:atomic, :ok} = :mnesia.delete_table(t))

  def transaction(fun), do: :mnesia.transaction(fun)
  def read(i), do: :mnesia.read(:item, i)
  def write(i, group), do: :mnesia.write({:item, i, group, "written", :other, 1.5})

  def update(i) do
    [record] = :mnesia.read(:item, i)
    :mnesia.write(put_elem(record, 5, 2.5))
  end

  def count(i) do
    [{:counter, ^i, value}] = :mnesia.read(:counter, i, :write)
    :mnesia.write({:counter, i, value + 1})
  end

  def count_yielding(i) do
    [{:counter, ^i, value}] = :mnesia.read(:counter, i, :write)
    :erlang.yield()
    :mnesia.write({:counter, i, value + 1})
  end

  def counted, do: :ets.tab2list(:counter) |> Enum.map(&elem(&1, 2)) |> Enum.sum()
  def reset_counters, do: for(i <- 1..16, do: :mnesia.dirty_write({:counter, i, 0}))
  def by_group(group), do: :mnesia.index_read(:item, group, :group)

  defp where(table, guards),
    do: :mnesia.select(table, [{{table, :"$1", :"$2", :"$3", :"$4", :"$5"}, guards, [:"$_"]}])

  def guard_scan(limit), do: where(:plain, [{:<, :"$2", limit}])
  def guard_key(i), do: [_] = where(:item, [{:==, :"$1", i}])
  def guard_group(group), do: where(:item, [{:==, :"$2", group}])
  def guard_range(from, to), do: where(:ordered, [{:>=, :"$1", from}, {:<, :"$1", to}])
  def guard_count(limit), do: length(where(:plain, [{:<, :"$2", limit}]))

  # What one writes for it with stock: all, sorted, the first.
  def first_by_key(n), do: :ordered |> where([]) |> Enum.take(-n) |> Enum.reverse()

  def first_by_scan(n),
    do: :plain |> where([]) |> Enum.sort_by(&elem(&1, 5), :desc) |> Enum.take(n)

  def dirty_read(i), do: :mnesia.dirty_read(:item, i)
  def dirty_overwrite(i), do: :mnesia.dirty_write({:plain, i, div(i, 10), "written", :other, 1.5})
  def dirty_insert(i), do: :mnesia.dirty_write({:plain, {:new, i}, 1, "written", :other, 1.5})
  def drop_inserted(to), do: for(i <- 1..to//1, do: :mnesia.dirty_delete(:plain, {:new, i}))
  def locks, do: length(:mnesia.system_info(:held_locks))
  def memory, do: :mnesia.table_info(:plain, :memory)
end

defmodule Bench.Contender.Ets do
  def name, do: :ets

  # As a Mnesia table is: public, with the options Mnesia gives by default.
  def setup(records) do
    :ets.new(:bench_ets, [:set, :public, :named_table, keypos: 2])

    for i <- 1..records,
        do: :ets.insert(:bench_ets, {:plain, i, div(i, 10), "name #{i}", :plain, i * 0.5})

    :ok
  end

  def teardown, do: :ets.delete(:bench_ets)

  def guard_scan(limit),
    do:
      :ets.select(:bench_ets, [
        {{:plain, :"$1", :"$2", :"$3", :"$4", :"$5"}, [{:<, :"$2", limit}], [:"$_"]}
      ])

  def guard_count(limit),
    do:
      :ets.select_count(:bench_ets, [
        {{:plain, :"$1", :"$2", :"$3", :"$4", :"$5"}, [{:<, :"$2", limit}], [true]}
      ])

  def dirty_read(i), do: :ets.lookup(:bench_ets, i)

  def dirty_overwrite(i),
    do: :ets.insert(:bench_ets, {:plain, i, div(i, 10), "written", :other, 1.5})

  def dirty_insert(i), do: :ets.insert(:bench_ets, {:plain, {:new, i}, 1, "written", :other, 1.5})
  def drop_inserted(to), do: for(i <- 1..to//1, do: :ets.delete(:bench_ets, {:new, i}))
  def memory, do: :ets.info(:bench_ets, :memory)
end
