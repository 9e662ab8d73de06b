defmodule Remnesia.Durability.BackupTest do
  use ExUnit.Case, async: false

  # Backups of tables on disc, what a restart finds of what was restored, and fallbacks, which the next start begins with.

  alias Remnesia.{Engine, Native, Schema}
  alias Remnesia.Engine.Local.Directory

  setup do
    dir = Remnesia.OnDisc.directory()
    :ok = Schema.create([node()])
    :ok = Remnesia.start()
    File.mkdir_p!(dir <> ".files")
    %{dir: dir, path: Path.join(dir <> ".files", "one")}
  end

  defp restart, do: Remnesia.OnDisc.restart(10_000)

  defp create do
    for {table, type} <- [disc_set: :set, disc_bag: :bag, disc_ordered: :ordered_set],
        do: {:atomic, :ok} = Engine.create_table(table, type: type, disc_copies: [node()])

    {:atomic, :ok} = Engine.create_table(:in_ram, [])
    for table <- tables(), n <- 1..500, do: Engine.dirty_write(table, {table, n, {n, :old}})
  end

  defp tables, do: [:disc_bag, :disc_ordered, :disc_set, :in_ram]

  defp contents, do: for(t <- tables(), do: Enum.sort(Engine.dirty_match_object(t, {t, :_, :_})))

  test "what was restored is there after a restart", %{path: path} do
    create()
    before = contents()
    {:ok, _} = Remnesia.backup(path, compact: true)
    for table <- tables(), n <- 400..600, do: Engine.dirty_write(table, {table, n, :new})
    {:atomic, :ok} = Engine.clear_table(:disc_bag)
    {:atomic, :ok} = Engine.delete_table(:disc_ordered)
    {:ok, _} = Remnesia.restore(path)
    assert contents() == before
    restart()
    assert Enum.take(contents(), 3) == Enum.take(before, 3)
    assert Engine.table_info(:disc_ordered, :disc_copies) == [node()]
    assert Engine.table_info(:in_ram, :ram_copies) == [node()]

    # By the Mnesia door.
    :ok = :remnesia.backup(to_charlist(path))
    Engine.dirty_write(:disc_set, {:disc_set, :later, 1})
    {:atomic, _} = :remnesia.restore(to_charlist(path), [])
    restart()
    assert Enum.take(contents(), 3) == Enum.take(before, 3)
    {:atomic, _} = :remnesia.restore(to_charlist(path), keep_tables: tables())
    restart()
    assert Enum.take(contents(), 3) == Enum.take(before, 3)
    for table <- tables(), do: assert(Native.table_check(table) == :ok)
  end

  test "a restore that fails leaves nothing on disc", %{path: path} do
    create()
    {:ok, _} = Remnesia.backup(path)
    before = contents()
    :ok = :remnesia.backup(to_charlist(path <> ".bup"))

    # A record that does not fit stands at the end.
    add = fn item, acc ->
      {if(item == {:disc_set, 500, {500, :old}}, do: [item, {:disc_set, 1, 2, 3}], else: [item]),
       acc}
    end

    {:ok, _} =
      :remnesia.traverse_backup(to_charlist(path <> ".bup"), to_charlist(path <> ".bad"), add, 0)

    for options <- [[], [default_op: :recreate_tables], [default_op: :keep_tables]] do
      assert {:aborted, {:bad_type, {:disc_set, 1, 2, 3}}} =
               :remnesia.restore(to_charlist(path <> ".bad"), options)

      assert contents() == before
    end

    {:atomic, :ok} = Engine.delete_table(:disc_set)

    assert {:aborted, {:bad_type, _}} =
             :remnesia.restore(to_charlist(path <> ".bad"), default_op: :recreate_tables)

    assert :disc_set not in Engine.system_info(:tables)
    restart()
    assert :disc_set not in Engine.system_info(:tables)
    assert Enum.sort(Engine.dirty_match_object(:disc_bag, {:disc_bag, :_, :_})) == hd(before)
  end

  test "a restore that is killed half-way leaves what was there", %{path: path} do
    create()
    for n <- 1..30_000, do: Engine.dirty_write(:disc_set, {:disc_set, n, n})
    {:ok, _} = Remnesia.backup(path)
    Engine.dirty_write(:disc_set, {:disc_set, 1, :changed})
    before = contents()

    for time <- [5, 20, 40] do
      {pid, monitor} = spawn_monitor(fn -> Remnesia.restore(path) end)
      Process.sleep(time)
      Process.exit(pid, :kill)
      assert_receive {:DOWN, ^monitor, _, _, _}
      # Its locks are freed a moment later.
      {:atomic, :ok} =
        Engine.transaction(fn ->
          for t <- tables(), do: :ok = Engine.lock_table(t, :write)
          :ok
        end)

      now = contents()
      assert now == before or hd(Enum.at(now, 2)) == {:disc_set, 1, 1}
      Engine.dirty_write(:disc_set, {:disc_set, 1, :changed})
    end

    restart()

    for {now, before} <- Enum.zip(Enum.take(contents(), 3), before),
        do: assert({now -- before, before -- now} == {[], []})
  end

  describe "fallback" do
    test "is what the next start begins with", %{path: path} do
      create()
      before = contents()
      file = to_charlist(path)
      :ok = :remnesia.backup(file)
      {:atomic, :ok} = Engine.delete_table(:disc_bag)
      {:atomic, :ok} = Engine.create_table(:later, disc_copies: [node()])
      refute :remnesia.system_info(:fallback_activated)
      assert :remnesia.install_fallback(file) == :ok
      assert :remnesia.system_info(:fallback_activated)

      assert :remnesia.install_fallback(file) ==
               {:error, {~c"Cannot install fallback", {:already_exists, node()}}}

      # Set aside as long as that is said.
      Application.put_env(:remnesia, :ignore_fallback_at_startup, true)
      restart()
      assert :later in Engine.system_info(:tables)
      assert :remnesia.system_info(:fallback_activated)
      Application.delete_env(:remnesia, :ignore_fallback_at_startup)

      restart()
      assert Enum.sort(Engine.system_info(:tables)) == Enum.sort([:schema | tables()])
      assert contents() == before
      refute :remnesia.system_info(:fallback_activated)

      assert (File.ls!(Directory.data()) -- ["data.mdb", "lock.mdb"])
             |> Enum.all?(&(&1 =~ ~r/^(log|lock)/))

      restart()
      assert Enum.take(contents(), 3) == Enum.take(before, 3)
      assert :remnesia.uninstall_fallback() == {:error, :enoent}
    end

    test "taken back", %{path: path} do
      create()
      :ok = :remnesia.backup(to_charlist(path))
      Engine.dirty_write(:disc_set, {:disc_set, :later, 1})
      :ok = :remnesia.install_fallback(to_charlist(path), scope: :local)
      assert :remnesia.uninstall_fallback() == :ok
      restart()
      assert Engine.dirty_read(:disc_set, :later) == [{:disc_set, :later, 1}]
    end

    test "one that cannot be read starts nothing, and nothing is lost", %{path: path} do
      create()
      :ok = :remnesia.backup(to_charlist(path))
      :ok = :remnesia.install_fallback(to_charlist(path))
      file = Path.join(Directory.data(), "FALLBACK.BUP")
      bytes = File.read!(file)
      :ok = Remnesia.stop()
      File.write!(file, binary_part(bytes, 0, byte_size(bytes) - 5))
      assert {:error, reason} = Application.start(:remnesia)
      assert inspect(reason) =~ "Cannot start from fallback"
      assert :remnesia.uninstall_fallback() == :ok
      :ok = Remnesia.start()
      :ok = Remnesia.wait([:disc_set], 10_000)
      assert Engine.table_info(:disc_set, :size) == 500
    end

    test "one with records that do not fit brings back what was there", %{path: path} do
      create()
      :ok = :remnesia.backup(to_charlist(path))

      add = fn item, acc ->
        {if(elem(item, 0) == :disc_set,
           do: [Tuple.insert_at(item, tuple_size(item), :more)],
           else: [item]
         ), acc}
      end

      {:ok, _} = :remnesia.traverse_backup(to_charlist(path), to_charlist(path <> ".bad"), add, 0)
      :ok = :remnesia.install_fallback(to_charlist(path <> ".bad"))
      :ok = Remnesia.stop()
      assert {:error, _reason} = Application.start(:remnesia)
      assert {:error, _reason} = Application.start(:remnesia)
      assert :remnesia.uninstall_fallback() == :ok
      :ok = Remnesia.start()
      :ok = Remnesia.wait([:disc_set], 10_000)
      assert Engine.table_info(:disc_set, :size) == 500
    end

    test "a start that was cut off loses nothing, wherever that was", %{path: path} do
      create()
      :ok = :remnesia.backup(to_charlist(path))
      names = ["before_fallback.part", "before_fallback.part", "before_fallback"]

      for {away, everything?} <- Enum.zip(names, [false, true, true]), wanted? <- [false, true] do
        Engine.dirty_write(:disc_set, {:disc_set, :new, away})
        :ok = Remnesia.stop()

        move = fn name, to ->
          File.rename!(Path.join(Directory.data(), name), Path.join(to, name))
        end

        all = File.ls!(Directory.data())
        to = Path.join(Directory.data(), away)
        File.mkdir!(to)
        for name <- if(everything?, do: all, else: ["data.mdb"]), do: move.(name, to)

        # A part of the new one.
        if away == "before_fallback" do
          File.write!(Path.join(Directory.data(), "data.mdb"), "part")
          File.write!(Path.join(Directory.data(), "log-1"), "part")
        end

        # It was taken back, or cannot be read this time.
        fallback = Path.join(Directory.data(), "FALLBACK.BUP")

        if wanted? do
          File.write!(fallback, "nonsense")
          assert {:error, _reason} = Application.start(:remnesia)
          File.rm!(fallback)
        end

        :ok = Remnesia.start()
        :ok = Remnesia.wait([:disc_set], 10_000)
        assert Engine.table_info(:disc_set, :size) == 501
        assert Engine.dirty_read(:disc_set, :new) == [{:disc_set, :new, away}]
        refute Enum.any?(File.ls!(Directory.data()), &(&1 =~ "before"))
      end
    end

    test "arguments, and backups that nobody can start from", %{path: path, dir: dir} do
      create()
      file = to_charlist(path)
      install = &:remnesia.install_fallback(file, &1)
      :ok = :remnesia.backup(file)

      for bad <- [
            :what,
            1,
            [:what],
            [scope: :what],
            [default_op: :clear_tables],
            [keep_tables: ["x"]]
          ] do
        expected =
          if is_list(bad), do: {:error, {:badarg, hd(bad)}}, else: {:error, {:badarg, bad}}

        if bad != :what, do: assert(install.(bad) == expected)
      end

      assert install.(mnesia_dir: dir) ==
               {:error, {~c"Cannot install fallback", {:combine_error, :global, :dir, node()}}}

      {:ok, name, _} = :remnesia.activate_checkpoint(max: [:disc_set])
      :ok = :remnesia.backup_checkpoint(name, file)
      assert install.([]) == {:error, {~c"Cannot install fallback", {~c"Cannot lookup", :schema}}}

      rename = fn
        {:schema, :schema, list}, acc ->
          {[{:schema, :schema, Keyword.put(list, :disc_copies, [:other@host])}], acc}

        item, acc ->
          {[item], acc}
      end

      :ok = :remnesia.backup(file)
      {:ok, _} = :remnesia.traverse_backup(file, to_charlist(path <> ".2"), rename, 0)

      assert :remnesia.install_fallback(to_charlist(path <> ".2")) ==
               {:error,
                {~c"Cannot install fallback",
                 {~c"No disc resident schema on local node", [:other@host]}}}

      refute :remnesia.system_info(:fallback_activated)

      # Elsewhere, and no further.
      elsewhere = Path.join(dir <> ".files", "elsewhere")
      assert install.(scope: :local, mnesia_dir: to_charlist(elsewhere)) == :ok
      assert File.ls!(elsewhere) == ["remnesia"]
      assert File.ls!(Path.join(elsewhere, "remnesia")) == ["FALLBACK.BUP"]

      assert :remnesia.uninstall_fallback(scope: :local, mnesia_dir: to_charlist(elsewhere)) ==
               :ok
    end

    test "of stock Mnesia's", %{path: path, dir: dir} do
      script = """
      Application.put_env(:mnesia, :dir, ~c"#{dir}.files/stock")
      :ok = :mnesia.create_schema([node()])
      :ok = :mnesia.start()
      {:atomic, :ok} = :mnesia.create_table(:from_stock, disc_copies: [node()], index: [:val])
      for n <- 1..100, do: :ok = :mnesia.dirty_write({:from_stock, n, rem(n, 10)})
      :ok = :mnesia.backup(~c"#{path}")
      """

      assert {"", 0} = System.cmd("elixir", ["-e", script], stderr_to_stdout: true)
      assert :remnesia.install_fallback(to_charlist(path)) == :ok
      restart()
      assert Engine.system_info(:tables) == [:from_stock, :schema]
      assert length(Engine.dirty_index_read(:from_stock, 3, :val)) == 10

      # And back.
      Engine.dirty_write(:from_stock, {:from_stock, 101, 3})
      :ok = :remnesia.backup(to_charlist(path))

      script = """
      Application.put_env(:mnesia, :dir, ~c"#{dir}.files/stock")
      :ok = :mnesia.install_fallback(~c"#{path}")
      :ok = :mnesia.start()
      :ok = :mnesia.wait_for_tables([:from_stock], 5_000)
      IO.write(length(:mnesia.dirty_index_read(:from_stock, 3, :val)))
      """

      assert {"11", 0} = System.cmd("elixir", ["-e", script], stderr_to_stdout: true)
    end
  end

  test "a database is checked without being started", %{dir: dir} do
    create()
    data = Directory.data()
    assert {:error, _in_use} = Native.disc_check(data)
    :ok = Remnesia.stop()

    files = fn ->
      for f <- Enum.sort(File.ls!(data)), f != "lock.mdb", do: {f, File.read!(Path.join(data, f))}
    end

    before = files.()
    assert {:ok, found} = Native.disc_check(data)
    assert found[:rows] >= 1500 and found[:tables] >= 3
    assert found[:torn_bytes] == 0
    assert files.() == before

    # A log with a byte that is wrong.
    :ok = Remnesia.start()
    :ok = Remnesia.wait([:disc_set], 10_000)

    Engine.sync_transaction(fn ->
      Engine.write(:disc_set, {:disc_set, 1, :binary.copy("x", 5000)}, :write)
    end)

    # Files come and go while it runs.
    copy = dir <> ".files/copy"

    Stream.repeatedly(fn -> File.rm_rf!(copy) && File.cp_r(data, copy) end)
    |> Enum.find(&match?({:ok, _}, &1))

    assert {:ok, found} = Native.disc_check(copy)
    assert found[:log_end] > found[:position]

    [log] =
      for name <- File.ls!(copy),
          String.starts_with?(name, "log-"),
          file = Path.join(copy, name),
          File.read!(file) =~ String.duplicate("x", 5000),
          do: file

    bytes = File.read!(log)
    {at, _} = :binary.match(bytes, String.duplicate("x", 5000))

    File.write!(log, [
      binary_part(bytes, 0, at + 9),
      "y",
      binary_part(bytes, at + 10, byte_size(bytes) - at - 10)
    ])

    case Native.disc_check(copy) do
      {:error, _damage} -> :ok
      # What follows carries no mark yet: the next start would take it for a commit that was being written.
      {:ok, found} -> assert found[:log_end] < Native.log_tail()
    end

    assert {:error, _} = Native.disc_check(copy <> "none")
    refute File.exists?(copy <> "none")
  end
end
