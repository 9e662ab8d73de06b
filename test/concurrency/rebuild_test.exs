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

  test "a scan of several slices whose table is made anew is one of the new table" do
    for k <- 1..60_000, do: :remnesia.dirty_write({:rebuild_set, k, 0})
    # A body that makes slices long.
    guard = {:>=, {:+, {:*, :"$1", 1}, {:*, :"$1", 0}}, 0}
    spec = [{{:rebuild_set, :"$1", :"$2"}, [guard], [:"$2"]}]

    scanner =
      Task.async(fn ->
        for _ <- 1..60, do: :rebuild_set |> :remnesia.dirty_select(spec) |> Enum.frequencies()
      end)

    for version <- 1..6 do
      new = fn {table, k, _} -> {table, k, version} end
      {:atomic, :ok} = :remnesia.transform_table(:rebuild_set, new, [:k, :v])
    end

    seen = Task.await(scanner, 60_000)
    # Each has all records, and of one version.
    assert Enum.all?(seen, &match?([{_version, 60_000}], Enum.to_list(&1))),
           inspect(Enum.uniq(seen))

    assert length(Enum.uniq(seen)) > 1
    {:atomic, :ok} = :remnesia.delete_table(:rebuild_set)

    assert catch_exit(:remnesia.dirty_select(:rebuild_set, spec)) ==
             {:aborted, {:no_exists, [:rebuild_set, spec]}}
  end
end
