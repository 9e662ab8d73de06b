defmodule Remnesia.ContentionTest do
  use ExUnit.Case, async: false

  import Stress

  alias Remnesia.Engine

  # Processes in each other's way all finish, and their work is neither lost nor done twice.

  for kind <- [:read, :write], yield <- [false, true] do
    @tag kind: kind, yield: yield
    test "a hot counter from 32 processes: #{kind} lock first, yield #{yield}", context do
      table = table()
      fill(table, [{:hot, 0}])

      increment = fn ->
        atomic(fn ->
          n = value(table, :hot, context.kind)
          if context.yield, do: :erlang.yield()
          write(table, {:hot, n + 1})
        end)
      end

      1..32
      |> Enum.map(fn _ -> Task.async(fn -> for(_ <- 1..100, do: increment.()) end) end)
      |> Task.await_many(60_000)

      assert atomic(fn -> value(table, :hot) end) == 3200
      assert_clean(table)
    end
  end

  for ring <- [2, 3, 7], first <- [:read, :write] do
    @tag ring: ring, first: first
    test "#{ring} processes in a ring, #{first} lock first", %{ring: ring, first: first} do
      table = table()
      fill(table, for(key <- 0..(ring - 1), do: {key, 0}))

      for _round <- 1..20 do
        barrier = barrier(ring)

        for start <- 0..(ring - 1) do
          Task.async(fn ->
            atomic(fn ->
              mine = value(table, start, first)
              meet(barrier)
              other = rem(start + 1, ring)
              theirs = value(table, other, :write)
              write(table, {start, mine + 1})
              write(table, {other, theirs + 1})
            end)
          end)
        end
        |> Task.await_many()
      end

      assert atomic(fn -> for key <- 0..(ring - 1), do: value(table, key) end) ==
               List.duplicate(40, ring)

      assert_clean(table)
    end
  end

  test "all read, then all want to write" do
    table = table()
    fill(table, [{1, 0}])
    barrier = barrier(16)

    1..16
    |> Enum.map(fn _ ->
      Task.async(fn ->
        atomic(fn ->
          n = value(table, 1)
          meet(barrier)
          write(table, {1, n + 1})
        end)
      end)
    end)
    |> Task.await_many()

    assert atomic(fn -> value(table, 1) end) == 16
    assert_clean(table)
  end

  # Somebody always has a record lock: whoever wants the whole table gets it all the same.
  for kind <- [:read, :write] do
    @tag kind: kind
    test "a #{kind} lock on a table among writers of its records", %{kind: kind} do
      table = table()
      fill(table, for(key <- 1..64, do: {key, 0}))

      writer = fn ->
        key = :rand.uniform(64)

        atomic(fn ->
          n = value(table, key)
          Process.sleep(1)
          write(table, {key, n + 1})
        end)
      end

      whole = fn ->
        atomic(fn ->
          Engine.lock_table(table, kind)
          before = Engine.dirty_select(table, all(table))
          :erlang.yield()
          assert Engine.dirty_select(table, all(table)) == before
        end)
      end

      done = hammer(1000, [whole, whole | List.duplicate(writer, 24)])
      assert Enum.all?(done, &(&1 > 2)), "a process starved: #{inspect(done)}"

      assert atomic(fn -> Engine.select(table, all(table), :read) end) |> Enum.sum() ==
               done |> Enum.drop(2) |> Enum.sum()

      assert_clean(table)
    end
  end

  test "table and record locks taken in every order by every one" do
    [a, b] = [table(), table(index: [:group])]
    for table <- [a, b], do: fill(table, for(key <- 1..8, do: {key, 0, 0}))

    steps = [
      fn -> Engine.lock_table(a, :read) end,
      fn -> Engine.lock_table(b, :write) end,
      fn -> value(a, :rand.uniform(8)) end,
      fn -> value(b, :rand.uniform(8), :write) end,
      fn -> write(a, {:rand.uniform(8), 1, 1}) end,
      fn -> write(b, {:rand.uniform(8), 1, :rand.uniform(2)}) end,
      fn -> Engine.index_read(b, :rand.uniform(2), 4) end,
      fn -> Engine.lock_global(:rand.uniform(2), :write) end,
      fn -> :erlang.yield() end
    ]

    done =
      hammer(
        2000,
        List.duplicate(fn -> atomic(fn -> for(_ <- 1..4, do: Enum.random(steps).()) end) end, 16)
      )

    assert Enum.all?(done, &(&1 > 0)), inspect(done)
    assert_clean([a, b])
  end

  defp all(table), do: [{{table, :_, :"$1", :_}, [], [:"$1"]}]
end
