# The Mnesia door: the same calls of `:mnesia` and `:remnesia`, with tuples on both sides.

for {side, contender} <- [mnesia: Mnesia, remnesia: Remnesia] do
  defmodule Module.concat(Bench.Door, contender) do
    @side side

    @item [attributes: [:id, :group, :name, :kind, :score], index: [:group]]
    @plain [attributes: [:id, :group, :name, :kind, :score]]

    def name, do: @side

    def setup(records) do
      for {table, options} <- tables(), do: {:atomic, :ok} = @side.create_table(table, options)

      for i <- 1..records do
        record = {:door_item, i, div(i, 10), "name #{i}", :plain, i * 0.5}
        @side.dirty_write(record)

        for table <- [:door_plain, :door_ordered, :door_watched],
            do: @side.dirty_write(put_elem(record, 0, table))
      end

      reset_counters()
      # Somebody who throws away what it is told.
      listener = spawn(fn -> subscribed(fn -> loop() end) end)
      Process.put({@side, :listener}, listener)
    end

    def teardown do
      Process.exit(Process.get({@side, :listener}), :kill)
      for {table, _} <- tables(), do: {:atomic, :ok} = @side.delete_table(table)
    end

    defp tables do
      [
        door_item: @item,
        door_plain: @plain,
        door_ordered: [type: :ordered_set] ++ @plain,
        door_watched: @plain,
        door_counter: []
      ]
    end

    defp subscribed(fun) do
      {:ok, _} = @side.subscribe({:table, :door_watched, :detailed})
      fun.()
    end

    defp loop do
      receive do: (_ -> loop())
    end

    def transaction(fun), do: {:atomic, _} = @side.transaction(fun)
    def read(i), do: @side.read(:door_item, i)
    def write(i, group), do: @side.write({:door_item, i, group, "written", :other, 1.5})

    def update(i) do
      [record] = @side.read({:door_item, i})
      @side.write(put_elem(record, 5, 2.5))
    end

    def dirty_read(i), do: @side.dirty_read(:door_plain, i)

    def dirty_write(i),
      do: @side.dirty_write({:door_plain, i, div(i, 10), "written", :other, 1.5})

    def dirty_counter(i), do: @side.dirty_update_counter(:door_counter, rem(i, 16) + 1, 1)
    def dirty_index(group), do: @side.dirty_index_read(:door_item, group, :group)
    def index(group), do: @side.index_read(:door_item, group, :group)
    def dirty_next(i), do: @side.dirty_next(:door_ordered, i)

    def dirty_watched(i),
      do: @side.dirty_write({:door_watched, i, div(i, 10), "written", :other, 1.5})

    def watched(i), do: @side.write({:door_watched, i, div(i, 10), "written", :other, 1.5})
    def fold, do: @side.foldl(fn _record, n -> n + 1 end, 0, :door_plain)

    def count(i) do
      [{:door_counter, ^i, n}] = @side.read(:door_counter, i, :write)
      @side.write({:door_counter, i, n + 1})
    end

    def counted,
      do: Enum.sum(for {_, _, n} <- @side.dirty_match_object({:door_counter, :_, :_}), do: n)

    def reset_counters, do: for(i <- 1..16, do: @side.dirty_write({:door_counter, i, 0}))
  end
end

# Remnesia's own API on the same tables, with the same tuples: what the door costs.
defmodule Bench.Door.Engine do
  def name, do: :engine
  def transaction(fun), do: {:atomic, _} = Remnesia.Engine.transaction(fun)
  def read(i), do: Remnesia.Engine.read(:door_item, i, :read)

  def write(i, group),
    do: Remnesia.Engine.write(:door_item, {:door_item, i, group, "written", :other, 1.5}, :write)
end
