defmodule Remnesia.Mnesia.HandleTest do
  use ExUnit.Case

  # Queries of qlc over tables, compared with stock.

  alias Remnesia.Door

  @tables [:door_q, :door_r, :door_s]

  setup_all do
    Remnesia.TestErlang.load(:door_qlc)
    :ok
  end

  setup do
    Door.delete(@tables)
    Door.create(:door_q, attributes: [:k, :a, :b], index: [:a])
    Door.create(:door_r, attributes: [:k, :a, :b], type: :ordered_set)
    Door.create(:door_s, attributes: [:k, :a, :b], type: :bag, index: [:a])

    for m <- [:mnesia, :remnesia], n <- 1..250 do
      m.dirty_write({:door_q, n, rem(n, 10), n})
      m.dirty_write({:door_r, n, rem(n, 10), n})
      m.dirty_write({:door_s, rem(n, 50), rem(n, 10), n})
    end

    on_exit(fn -> Door.delete(@tables) end)
  end

  defp same(fun) do
    {stock, ours} = Door.both(fun)
    assert ours == stock
    ours
  end

  # Writes of the transaction that a query has to see.
  defp pending(m) do
    for table <- @tables do
      m.write({table, 1000, 3, 1000})
      m.delete({table, 13})
      m.write({table, 23, 99, 0})
    end
  end

  defp queries(m, table, sorted?) do
    order = if sorted?, do: & &1, else: &Enum.sort/1
    handle = fn -> m.table(table) end
    run = fn function, arguments -> apply(:door_qlc, function, arguments) end

    [
      order.(run.(:all, [handle.()])),
      order.(run.(:sorted, [handle.()])),
      Enum.sort(run.(:by_key, [handle.(), 23])),
      Enum.sort(run.(:by_a, [handle.(), 3])),
      order.(run.(:greater, [handle.(), 200])),
      Enum.sort(run.(:join, [handle.(), m.table(:door_q)]))
    ]
  end

  for table <- @tables, writes <- [false, true], kind <- [:transaction, :async_dirty] do
    test "#{table} in a #{kind}#{if writes, do: ", after writes"}" do
      table = unquote(table)

      same(fn m ->
        m.activity(unquote(kind), fn ->
          if unquote(writes), do: pending(m)
          queries(m, table, unquote(table == :door_r))
        end)
      end)
    end
  end

  test "keys and indexes are used" do
    for {way, value, text} <- [
          {:key, 1, "remnesia:read(door_q"},
          {:a, 3, "remnesia:index_read(door_q"},
          {:guard, 3, "{select"}
        ] do
      {:atomic, plan} =
        :remnesia.transaction(fn ->
          apply(:door_qlc, :plan, [way, :remnesia.table(:door_q), value])
        end)

      assert to_string(plan) =~ text
    end
  end

  test "cursors, also where the transaction has written" do
    for table <- @tables, size <- [1, 7, 100, 1000], writes <- [false, true] do
      same(fn m ->
        m.transaction(fn ->
          if writes, do: pending(m)
          chunks = apply(:door_qlc, :cursor, [m.table(table), size])
          all = Enum.concat(chunks)
          {Enum.map(chunks, &length/1), if(table == :door_r, do: all, else: Enum.sort(all))}
        end)
      end)
    end

    assert Remnesia.Native.lock_count() == 0
  end

  test "options" do
    spec = [{{:door_q, :"$1", 3, :_}, [{:<, :"$1", 50}], [:"$1"]}]

    for options <- [
          [],
          [lock: :write],
          [n_objects: 1],
          [traverse: {:select, spec}],
          [traverse: {:select, spec}, n_objects: 2],
          {:lock, :write}
        ] do
      {:value, {:atomic, found}} =
        same(fn m -> m.transaction(fn -> Enum.sort(:qlc.e(m.table(:door_q, options))) end) end)

      assert found != []
    end

    for options <- [[traverse: :loose], [loose: 1]] do
      same(fn m ->
        try do
          m.table(:door_q, options)
        catch
          :error, {:badarg, _} -> :badarg
          :error, :badarg -> :badarg
        end
      end)
    end

    # The lock is taken.
    assert :remnesia.transaction(fn ->
             :qlc.e(:remnesia.table(:door_q, lock: :write))
             Remnesia.Native.lock_count()
           end) == {:atomic, 1}
  end

  test "outside of an activity, of an unknown table, of one that was deleted meanwhile" do
    same(fn m -> :qlc.e(m.table(:door_q)) end)
    same(fn m -> m.transaction(fn -> :qlc.e(m.table(:nowhere)) end) end)

    # Stock's reason shows a call of its own here.
    for m <- [:mnesia, :remnesia] do
      assert {:exit, {:aborted, {:no_exists, _}}} =
               Door.answer(m, fn m -> m.async_dirty(fn -> :qlc.e(m.table(:nowhere)) end) end)
    end
  end
end
