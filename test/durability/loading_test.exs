defmodule Remnesia.LoadingTest do
  use ExUnit.Case, async: false

  # A database that has just been started has its tables, also while their records are being read: they are no reason to take it for another one, nobody
  # changes half of them, and who stops it and starts it again finds them.

  alias Remnesia.{Engine, Native, OnDisc}

  @moduletag timeout: 120_000

  setup do
    %{dir: OnDisc.start()}
  end

  defp fill(table, count) do
    for keys <- Enum.chunk_every(1..count, 5_000) do
      {:atomic, :ok} =
        Engine.transaction(fn ->
          Enum.each(keys, &Engine.write(table, {table, &1, &1}, :write))
        end)
    end
  end

  # More than are loaded at a time.
  defp large(count, options) do
    tables = for i <- 1..6, do: :"large_#{i}"

    for table <- tables do
      {:atomic, :ok} = Engine.create_table(table, [disc_copies: [node()]] ++ options)
      fill(table, count)
    end

    tables
  end

  defp loading?(table), do: List.keymember?(Native.tables_loading(), table, 0)

  test "the process that looks after it killed meanwhile" do
    tables = large(30_000, index: [:val])

    killed =
      for _round <- 1..6 do
        :ok = Remnesia.stop()
        assert Remnesia.start() == :ok
        Process.sleep(:rand.uniform(5))
        disc = Process.whereis(Remnesia.Engine.Local.Disc)
        loading = length(Native.tables_loading())
        Process.exit(disc, :kill)
        assert Engine.wait_for_tables(tables, 60_000) == :ok

        for table <- tables do
          assert Engine.table_info(table, :size) == 30_000
          assert Native.table_check(table) == :ok
          assert Engine.dirty_index_read(table, 30_000, :val) == [{table, 30_000, 30_000}]
        end

        loading
      end

    assert Enum.any?(killed, &(&1 > 0))
  end

  test "stopped meanwhile, and started again at once" do
    tables = large(30_000, index: [:val])
    :ok = Remnesia.stop()

    loading =
      for round <- 1..8 do
        assert Remnesia.start() == :ok
        Process.sleep(:rand.uniform(10))
        loading = length(Native.tables_loading())
        :ok = Remnesia.stop()
        assert Remnesia.start() == :ok
        assert Engine.wait_for_tables(tables, 60_000) == :ok
        assert Native.tables_loading() == []

        for table <- tables do
          assert Engine.table_info(table, :size) == 30_000
          :ok = Engine.dirty_write(table, {table, round, -round})
        end

        # Whatever is still under way from before takes nothing away.
        Process.sleep(50)

        for table <- tables,
            do: assert(Engine.dirty_read(table, round) == [{table, round, -round}])

        :ok = Remnesia.stop()
        loading
      end

    assert Enum.max(loading) > 0
    :ok = Remnesia.start()
    assert Engine.wait_for_tables(tables, 60_000) == :ok

    for table <- tables, round <- 1..8 do
      assert Engine.dirty_read(table, round) == [{table, round, -round}]
      assert Native.table_check(table) == :ok
    end
  end

  test "a table that is being loaded is not changed, as with Mnesia, and is there afterwards" do
    tables = large(20_000, [])
    last = List.last(tables)

    changes = [
      &:remnesia.change_table_access_mode(&1, :read_only),
      &:remnesia.change_table_load_order(&1, 7),
      &:remnesia.change_table_majority(&1, true),
      &:remnesia.write_table_property(&1, {:a, 1}),
      &:remnesia.delete_table_property(&1, :a),
      &:remnesia.transform_table(&1, fn record -> record end, [:key, :val]),
      &:remnesia.add_table_index(&1, :val),
      &:remnesia.change_table_copy_type(&1, node(), :ram_copies),
      &:remnesia.change_table_frag(&1, {:activate, []}),
      &:remnesia.clear_table/1,
      &:remnesia.delete_table/1
    ]

    for change <- changes do
      :ok = Remnesia.stop()
      :ok = Remnesia.start()
      before = if loading?(last), do: Engine.table_info(last, :cstruct)
      answer = change.(last)
      # Only if it was being loaded before and after.
      if loading?(last), do: assert({change, answer} == {change, {:aborted, {:no_exists, last}}})
      assert Engine.wait_for_tables(tables, 30_000) == :ok

      if match?({:aborted, _}, answer) do
        assert Engine.table_info(last, :size) == 20_000
        if before, do: assert(Engine.table_info(last, :cstruct) == before)
      else
        # It was loaded at once: as it was, for the next one.
        :remnesia.change_table_access_mode(last, :read_write)
        if Engine.table?(last), do: {:atomic, :ok} = Engine.delete_table(last)
        {:atomic, :ok} = Engine.create_table(last, disc_copies: [node()])
        fill(last, 20_000)
      end
    end
  end

  test "who asks for a table to be loaded by force waits until it is" do
    [last | _] = 20_000 |> large([]) |> Enum.reverse()
    :ok = Remnesia.stop()
    :ok = Remnesia.start()
    assert :remnesia.force_load_table(last) == :yes
    assert Engine.table_info(last, :size) == 20_000
    assert :remnesia.force_load_table(:nowhere) == {:error, {:no_exists, :nowhere}}
  end

  test "a table of fragments is deleted as a whole or not at all, and no fragment is taken for one that was left over" do
    properties = [n_fragments: 8, node_pool: [node()], n_disc_copies: 1]
    {:atomic, :ok} = Engine.create_table(:f, frag_properties: properties)
    fragments = [:f | for(i <- 2..8, do: :"f_frag#{i}")]

    for table <- fragments, i <- 1..10_000, do: :ok = Engine.dirty_write(table, {:f, i, i})

    sizes = fn -> for table <- fragments, do: Engine.table_info(table, :size) end
    # The first one comes last.
    {:atomic, :ok} = :remnesia.change_table_load_order(:f, -1)
    :ok = Remnesia.stop()
    :ok = Remnesia.start()
    until(fn -> Native.table_size(:f_frag2) != :error end)

    assert Engine.create_table(:f_frag2, disc_copies: [node()]) ==
             {:aborted, {:already_exists, :f_frag2}}

    assert Engine.wait_for_tables(fragments, 30_000) == :ok
    assert Enum.uniq(sizes.()) == [10_000]

    # The first one comes first.
    {:atomic, :ok} = :remnesia.change_table_load_order(:f, 1)
    :ok = Remnesia.stop()
    :ok = Remnesia.start()
    until(fn -> Native.table_size(:f) != :error end)
    answers = [:remnesia.change_table_majority(:f, true), Engine.delete_table(:f)]
    assert Engine.wait_for_tables(Native.tables(), 30_000) == :ok
    until(fn -> Native.tables_loading() == [] end)

    case answers do
      [_, {:atomic, :ok}] -> assert Native.tables() == []
      [_, {:aborted, {:no_exists, _}}] -> assert Enum.uniq(sizes.()) == [10_000]
    end
  end

  defp until(fun) do
    if not fun.() do
      Process.sleep(1)
      until(fun)
    end
  end

  test "a table that is read-only, or in memory and dumped, is so from the first moment on" do
    {:atomic, :ok} = Engine.create_table(:fixed, disc_copies: [node()])
    fill(:fixed, 100)
    {:atomic, :ok} = :remnesia.change_table_access_mode(:fixed, :read_only)
    {:atomic, :ok} = Engine.create_table(:dumped, [])
    fill(:dumped, 100)
    {:atomic, :ok} = :remnesia.dump_tables([:dumped])

    for _ <- 1..2 do
      :ok = Remnesia.stop()
      :ok = Remnesia.start()
      until(fn -> Native.table_size(:fixed) != :error end)

      assert catch_exit(Engine.dirty_write(:fixed, {:fixed, 1, 2})) ==
               {:aborted, {:no_exists, :fixed}}

      until(fn -> Native.table_size(:dumped) != :error end)
      assert {_number, false} = Native.table_disc(:dumped)
      :ok = Engine.dirty_write(:dumped, {:dumped, :more, 1})
      assert Engine.table_info(:dumped, :size) == 101
    end
  end
end
