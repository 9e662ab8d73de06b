defmodule Remnesia.DurableSchemaTest do
  use ExUnit.Case, async: false

  import Bitwise

  # The schema on disc, storage that changes while tables are used, and what a restart finds.

  alias Remnesia.{Engine, Native, Query, Schema, Table}
  alias Remnesia.Engine.Local.Directory

  defmodule Post do
    use Remnesia.Table, attributes: [:id, :title, :status], index: [:status]
  end

  defmodule Count do
    use Remnesia.Table, attributes: [:id, :n], type: :ordered_set, autoincrement: true
  end

  setup do
    %{dir: Remnesia.OnDisc.directory()}
  end

  defp restart, do: Remnesia.OnDisc.restart(10_000)

  defp post(id), do: Remnesia.transaction!(fn -> Query.read(Post, id) end)
  defp write(record), do: Remnesia.transaction!(fn -> Query.write(record) end)

  test "created, deleted, and refused as stock does", %{dir: dir} do
    assert Schema.create([node()]) == :ok
    assert Schema.create([node()]) == {:error, {node(), {:already_exists, node()}}}

    assert {:error, {:other@host, {~c"All nodes not running", :other@host, :nodedown}}} =
             Schema.create([:other@host])

    assert Remnesia.system(:use_dir)
    :ok = Remnesia.start()
    assert Schema.create([node()]) == {:error, {node(), {:already_exists, node()}}}
    assert Schema.delete([node()]) == {:error, {~c"Mnesia is not stopped everywhere", [node()]}}
    assert Remnesia.system(:use_dir)
    assert Engine.table_info(:schema, :disc_copies) == [node()]
    :ok = Remnesia.stop()
    assert Schema.delete([node()]) == :ok
    assert Schema.delete([node()]) == :ok
    refute File.exists?(dir)
    :ok = Remnesia.start()
    refute Remnesia.system(:use_dir)

    assert Table.create(Post, disc_copies: [node()]) ==
             {:error, {:bad_type, Post, :disc_copies, node()}}
  end

  test "setup is for every start" do
    :ok = Remnesia.start()

    for _ <- 1..2 do
      assert Schema.setup(tables: [Post, Count]) == :ok
      assert Table.info(Post, :storage_type) == :disc_copies
    end

    write(%Post{id: 1, title: "kept", status: :new})
    restart()
    assert Schema.setup(tables: [Post, Count]) == :ok
    assert post(1).title == "kept"
    assert Schema.setup(tables: [Post], storage: :ram_copies) == :ok
    assert Table.info(Post, :storage_type) == :ram_copies
    assert post(1).title == "kept"
  end

  test "definitions, properties, indexes and numbers survive" do
    :ok = Schema.create([node()])
    :ok = Remnesia.start()
    options = [disc_copies: [node()], user_properties: [{:owner, "me"}], load_order: 7]
    :ok = Table.create(Post, options)
    :ok = Table.create(Count, disc_copies: [node()])
    :ok = Table.create(Example.User)
    for _ <- 1..3, do: write(%Count{n: 1})
    for id <- 1..100, do: write(%Post{id: id, status: rem(id, 3)})
    cookie = Table.info(Post, :cookie)
    {:atomic, :ok} = Engine.add_table_index(Post, :title)
    restart()
    assert Table.info(Post, :user_properties) == [owner: "me"]
    assert Table.info(Post, :load_order) == 7
    assert Table.info(Post, :cookie) == cookie
    assert Enum.sort(Table.info(Post, :index)) == [3, 4]
    assert Table.info(Example.User, :storage_type) == :ram_copies
    assert length(Remnesia.transaction!(fn -> Query.match(Post, {:_, :_, 1}) end)) == 34
    assert write(%Count{n: 1}).id == 4
    assert Native.table_check(Post) == :ok
    {:atomic, :ok} = Engine.del_table_index(Post, :title)
    :ok = Table.delete(Count)
    :ok = Table.clear(Example.User)
    :ok = Table.clear(Post)
    write(%Post{id: 5})
    restart()
    assert Table.info(Post, :index) == [4]
    assert Table.info(Post, :size) == 1
    assert Engine.definition(Count) == nil
  end

  test "every record comes back as it was" do
    :ok = Remnesia.start()
    :ok = Schema.setup(tables: [Post])
    big = :rand.bytes(100_000)
    fun = fn x -> {x, big} end

    values =
      [0, -1, 1.5, -0.0, 1 <<< 200, -(1 <<< 70), :atom, :ünïcode, "", "text", <<5::3>>, big] ++
        [
          [],
          [1 | 2],
          Enum.to_list(1..1_000),
          {},
          {1, {2}},
          %{},
          %{1 => 1, 1.0 => 2, :a => [b: 1]}
        ] ++
        [
          self(),
          make_ref(),
          hd(Port.list()),
          fun,
          &String.length/1,
          %Post{id: 1},
          Enum.map(1..300, &:"atom#{&1}")
        ]

    for {value, id} <- Enum.with_index(values),
        do: write(%Post{id: {id, value}, title: value, status: [value]})

    restart()

    for {value, id} <- Enum.with_index(values) do
      assert %Post{title: ^value, status: [^value]} = post({id, value})
    end

    assert Table.info(Post, :size) == length(values)
    assert Native.table_check(Post) == :ok
  end

  test "storage changes while writers write" do
    :ok = Remnesia.start()
    :ok = Schema.setup(tables: [Post], storage: :ram_copies)
    for id <- 1..3_000, do: write(%Post{id: id, title: "old"})
    stop = :atomics.new(1, [])

    writers =
      for w <- 1..4 do
        Task.async(fn ->
          Stream.iterate(1, &(&1 + 1))
          |> Enum.take_while(fn i ->
            id = {w, rem(i, 500)}

            if rem(w, 2) == 0,
              do: write(%Post{id: id, title: i}),
              else: :ok = Engine.dirty_write(Post, {Post, id, i, nil})

            :atomics.get(stop, 1) == 0
          end)
          |> List.last()
        end)
      end

    for type <- [:disc_copies, :ram_copies, :disc_copies, :ram_copies, :disc_copies] do
      assert Table.set_storage_type(Post, node(), type) == :ok

      assert Table.set_storage_type(Post, node(), type) ==
               {:error, {:already_exists, Post, node(), type}}

      Process.sleep(30)
    end

    :atomics.put(stop, 1, 1)
    Task.await_many(writers, 60_000)
    before = Post |> Engine.dirty_select([{:_, [], [:"$_"]}]) |> Enum.sort()
    restart()
    now = Post |> Engine.dirty_select([{:_, [], [:"$_"]}]) |> Enum.sort()
    assert {now -- before, before -- now} == {[], []}
    assert Native.table_check(Post) == :ok
  end

  test "the schema goes to disc and back with the tables that are there", %{dir: dir} do
    :ok = Remnesia.start()
    :ok = Table.create(Post)
    write(%Post{id: 1})
    assert Table.set_storage_type(Post, node(), :disc_copies) == {:error, {:has_no_disc, node()}}
    assert Schema.set_storage_type(node(), :disc_copies) == :ok

    assert Schema.set_storage_type(node(), :disc_copies) ==
             {:error, {:already_exists, :schema, node(), :disc_copies}}

    assert Table.set_storage_type(Post, node(), :disc_copies) == :ok

    assert {:error, {~c"Disc resident tables", [Post], _}} =
             Schema.set_storage_type(node(), :ram_copies)

    restart()
    assert post(1) == %Post{id: 1}
    assert Table.set_storage_type(Post, node(), :ram_copies) == :ok
    assert Schema.set_storage_type(node(), :ram_copies) == :ok
    refute File.exists?(Path.join(dir, "remnesia"))
    assert post(1) == %Post{id: 1}
    write(%Post{id: 2})
    :ok = Remnesia.stop()
    :ok = Remnesia.start()
    assert Engine.definition(Post) == nil
  end

  test "transformed and dumped tables" do
    :ok = Remnesia.start()
    :ok = Schema.setup(tables: [Post])
    for id <- 1..2_500, do: write(%Post{id: id, title: "a", status: :b})
    add = fn {Post, id, title, status} -> {Post, id, title, status, id * 2} end
    {:atomic, :ok} = Engine.transform_table(Post, add, [:id, :title, :status, :twice])
    bad = fn record -> if elem(record, 1) == 7, do: raise("no"), else: record end
    assert {:aborted, _} = Engine.transform_table(Post, bad, [:id, :title, :status, :twice])
    :ok = Engine.dirty_write(Post, {Post, 0, 1, 2, 3})
    {:atomic, :ok} = Engine.create_table(:ram, [])
    :ok = Engine.dirty_write(:ram, {:ram, 1, 1})
    {:atomic, :ok} = Engine.dump_tables([:ram])
    :ok = Engine.dirty_write(:ram, {:ram, 2, 2})
    assert {:aborted, {~c"Only allowed on ram_copies", Post, _}} = Engine.dump_tables([Post])
    restart()
    assert Engine.dirty_read(Post, 5) == [{Post, 5, "a", :b, 10}]
    assert Engine.dirty_read(Post, 0) == [{Post, 0, 1, 2, 3}]
    assert Table.info(Post, :size) == 2_501
    assert Engine.dirty_select(:ram, [{:_, [], [:"$_"]}]) == [{:ram, 1, 1}]
    assert Engine.table_info(:ram, :storage_type) == :ram_copies
    # Only what is there now is in the definitions.
    restart()
    assert Table.info(Post, :size) == 2_501
  end

  test "the tables' file is written anew while writers write", %{dir: dir} do
    :ok = Remnesia.start()
    :ok = Schema.setup(tables: [Post])
    text = String.duplicate("x", 300)
    for id <- Enum.shuffle(1..3_000), do: write(%Post{id: id, title: text})
    :ok = Native.disc_flush()
    for id <- 1..2_500, do: :ok = Engine.dirty_delete(Post, id)
    :ok = Native.disc_flush()
    size = fn -> File.stat!(Path.join(dir, "remnesia/data.mdb")).size end
    before = size.()
    writer = Task.async(fn -> for id <- 3_001..3_500, do: write(%Post{id: id, title: text}) end)
    assert {:ok, {was, now}} = Remnesia.compact()
    assert was >= before and now < div(before, 2)
    Task.await(writer)
    restart()
    assert Table.info(Post, :size) == 1_000
    assert Native.table_check(Post) == :ok
    assert Native.disc_metrics()[:refused] == nil
  end

  test "every commit waits where that is wanted" do
    Application.put_env(:remnesia, :durability, :sync)
    :ok = Remnesia.start()
    :ok = Schema.setup(tables: [Post, Count])
    write(%Post{id: 1})

    synced = fn ->
      m = Engine.disc_metrics()
      m.synced == m.tail
    end

    assert synced.()
    :ok = Engine.dirty_write(Post, {Post, 2, 1, 1})
    assert synced.()
    assert Engine.dirty_update_counter(Count, 1, 5) == 5
    assert synced.()
    :ok = Engine.dirty_delete(Post, 2)
    assert synced.()
    assert Remnesia.sync() == :ok
  end

  test "the first commit of a new database waits for no place of the last one" do
    :ok = Remnesia.start()
    :ok = Schema.setup(tables: [Post])
    text = String.duplicate("x", 1_000)

    # On every scheduler: what a write leaves there is found by whoever runs there next.
    1..64
    |> Task.async_stream(fn n ->
      for i <- 1..50, do: Engine.dirty_write(Post, {Post, {n, i}, text, nil})
    end)
    |> Stream.run()

    :ok = Remnesia.stop()
    :ok = Schema.delete([node()])
    Application.put_env(:remnesia, :durability, :sync)
    :ok = Remnesia.start()
    :ok = Schema.setup(tables: [Post])
    assert {:atomic, :ok} = Engine.create_table(:ram, [])

    for i <- 1..50,
        do:
          assert(
            {:atomic, :ok} =
              Engine.transaction(fn -> Engine.write(:ram, {:ram, i, i}, :write) end)
          )

    write(%Post{id: 1})
    assert %{synced: same, tail: same} = Engine.disc_metrics()
  end

  describe "a directory that cannot be used" do
    defp refused do
      assert {:error, {reason, {Remnesia.Application, :start, _}}} = Remnesia.start()
      refute Native.running()
      reason
    end

    test "of another database process", %{dir: dir} do
      :ok = Schema.create([node()])
      ebin = Path.join([Mix.Project.build_path(), "lib", "remnesia", "ebin"])

      script = """
      Application.put_env(:remnesia, :dir, "#{dir}")
      {:ok, _} = Application.ensure_all_started(:remnesia)
      IO.puts("ready")
      IO.gets("")
      """

      port =
        Port.open({:spawn_executable, System.find_executable("elixir")}, [
          :binary,
          {:line, 100},
          args: ["-pa", ebin, "-e", script]
        ])

      assert_receive {^port, {:data, {:eol, "ready"}}}, 30_000
      assert {:locked, path} = refused()
      assert path == Directory.data()
      # Nor is it deleted under the other one.
      assert Schema.delete([node()]) == {:error, {:locked, path}}
      assert File.exists?(Path.join(path, "data.mdb"))
      Port.close(port)
      wait_until(fn -> Remnesia.start() == :ok end)
    end

    defp wait_until(fun, tries \\ 200),
      do: fun.() || (tries > 0 && (Process.sleep(20) && wait_until(fun, tries - 1)))

    test "of stock Mnesia", %{dir: dir} do
      File.mkdir_p!(dir)
      File.write!(Path.join(dir, "schema.DAT"), "stock's")
      assert {:mnesia_directory, ^dir, text} = refused()
      assert text =~ "mix remnesia.import"
      Application.put_env(:remnesia, :import, :ignore)
      assert Remnesia.start() == :ok
      assert Schema.setup(tables: [Post]) == :ok
      restart()
      assert File.read!(Path.join(dir, "schema.DAT")) == "stock's"
    end

    test "damaged", %{dir: dir} do
      :ok = Remnesia.start()
      :ok = Schema.setup(tables: [Post])
      for id <- 1..2_000, do: write(%Post{id: id, title: "some text"})
      :ok = Remnesia.stop()
      file = Path.join([dir, "remnesia", "data.mdb"])
      whole = File.read!(file)

      for size <- [0, 100, 5_000, byte_size(whole) - 4_096] do
        File.write!(file, binary_part(whole, 0, size))
        File.rm(Path.join([dir, "remnesia", "clean"]))
        assert is_tuple(refused())
      end

      # What is right again is used again.
      File.write!(file, whole)
      assert Remnesia.start() == :ok
      assert Remnesia.wait(Post, 10_000) == :ok
      assert Table.info(Post, :size) == 2_000
    end

    test "a file in its place", %{dir: dir} do
      File.write!(dir, "a file")
      assert {:error, {_node, reason}} = Schema.create([node()])
      assert reason in [:eexist, :enotdir]
      File.rm!(dir)
    end
  end

  test "fragments on disc" do
    :ok = Remnesia.start()
    :ok = Schema.set_storage_type(node(), :disc_copies)
    frag = fn fun -> :remnesia.activity(:transaction, fun, [], :mnesia_frag) end
    keys = fn -> frag.(fn -> :remnesia.all_keys(:visit) end) |> Enum.sort() end
    sizes = fn -> frag.(fn -> :remnesia.table_info(:visit, :frag_size) end) end
    properties = [n_fragments: 2, node_pool: [node()], n_disc_copies: 1]
    {:atomic, :ok} = :remnesia.create_table(:visit, frag_properties: properties)
    frag.(fn -> for k <- 1..100, do: :remnesia.write({:visit, k, k}) end)

    for change <- [{:add_frag, [node()]}, {:add_frag, [node()]}, {:add_frag, [node()]}, :del_frag] do
      assert :remnesia.change_table_frag(:visit, change) == {:atomic, :ok}
      before = sizes.()
      assert keys.() == Enum.to_list(1..100)
      restart()
      assert sizes.() == before
      assert keys.() == Enum.to_list(1..100)
      assert frag.(fn -> :remnesia.read(:visit, 77) end) == [{:visit, 77, 77}]
    end

    # One that a killed change has left belongs to nobody.
    {:ok, fragment} = Remnesia.Engine.Local.Definitions.fetch(:visit_frag2)
    left = %{fragment | name: :visit_frag5}
    Remnesia.Engine.Local.Tables.define!(left)
    assert :remnesia.change_table_frag(:visit, {:add_frag, [node()]}) == {:atomic, :ok}
    assert keys.() == Enum.to_list(1..100)
    assert :remnesia.delete_table(:visit) == {:atomic, :ok}
    restart()
    assert Native.tables() == []
  end
end
