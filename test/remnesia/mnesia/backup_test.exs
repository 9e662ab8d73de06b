defmodule Remnesia.Mnesia.BackupTest do
  use ExUnit.Case

  # Backups go from stock Mnesia to Remnesia and back, and every call, right or wrong, is answered as stock answers it.

  import ExUnit.CaptureLog

  alias Remnesia.{Door, MemoryBackup}

  @tables [:bup_set, :bup_bag, :bup_ordered, :bup_named]
  @sides [:mnesia, :remnesia]

  setup do
    Door.delete_all()
    MemoryBackup.new()

    directory =
      Path.join(System.tmp_dir!(), "remnesia_backup_#{System.unique_integer([:positive])}")

    File.mkdir_p!(directory)

    on_exit(fn ->
      Door.delete_all()
      File.rm_rf!(directory)
    end)

    %{directory: directory, path: to_charlist(Path.join(directory, "one.bup"))}
  end

  defp create(side) do
    {:atomic, :ok} = side.create_table(:bup_set, attributes: [:k, :a, :b], index: [:a])
    {:atomic, :ok} = side.create_table(:bup_bag, type: :bag)

    {:atomic, :ok} =
      side.create_table(:bup_ordered, type: :ordered_set, user_properties: [{:p, 1}])

    {:atomic, :ok} = side.create_table(:bup_named, record_name: :entry, load_order: 3)
  end

  @values [
    :a,
    "b",
    1.5,
    -0.0,
    12_345_678_901_234_567_890,
    [1 | 2],
    %{1 => :x, 1.0 => :y},
    {<<3::5>>, []}
  ]

  defp fill(side) do
    for n <- 1..1500, do: side.dirty_write({:bup_set, n, rem(n, 7), {n, "text"}})
    for {value, n} <- Enum.with_index(@values), do: side.dirty_write({:bup_set, value, n, value})
    for n <- 1..50, m <- 1..3, do: side.dirty_write({:bup_bag, n, m})
    for n <- [1, 2.5, :z, "s", {1, 2}], do: side.dirty_write({:bup_ordered, n, n})
    for n <- 1..20, do: side.dirty_write(:bup_named, {:entry, n, self()})
  end

  defp contents(side),
    do: for(table <- @tables, do: {table, contents(side, table)})

  defp contents(side, table), do: Enum.sort(side.dirty_select(table, [{:_, [], [:"$_"]}]))

  # Records in RAM are only in the backup of a checkpoint that says so.
  defp backup(side, file, tables \\ @tables) do
    {:ok, name, [_node]} = side.activate_checkpoint(max: tables, ram_overrides_dump: true)
    :ok = side.backup_checkpoint(name, file)
    :ok = side.deactivate_checkpoint(name)
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
      if to != from, do: create(to)
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

  test "a module of the program's" do
    for side <- @sides do
      create(side)
      for n <- 1..5, do: side.dirty_write({:bup_set, n, n, n})
      for n <- 1..5, do: side.dirty_write(:bup_named, {:entry, n, n})
    end

    {stock, ours} =
      Door.both(fn side ->
        MemoryBackup.forget()

        {:ok, name, _} =
          side.activate_checkpoint(max: [:bup_set, :bup_named], ram_overrides_dump: true)

        :ok = side.backup_checkpoint(name, side, MemoryBackup)
        :ok = side.deactivate_checkpoint(name)
        items = MemoryBackup.items(side)
        side.clear_table(:bup_set)
        restored = side.restore(side, module: MemoryBackup)

        {header, definitions, records} =
          {hd(items), Enum.filter(items, &(elem(&1, 0) == :schema)),
           Enum.filter(items, &(elem(&1, 0) in @tables))}

        definitions =
          for {:schema, table, list} <- definitions,
              do: {table, Keyword.keys(list), list[:attributes]}

        {elem(header, 1), definitions, Enum.sort(records), restored, contents(side),
         MemoryBackup.log()}
      end)

    assert ours == stock
  end

  test "a module that fails" do
    for side <- @sides, do: create(side)
    for n <- 1..5, side <- @sides, do: side.dirty_write({:bup_set, n, n, n})

    for how <- [:fail, :raise],
        function <- [:open_write, :write, :commit_write],
        call <- [:backup, :backup_checkpoint] do
      {stock, ours} =
        Door.both(fn side ->
          MemoryBackup.forget()
          name = {how, function}

          answer =
            if call == :backup do
              side.backup(name, MemoryBackup)
            else
              {:ok, checkpoint, _} =
                side.activate_checkpoint(max: [:bup_set], ram_overrides_dump: true)

              answer = side.backup_checkpoint(checkpoint, name, MemoryBackup)
              side.deactivate_checkpoint(checkpoint)
              answer
            end

          {answer, MemoryBackup.log() |> Enum.uniq()}
        end)

      assert ours == stock, inspect({how, function, stock, ours})
    end

    good = for side <- @sides, do: side.backup(:good, MemoryBackup)
    assert good == [:ok, :ok]

    for how <- [:fail, :raise],
        function <- [:open_read, :read],
        target <- [:read_only, MemoryBackup] do
      MemoryBackup.put({how, function}, MemoryBackup.items(:good))

      for call <- [
            & &1.restore({how, function}, module: MemoryBackup),
            & &1.traverse_backup(
              {how, function},
              MemoryBackup,
              :out,
              target,
              fn i, a -> {[i], a} end,
              0
            )
          ] do
        {stock, ours} = Door.both(call)
        assert ours == stock, inspect({how, function, stock, ours})
      end
    end
  end

  test "traversal" do
    for side <- @sides, do: create(side)
    for n <- 1..7, side <- @sides, do: side.dirty_write({:bup_set, n, n, n})

    {:ok, name, _} =
      :mnesia.activate_checkpoint(max: [:bup_set, :bup_bag], ram_overrides_dump: true)

    :ok = :mnesia.backup_checkpoint(name, :source, MemoryBackup)
    :mnesia.deactivate_checkpoint(name)

    drop_even = fn
      {:bup_set, n, _, _}, acc when rem(n, 2) == 0 -> {[], [n | acc]}
      {:bup_set, n, a, b} = item, acc -> {[item, {:bup_set, n + 100, a, b}], acc}
      item, acc -> {[item], acc}
    end

    funs = [
      drop_even,
      fn _item, acc -> {[], acc} end,
      fn _item, _acc -> :what end,
      fn _item, acc -> {:no_list, acc} end,
      fn _item, _acc -> throw({:error, :mine}) end,
      fn _item, _acc -> exit(:mine) end
    ]

    for fun <- funs, target <- [:read_only, MemoryBackup] do
      {stock, ours} =
        Door.both(fn side ->
          MemoryBackup.put(:target, [])
          MemoryBackup.forget()
          answer = side.traverse_backup(:source, MemoryBackup, :target, target, fun, [])
          answer = with {:ok, list} <- answer, do: {:ok, Enum.sort(list)}

          {answer, MemoryBackup.items(:target) |> Enum.drop(1) |> Enum.sort(),
           MemoryBackup.log() |> Enum.uniq()}
        end)

      assert ours == stock, inspect({stock, ours})
    end
  end

  test "checkpoints: arguments and items" do
    for side <- @sides, do: create(side)

    arguments = [
      [name: :c, max: [:bup_set]],
      [name: :c, max: [:bup_bag]],
      [name: :d, min: [:bup_set], max: [:bup_set]],
      [name: :d],
      [name: :d, max: [:nowhere]],
      [name: :d, min: :bup_set],
      [name: :d, allow_remote: 1],
      [:what],
      :what,
      [name: :d, max: [:bup_set], ram_overrides_dump: [:bup_set]],
      [name: :d, max: [:bup_set], ram_overrides_dump: []],
      [name: :e, max: [:bup_set], ram_overrides_dump: :what],
      [name: {:e, "x"}, min: [:bup_ordered], allow_remote: false]
    ]

    {stock, ours} =
      Door.both(fn side ->
        answers = for list <- arguments, do: side.activate_checkpoint(list)

        items =
          {Enum.sort(side.system_info(:checkpoints)),
           for(table <- @tables, do: Enum.sort(side.table_info(table, :checkpoints))),
           side.table_info(:bup_ordered, :commit_work)}

        ended =
          for name <- [:c, :c, :d, :nowhere, {:e, "x"}], do: side.deactivate_checkpoint(name)

        {answers, items, ended, side.system_info(:checkpoints),
         side.table_info(:bup_ordered, :commit_work)}
      end)

    for {left, right, list} <-
          Enum.zip([elem(elem(stock, 1), 0), elem(elem(ours, 1), 0), arguments]),
        do: assert(right == left, inspect({list, left, right}))

    assert ours == stock
  end

  test "a checkpoint has what was there" do
    for side <- @sides do
      create(side)
      for n <- 1..100, do: side.dirty_write({:bup_set, n, n, :old})
      for n <- 1..100, do: side.dirty_write({:bup_bag, rem(n, 10), n})
    end

    {stock, ours} =
      Door.both(fn side ->
        {:ok, :c, _} =
          side.activate_checkpoint(name: :c, max: [:bup_set, :bup_bag], ram_overrides_dump: true)

        for n <- 1..50, do: side.dirty_write({:bup_set, n, n, :new})
        for n <- 101..150, do: side.dirty_write({:bup_set, n, n, :new})
        side.transaction(fn -> for n <- 60..70, do: side.delete({:bup_set, n}) end)
        side.dirty_delete_object({:bup_bag, 1, 1})
        side.dirty_write({:bup_bag, 1, 1})
        side.clear_table(:bup_bag)
        side.dirty_write({:bup_bag, 1, :new})
        :ok = side.backup_checkpoint(:c, :then, MemoryBackup)
        :ok = side.deactivate_checkpoint(:c)
        MemoryBackup.items(:then) |> meant() |> Enum.sort()
      end)

    assert ours == stock
    {:value, records} = ours
    assert length(records) == 200
  end

  # Stock writes what it finds, and behind that, for each key that was changed, its deletion and what was there before.
  defp meant(items) do
    Enum.reduce(items, [], fn
      {table, key}, records when table in @tables ->
        Enum.reject(records, &(elem(&1, 0) == table and elem(&1, 1) == key))

      item, records when elem(item, 0) in @tables ->
        [item | records]

      _other, records ->
        records
    end)
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

  test "no such directory" do
    {stock, ours} = Door.both(fn side -> side.backup(~c"/nowhere/at/all") end)
    assert {:value, {:error, {:EXIT, {:error, {:file_error, _, :enoent}}}}} = stock
    assert {:value, {:error, {:EXIT, {:error, {:file_error, _, :enoent}}}}} = ours

    {stock, ours} = Door.both(fn side -> side.backup_checkpoint(:nowhere, :x, MemoryBackup) end)
    assert ours == stock

    for arguments <- [[:what], [{:tables, 1}], [{:module, 1}], [{:scope, :what}]] do
      {stock, ours} = Door.both(fn side -> side.backup(:x, arguments) end)
      assert ours == stock
    end
  end

  test "while the database is stopped" do
    for side <- @sides, do: create(side)
    parent = self()
    file = ~c"/nowhere/at/all"
    add = fn item, acc -> {[item], acc} end

    calls = [
      & &1.backup(file),
      & &1.backup_checkpoint(:c, :x, MemoryBackup),
      & &1.restore(file, []),
      & &1.activate_checkpoint(name: :c, max: [:bup_set]),
      & &1.deactivate_checkpoint(:c),
      & &1.traverse_backup(file, :mnesia_backup, :x, :read_only, add, 0),
      & &1.install_fallback(file)
    ]

    capture_log(fn ->
      for side <- @sides do
        side.stop()
        send(parent, {side, for(call <- calls, do: Door.answer(side, call))})
        :ok = side.start()
      end
    end)

    assert_received {:mnesia, stock}
    assert_received {:remnesia, ours}
    assert ours == stock
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

  test "an incremental backup" do
    for side <- @sides do
      create(side)
      for n <- 1..10, do: side.dirty_write({:bup_set, n, n, :old})
      options = [max: [:bup_set], ram_overrides_dump: true]
      {:ok, :first, _} = side.activate_checkpoint([name: :first] ++ options)
      side.dirty_write({:bup_set, 1, 1, :new})
      side.dirty_delete({:bup_set, 2})
      {:ok, :second, _} = side.activate_checkpoint([name: :second] ++ options)
      arguments = [module: MemoryBackup, incremental: :first]
      :ok = side.backup_checkpoint(:second, {:incremental, side}, arguments)
      for name <- [:first, :second], do: :ok = side.deactivate_checkpoint(name)
    end

    rows = fn side ->
      for item <- MemoryBackup.items({:incremental, side}), elem(item, 0) == :bup_set, do: item
    end

    assert {:bup_set, 1, 1, :new} in rows.(:mnesia)
    assert {:bup_set, 5, 5, :old} not in rows.(:mnesia)
    assert Enum.sort(rows.(:remnesia)) == contents(:remnesia, :bup_set)
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

  test "definitions and records of a checkpoint" do
    for side <- @sides do
      create(side)
      for n <- 1..3, do: side.dirty_write({:bup_bag, n, :then})
      {:ok, :c, _} = side.activate_checkpoint(name: :c, max: [:bup_bag], ram_overrides_dump: true)
      {:atomic, :ok} = side.write_table_property(:bup_bag, {:p, 1})

      {:atomic, :ok} =
        side.transform_table(:bup_bag, fn {t, k, v} -> {t, k, v, :now} end, [:k, :v, :w])

      :ok = side.backup_checkpoint(:c, side, MemoryBackup)
      :ok = side.deactivate_checkpoint(:c)
    end

    parts = fn side ->
      items = MemoryBackup.items(side)
      {:schema, :bup_bag, list} = List.keyfind(items, :bup_bag, 1)
      {list[:attributes], list[:user_properties], meant(items) |> Enum.sort()}
    end

    {attributes, properties, records} = parts.(:mnesia)
    assert {attributes, properties} == {[:k, :v, :w], [p: 1]}
    assert records == for(n <- 1..3, do: {:bup_bag, n, :then})
    assert parts.(:remnesia) == {[:key, :val], [], for(n <- 1..3, do: {:bup_bag, n, :then})}
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
