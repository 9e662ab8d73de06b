defmodule RebuildTest do
  use ExUnit.Case

  # Writers without a transaction wait while a table is made anew, and none of their records is lost.

  alias Remnesia.Native

  @tables [:rebuild_set, :rebuild_bag]

  setup do
    delete = fn -> for table <- @tables, do: :remnesia.delete_table(table) end
    delete.()
    on_exit(delete)
    {:atomic, :ok} = :remnesia.create_table(:rebuild_set, attributes: [:k, :v], index: [:v])
    {:atomic, :ok} = :remnesia.create_table(:rebuild_bag, attributes: [:k, :v], type: :bag)
    :ok
  end

  test "dirty writers while transform_table runs" do
    for k <- 1..2000, do: :remnesia.dirty_write({:rebuild_set, k, 0})

    writers =
      for w <- 1..3 do
        Task.async(fn ->
          for k <- 1..2000 do
            :ok = :remnesia.dirty_write({:rebuild_set, {w, k}, 1})
            :ok = :remnesia.dirty_write({:rebuild_bag, rem(k, 50), {w, k}})
          end
        end)
      end

    for _ <- 1..4, table <- @tables do
      assert :remnesia.transform_table(table, fn {t, k, v} -> {t, k, v} end, [:k, :v]) ==
               {:atomic, :ok}
    end

    Task.await_many(writers, 60_000)
    assert :remnesia.table_info(:rebuild_set, :size) == 8000
    assert length(:remnesia.dirty_index_read(:rebuild_set, 1, :v)) == 6000
    assert :remnesia.table_info(:rebuild_bag, :size) == 6000
    for table <- @tables, do: assert(Native.table_check(table) == :ok)
  end
end
