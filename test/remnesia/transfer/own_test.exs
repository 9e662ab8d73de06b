defmodule Remnesia.Transfer.OwnTest do
  use ExUnit.Case

  # Remnesia's own backups: everything comes back, and a file that is not sound changes nothing.

  alias Remnesia.{Door, Engine}
  alias Remnesia.Transfer.BackupFile

  @tables [:own_bag, :own_dup, :own_ordered, :own_set]

  setup do
    Door.delete_all()

    directory = Path.join(System.tmp_dir!(), "remnesia_own_#{System.unique_integer([:positive])}")
    File.mkdir_p!(directory)

    on_exit(fn ->
      Door.delete_all()
      File.rm_rf!(directory)
    end)

    %{dir: directory, path: Path.join(directory, "all.backup")}
  end

  defp create do
    options = [
      attributes: [:k, :a, :b],
      index: [:a, [:a, :b]],
      unique: [:b],
      user_properties: [p: 1]
    ]

    {:atomic, :ok} = Engine.create_table(:own_set, options)
    {:atomic, :ok} = Engine.create_table(:own_bag, type: :bag, record_name: :entry)
    {:atomic, :ok} = Engine.create_table(:own_dup, type: :duplicate_bag)

    {:atomic, :ok} =
      Engine.create_table(:own_ordered, type: :ordered_set, access_mode: :read_only)
  end

  defp fill do
    for n <- 1..3000, do: Engine.dirty_write(:own_set, {:own_set, n, rem(n, 5), {n, "text"}})
    for n <- 1..20, m <- 1..3, do: Engine.dirty_write(:own_bag, {:entry, n, m})
    for _ <- 1..3, do: Engine.dirty_write(:own_dup, {:own_dup, 1, :x})
    Engine.dirty_write(:own_set, {:own_set, :large, 1, :binary.copy("large", 500_000)})
  end

  defp contents,
    do:
      for(
        t <- @tables,
        do: {t, Enum.sort(Engine.dirty_match_object(t, Engine.table_info(t, :wild_pattern)))}
      )

  defp definitions do
    for table <- @tables,
        do:
          Engine.definition(table)
          |> Map.drop([:cookie, :version])
          |> Map.to_list()
          |> Enum.sort()
  end

  for compact <- [false, true] do
    test "all there is comes back, compact: #{compact}", %{path: path} do
      create()
      fill()
      {contents, definitions} = {contents(), definitions()}
      counts = [own_bag: 60, own_dup: 3, own_ordered: 0, own_set: 3001]
      assert Remnesia.backup(path, compact: unquote(compact)) == {:ok, counts}
      assert Bitwise.band(File.stat!(path).mode, 0o777) == 0o600

      # Into tables with something else, and with other definitions.
      Engine.dirty_write(:own_set, {:own_set, :later, 1, 2})
      {:atomic, :ok} = Engine.del_table_index(:own_set, :a)
      Engine.delete_table(:own_dup)
      {:atomic, :ok} = Engine.create_table(:own_dup, attributes: [:x, :y, :z])
      assert Remnesia.restore(path) == {:ok, counts}
      assert {contents(), definitions()} == {contents, definitions}

      # Some of it, where nothing is.
      Door.delete_all()
      assert Remnesia.restore(path, tables: [:own_bag]) == {:ok, [own_bag: 60]}
      assert Engine.system_info(:tables) == [:own_bag, :schema]

      assert Remnesia.restore(path, tables: [:own_bag, :what]) ==
               {:error, {:not_in_backup, [:what]}}

      # Indexes are true, values unique.
      assert Remnesia.restore(path) == {:ok, counts}
      for table <- @tables, do: assert(Remnesia.Native.table_check(table) == :ok)
      assert catch_exit(Engine.dirty_write(:own_set, {:own_set, :x, 1, {1, "text"}}))
      assert catch_exit(Engine.dirty_write(:own_ordered, {:own_ordered, 1, 1}))
    end
  end

  test "some tables; those that are not there", %{path: path} do
    create()
    assert Remnesia.backup(path, tables: [:own_bag, :own_bag]) == {:ok, [own_bag: 0]}
    assert Remnesia.backup(path, tables: [:nowhere]) == {:error, {:no_exists, :nowhere}}
    assert Remnesia.restore(path) == {:ok, [own_bag: 0]}
    lines = self()
    {:ok, _} = Remnesia.backup(path, progress: &send(lines, {:line, &1}))
    assert_received {:line, ":own_bag: writing"}
  end

  test "what cannot be read changes nothing", %{path: path, dir: dir} do
    create()
    fill()
    {:ok, _} = Remnesia.backup(path)
    good = File.read!(path)
    bad = Path.join(dir, "bad")
    before = {contents(), definitions()}
    size = byte_size(good)
    # Places: all of the beginning, then some.
    places = Enum.to_list(0..200) ++ for(_ <- 1..300, do: :rand.uniform(size) - 1) ++ [size - 1]

    for at <- places do
      <<head::binary-size(at), byte, rest::binary>> = good
      File.write!(bad, [head, Bitwise.bxor(byte, Bitwise.bsl(1, :rand.uniform(8) - 1)), rest])
      assert {:error, reason} = Remnesia.restore(bad)

      assert reason == {:not_a_backup, bad} or match?({:corrupt, ^bad, _}, reason),
             inspect(reason)
    end

    for length <- [0, 1, 27, 28, 29, 40, 1000, size - 1] do
      File.write!(bad, binary_part(good, 0, length))
      assert {:error, reason} = Remnesia.restore(bad)
      assert reason == {:not_a_backup, bad} or match?({:corrupt, ^bad, _}, reason)
    end

    File.write!(bad, [good, "more"])
    assert {:error, {:corrupt, ^bad, :too_long}} = Remnesia.restore(bad)
    assert Remnesia.restore(Path.join(dir, "none")) == {:error, :enoent}
    assert Remnesia.restore(dir) == {:error, {:not_a_backup, dir}}

    # A newer format.
    head = <<"REMNESIA-BACKUP\n", 2::32, 0::32>>
    File.write!(bad, [head, <<:erlang.crc32(head)::32>>, binary_part(good, 28, size - 28)])
    assert Remnesia.restore(bad) == {:error, {:bad_version, 2}}
    assert {contents(), definitions()} == before
    assert Enum.sort(Engine.system_info(:tables)) == Enum.sort([:schema | @tables])
  end

  test "a frame that says it is large takes no memory", %{path: path} do
    {:ok, _} = BackupFile.write(path, true, fn put -> put.({:end, []}) end)
    <<head::binary-28, _::binary>> = File.read!(path)
    File.write!(path, [head, <<0xFFFFFFFF::32, 0xFFFFFFFF::32, 0::32>>, "x"])
    assert {:error, {:corrupt, _, {:truncated, 1}}} = Remnesia.restore(path)

    # Deflated to nearly nothing: 4 GB of zeros are said, and no more than is said is unpacked.
    packed = :zlib.zip(:binary.copy(<<0>>, 8 * 1024 * 1024))

    for raw <- [0xFFFFFFFF, 1024 * 1024, 33 * 1024 * 1024] do
      size = byte_size(packed)
      check = :erlang.crc32(:erlang.crc32(<<1::64, size::32, raw::32>>), packed)
      File.write!(path, [head, <<size::32, raw::32, check::32>>, packed])
      assert {:error, {:corrupt, _, {:length, 1}}} = Remnesia.restore(path)
    end
  end

  test "sound files that say what cannot be", %{path: path} do
    create()
    before = contents()
    table = fn name, list -> {:tables, [{name, list}]} end
    rows = [{:own_set, 1, 2, 3}]

    for terms <- [
          [{:end, []}],
          [{:tables, :what}, {:end, []}],
          [{:tables, [:what]}, {:end, []}],
          [table.(:schema, []), {:end, schema: 0}],
          [table.(:new, [:what]), {:end, new: 0}],
          [table.(:new, []), {:rows, :other, rows}, {:end, new: 0}],
          [table.(:new, []), {:rows, :new, :what}, {:end, new: 0}],
          [table.(:new, []), {:end, new: 1}],
          [table.(:new, attributes: [:k]), {:end, new: 0}],
          [table.(:new, what: 1), {:end, new: 0}],
          [table.(:new, type: :what), {:end, new: 0}],
          [table.(:own_set, []), {:rows, :own_set, rows}, {:end, own_set: 1}],
          [table.(:new, []), table.(:new, []), {:end, new: 0}],
          [table.(:new, index: [17]), {:end, new: 0}]
        ] do
      {:ok, _} = BackupFile.write(path, false, fn put -> Enum.each(terms, put) end)
      assert {:error, _reason} = Remnesia.restore(path), inspect(terms)
      assert contents() == before
      assert catch_exit(Engine.dirty_write(:own_ordered, {:own_ordered, 1, 1}))
      assert :new not in Engine.system_info(:tables)
    end
  end

  test "what is not complete gets no name", %{path: path} do
    assert {:error, {:corrupt, _, {:truncated, 2}}} =
             BackupFile.write(path, false, fn put -> put.({:tables, []}) end)

    assert_raise RuntimeError, fn -> BackupFile.write(path, false, fn _put -> raise "no" end) end
    assert File.ls!(Path.dirname(path)) == []
  end

  test "atoms are counted before they are made", %{path: path} do
    {:ok, _} =
      BackupFile.write(path, false, fn put ->
        put.({:tables, [new: []]})
        put.({:end, [new: 0]})
      end)

    # As a file from elsewhere: atoms that nobody here has.
    bytes = File.read!(path)
    name = "own_backup_atom_#{System.unique_integer([:positive])}"

    term =
      <<131, 104, 2, 119, 6, "tables", 108, 1::32, 104, 2, 119, byte_size(name), name::binary,
        106, 106>>

    size = byte_size(term)
    check = :erlang.crc32(:erlang.crc32(<<1::64, size::32, size::32>>), term)
    File.write!(path, [binary_part(bytes, 0, 28), <<size::32, size::32, check::32>>, term])
    assert Remnesia.restore(path, max_atoms: 0) == {:error, :too_many_atoms}
    assert_raise ArgumentError, fn -> String.to_existing_atom(name) end
    assert {:error, {:corrupt, _, {:truncated, 2}}} = Remnesia.restore(path, max_atoms: 1)
  end

  test "writers go on, and each transaction is in the backup or not", %{path: path} do
    for table <- [:own_set, :own_bag], do: {:atomic, :ok} = Engine.create_table(table, [])

    for table <- [:own_set, :own_bag],
        n <- 1..20_000,
        do: Engine.dirty_write(table, {table, n, 0})

    writer =
      Task.async(fn ->
        Stream.iterate(1, &(&1 + 1))
        |> Enum.reduce_while(0, fn n, worst ->
          {time, {:atomic, :ok}} =
            :timer.tc(fn ->
              Engine.transaction(fn ->
                Engine.write(:own_set, {:own_set, n, n}, :write)
                Engine.write(:own_bag, {:own_bag, n, n}, :write)
              end)
            end)

          receive do
            :stop -> {:halt, {n, max(worst, time)}}
          after
            0 -> {:cont, max(worst, time)}
          end
        end)
      end)

    for _ <- 1..5 do
      {:ok, _} = Remnesia.backup(path)

      {:ok, sums} =
        BackupFile.fold(path, 0, %{}, fn
          {:rows, table, rows}, sums ->
            top = rows |> Enum.map(&elem(&1, 2)) |> Enum.max()
            Map.update(sums, table, top, &max(&1, top))

          _other, sums ->
            sums
        end)

      assert sums.own_set == sums.own_bag
    end

    send(writer.pid, :stop)
    {number, _worst} = Task.await(writer)
    assert number > 100
  end

  test "a restored table is there for transactions that waited, and its subscribers stay", %{
    path: path
  } do
    create()
    fill()
    {:ok, _} = Remnesia.backup(path, tables: [:own_bag])
    parent = self()

    waiting =
      spawn_link(fn ->
        Engine.transaction(fn ->
          Engine.lock_table(:own_bag, :read)
          send(parent, :locked)

          receive do
            :go -> :ok
          end
        end)
      end)

    assert_receive :locked
    task = Task.async(fn -> Remnesia.restore(path) end)
    Process.sleep(20)
    send(waiting, :go)
    assert Task.await(task) == {:ok, [own_bag: 60]}
    {:ok, _} = Engine.subscribe({:table, :own_bag})
    assert Remnesia.restore(path) == {:ok, [own_bag: 60]}
    Engine.dirty_write(:own_bag, {:entry, 1, :told})
    assert_receive {:mnesia_table_event, {:write, {:own_bag, 1, :told}, _}}
    Engine.unsubscribe({:table, :own_bag})

    assert {:aborted, {:nested_transaction, _}} =
             Engine.transaction(fn ->
               Engine.abort({:nested_transaction, Remnesia.restore(path)})
             end)
  end
end
