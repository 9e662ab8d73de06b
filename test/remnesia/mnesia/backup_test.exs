defmodule Remnesia.Mnesia.BackupTest do
  use ExUnit.Case

  # Backups go from stock Mnesia to Remnesia and back, and every call, right or wrong, is answered as stock answers it.

  import Remnesia.BackupTables

  alias Remnesia.{Door, MemoryBackup}

  @tables [:bup_set, :bup_bag, :bup_ordered, :bup_named]
  @sides [:mnesia, :remnesia]

  setup do
    start()
  end

  for from <- @sides, to <- @sides do
    test "from #{from} to #{to}", %{path: file} do
      {from, to} = {unquote(from), unquote(to)}
      create(from)
      fill(from)
      before = contents(from)
      backup(from, file)
      for table <- @tables, do: from.clear_table(table)

      # Into tables that hold something else.
      if unquote(to != from), do: create(to)
      to.dirty_write({:bup_set, :later, 1, 2})
      assert {:atomic, tables} = to.restore(file, [])
      assert Enum.sort(tables) == Enum.sort(@tables)
      assert contents(to) == before

      assert length(to.dirty_index_read(:bup_set, 3, :a)) ==
               Enum.count(1..1500, &(rem(&1, 7) == 3)) + 1

      # Tables that are not there, with what the backup says of them.
      Door.delete(@tables)
      assert {:atomic, _tables} = to.restore(file, default_op: :recreate_tables)
      assert contents(to) == before
      assert to.table_info(:bup_named, :record_name) == :entry
      assert to.table_info(:bup_named, :load_order) == 3
      assert to.table_info(:bup_ordered, :user_properties) == [p: 1]
      assert to.table_info(:bup_bag, :type) == :bag
      assert to.table_info(:bup_set, :index) == [3]
    end
  end

  test "operations for tables", %{path: file} do
    for side <- @sides do
      create(side)
      for n <- 1..3, do: side.dirty_write({:bup_set, n, 0, :old})
      for n <- 1..3, do: side.dirty_write({:bup_bag, n, :old})
      for n <- 1..3, do: side.dirty_write({:bup_ordered, n, :old})
      for n <- 1..3, do: side.dirty_write(:bup_named, {:entry, n, :old})
      backup(side, file)

      for table <- @tables do
        side.dirty_write(table, put_elem(hd(side.dirty_read(table, 1)), 1, 9))
        side.dirty_delete(table, 2)
      end
    end

    {:atomic, :ok} = :mnesia.del_table_index(:bup_set, :a)
    {:atomic, :ok} = :remnesia.del_table_index(:bup_set, :a)

    options = [
      recreate_tables: [:bup_set],
      keep_tables: [:bup_bag],
      skip_tables: [:bup_ordered],
      clear_tables: [:bup_named]
    ]

    {stock, ours} =
      Door.both(fn side ->
        restored = side.restore(file, options)
        {restored, contents(side), side.table_info(:bup_set, :index)}
      end)

    assert ours == stock
    assert {:value, {{:atomic, _}, _, [3]}} = ours
  end

  @bad [
    [:what],
    [{:clear_tables, :bup_set}],
    [{:clear_tables, [:schema]}],
    [{:recreate_tables, [:schema]}],
    [{:default_op, :what}],
    [{:module, 1}],
    :what,
    [{:module, :no_such_module}],
    [{:module, :what}, {:skip_tables, 1}]
  ]

  test "arguments of restore", %{path: file} do
    for side <- @sides, do: create(side)
    backup(:mnesia, file)

    for options <- @bad do
      {stock, ours} = Door.both(fn side -> side.restore(file, options) end)
      assert ours == stock, inspect({options, stock, ours})
    end
  end

  test "files that are none", %{directory: directory, path: file} do
    for side <- @sides, do: create(side)
    bad = Path.join(directory, "bad")
    backup(:mnesia, file)
    good = File.read!(file)

    write = fn name, kind ->
      {:ok, log} = :disk_log.open(name: make_ref(), file: to_charlist(name))
      :ok = :disk_log.log_terms(log, kind)
      :ok = :disk_log.close(log)
    end

    contents = [
      fn -> File.rm(bad) end,
      fn -> File.write!(bad, "") end,
      fn -> File.write!(bad, "no log at all, but some text") end,
      fn -> write.(bad, [:what, :else]) end,
      fn -> write.(bad, [{:log_header, :other, ~c"1.2", ~c"", node(), {1, 2, 3}}]) end,
      fn -> write.(bad, [{:log_header, :backup_log, ~c"9.9", ~c"", node(), {1, 2, 3}}]) end,
      fn -> File.write!(bad, [good, <<0, 0, 0, 1>>]) end
    ]

    for {make, number} <- Enum.with_index(contents) do
      File.rm(bad)
      make.()
      name = to_charlist(bad)
      traverse = &{[&1], &2}

      for call <- [
            & &1.restore(name, []),
            & &1.traverse_backup(name, :mnesia_backup, :none, :read_only, traverse, 0),
            & &1.install_fallback(name)
          ] do
        {stock, ours} = Door.both(call)
        # Stock takes a file with something behind its end, see the test of corrupt files.
        if number < 6, do: assert(ours == stock, inspect({number, stock, ours}))
      end
    end
  end

  test "tables of a backup that are not there", %{path: file} do
    for side <- @sides, do: create(side)
    backup(:mnesia, file)
    Door.delete([:bup_bag])

    for options <- [[], [keep_tables: [:bup_bag]], [skip_tables: [:bup_bag]]] do
      {stock, ours} =
        Door.both(fn side -> {side.restore(file, options), side.table_info(:bup_set, :size)} end)

      assert ours == stock
    end

    # In a transaction.
    {stock, ours} =
      Door.both(fn side ->
        side.transaction(fn -> side.restore(file, skip_tables: [:bup_bag]) end)
      end)

    assert ours == stock
  end

  # A difference: where stock's schema is in RAM its backup has no table at all, and records of tables in RAM are never in it
  # unless a checkpoint says so. What is not in the backup is gone after a restore, so ours has it.
  test "backup has tables in RAM, and their records" do
    for side <- @sides do
      create(side)
      side.dirty_write({:bup_set, 1, 2, 3})
      :ok = side.backup(side, MemoryBackup)
      {:ok, :c, _} = side.activate_checkpoint(name: :c, max: [:bup_set])
      :ok = side.backup_checkpoint(:c, {:checkpoint, side}, MemoryBackup)
      side.deactivate_checkpoint(:c)
    end

    assert [{:log_header, :backup_log, _, _, _, _}] = MemoryBackup.items(:mnesia)
    assert [_header, {:schema, :bup_set, _}] = MemoryBackup.items({:checkpoint, :mnesia})

    assert [_header, {:schema, :schema, list} | items] = MemoryBackup.items(:remnesia)
    assert Keyword.keyword?(list)
    assert for({:schema, table, _} <- items, do: table) |> Enum.sort() == Enum.sort(@tables)
    assert List.last(items) == {:bup_set, 1, 2, 3}

    assert [_header, {:schema, :bup_set, _}, {:bup_set, 1, 2, 3}] =
             MemoryBackup.items({:checkpoint, :remnesia})
  end

  # --- differences, each on both sides ---

  test "a damaged backup", %{path: file, directory: directory} do
    for side <- @sides, do: create(side)
    for n <- 1..3000, side <- @sides, do: side.dirty_write({:bup_set, n, n, {n, :text}})
    backup(:mnesia, file, [:bup_set])
    good = File.read!(file)
    bad = to_charlist(Path.join(directory, "bad"))
    before = contents(:remnesia)

    # Cut off in the midst of an item, and something behind its end.
    for bytes <- [binary_part(good, 0, byte_size(good) - 7), good <> <<0, 0, 0, 1>>] do
      File.write!(bad, bytes)

      assert {:aborted, {~c"Possibly truncated", {:corrupt_log_file, ^bad}}} =
               :remnesia.restore(bad, [])

      assert contents(:remnesia) == before
    end

    # Stock takes what it can.
    assert {:atomic, [:bup_set]} = :mnesia.restore(bad, [])
    assert :mnesia.table_info(:bup_set, :size) == 3000

    # Bits, anywhere: refused, or what a backup may say; never half of it.
    for _ <- 1..150 do
      at = :rand.uniform(byte_size(good)) - 1
      <<head::binary-size(at), byte, rest::binary>> = good
      File.write!(bad, [head, Bitwise.bxor(byte, Bitwise.bsl(1, :rand.uniform(8) - 1)), rest])

      case :remnesia.restore(bad, []) do
        {:aborted, _reason} -> assert contents(:remnesia) == before
        {:atomic, _tables} -> {:atomic, _} = :remnesia.restore(file, [])
      end

      assert contents(:remnesia) == before
    end
  end

  test "a record that does not fit" do
    for side <- @sides do
      create(side)
      side.dirty_write({:bup_bag, 1, :there})
    end

    {:ok, name, _} = :mnesia.activate_checkpoint(max: [:bup_bag], ram_overrides_dump: true)
    :ok = :mnesia.backup_checkpoint(name, :wrong, MemoryBackup)
    :mnesia.deactivate_checkpoint(name)
    MemoryBackup.put(:wrong, MemoryBackup.items(:wrong) ++ [{:bup_bag, 1, 2, 3, 4}])
    assert {:atomic, _} = :mnesia.restore(:wrong, module: MemoryBackup)
    assert {:bup_bag, 1, 2, 3, 4} in :mnesia.dirty_read(:bup_bag, 1)

    assert :remnesia.restore(:wrong, module: MemoryBackup) ==
             {:aborted, {:bad_type, {:bup_bag, 1, 2, 3, 4}}}

    assert :remnesia.dirty_read(:bup_bag, 1) == [{:bup_bag, 1, :there}]
  end

  test "a table of another node" do
    definition = [
      name: :bup_set,
      ram_copies: [:other@host],
      attributes: [:k, :a, :b],
      cookie: {{1, 2, 3}, :other@host}
    ]

    header = {:log_header, :backup_log, ~c"1.2", ~c"4.21", :other@host, {1, 2, 3}}
    MemoryBackup.put(:other, [header, {:schema, :bup_set, definition}, {:bup_set, 1, 2, 3}])
    options = [module: MemoryBackup, default_op: :recreate_tables]
    assert {:atomic, [:bup_set]} = :remnesia.restore(:other, options)
    assert :remnesia.table_info(:bup_set, :ram_copies) == [node()]
    assert :remnesia.dirty_read(:bup_set, 1) == [{:bup_set, 1, 2, 3}]

    case :mnesia.restore(:other, options) do
      {:atomic, [:bup_set]} -> refute node() in :mnesia.table_info(:bup_set, :ram_copies)
      {:aborted, _reason} -> :ok
    end
  end

  test "indexes of our own" do
    {:atomic, :ok} =
      :remnesia.create_table(:bup_set,
        attributes: [:k, :a, :b],
        index: [:a, [:a, :b]],
        unique: [:b]
      )

    :ok = :remnesia.backup(:own, MemoryBackup)
    {:schema, :bup_set, list} = List.keyfind(MemoryBackup.items(:own), :bup_set, 1)
    assert list[:index] == [{3, :ordered}, {4, :ordered}]
    refute Keyword.has_key?(list, :unique)

    # Stock takes it.
    assert {:atomic, [:bup_set]} =
             :mnesia.restore(:own, module: MemoryBackup, default_op: :recreate_tables)

    assert Enum.sort(:mnesia.table_info(:bup_set, :index)) == [3, 4]

    # Emptied and filled, the table keeps what it has.
    assert {:atomic, [:bup_set]} = :remnesia.restore(:own, module: MemoryBackup)

    assert [3, 4] in :remnesia.table_info(:bup_set, :index)
  end

  test "new atoms in a backup", %{path: file} do
    for side <- @sides, do: create(side)
    backup(:mnesia, file, [:bup_set])
    # Longer than any item's length is said with.
    [name, another] =
      for _ <- 1..2, do: "bup_atom_#{System.unique_integer([:positive])}_from_elsewhere"

    record = fn atom ->
      <<131, 104, 4, 119, 7, "bup_set", 97, 1, 97, 1, 119, byte_size(atom), atom::binary>>
    end

    item = fn bytes -> <<byte_size(bytes)::32, 98, 87, 76, 65, bytes::binary>> end
    File.write!(file, [File.read!(file), item.(record.(name))])
    Application.put_env(:remnesia, :max_atoms, 0)

    try do
      assert :remnesia.restore(file, []) == {:aborted, :too_many_atoms}
      assert_raise ArgumentError, fn -> String.to_existing_atom(name) end
      assert_raise ArgumentError, fn -> String.to_existing_atom(another) end
    after
      Application.delete_env(:remnesia, :max_atoms)
    end

    assert {:atomic, [:bup_set]} = :remnesia.restore(file, [])
    assert [{:bup_set, 1, 1, atom}] = :remnesia.dirty_read(:bup_set, 1)
    assert to_string(atom) == name
  end

  test "a function in a backup is data" do
    parent = self()
    fun = fn -> send(parent, :called) end

    for side <- @sides do
      create(side)
      side.dirty_write({:bup_set, 1, 1, fun})
      :ok = side.backup(side, MemoryBackup)
    end

    {:atomic, _} = :remnesia.restore(:remnesia, module: MemoryBackup)
    assert [{:bup_set, 1, 1, kept}] = :remnesia.dirty_read(:bup_set, 1)
    assert is_function(kept, 0)
    refute_received :called
  end

  test "events of a restore" do
    for side <- @sides do
      create(side)
      side.dirty_write({:bup_bag, 1, 1})
      {:ok, :c, _} = side.activate_checkpoint(name: :c, max: [:bup_bag], ram_overrides_dump: true)
      :ok = side.backup_checkpoint(:c, side, MemoryBackup)
      side.deactivate_checkpoint(:c)
      {:ok, _} = side.subscribe({:table, :bup_bag})
      {:atomic, _} = side.restore(side, module: MemoryBackup, default_op: :clear_tables)

      told =
        receive do
          {:mnesia_table_event, {:write, {:bup_bag, 1, 1}, _}} -> true
        after
          200 -> false
        end

      assert told == (side == :mnesia)
      side.unsubscribe({:table, :bup_bag})
    end
  end

  test "a read-only table" do
    for side <- @sides do
      create(side)
      side.dirty_write({:bup_bag, 1, 1})
      {:ok, :c, _} = side.activate_checkpoint(name: :c, max: [:bup_bag], ram_overrides_dump: true)
      :ok = side.backup_checkpoint(:c, side, MemoryBackup)
      side.deactivate_checkpoint(:c)
      side.dirty_delete({:bup_bag, 1})
      {:atomic, :ok} = side.change_table_access_mode(:bup_bag, :read_only)
    end

    for operation <- [:keep_tables, :clear_tables] do
      options = [module: MemoryBackup, default_op: operation]
      {stock, ours} = Door.both(fn side -> side.restore(side, options) end)
      assert ours == stock
      assert ours == {:value, {:aborted, {:no_exists, :bup_bag}}}
    end
  end
end
