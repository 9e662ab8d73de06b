defmodule Remnesia.Transfer.MnesiaTest do
  use ExUnit.Case, async: false

  # Stock Mnesia's data come in, and go back: real directories, written and read by stock Mnesia in VMs of their own.

  alias Remnesia.Engine
  alias Remnesia.Transfer.MnesiaBackup

  @moduletag timeout: 120_000

  setup do
    root = Path.join(System.tmp_dir!(), "remnesia-transfer-#{System.unique_integer([:positive])}")
    File.mkdir_p!(root)
    :mnesia.stop()

    on_exit(fn ->
      Application.delete_env(:mnesia, :dir)
      :mnesia.start()
      File.rm_rf!(root)
      Application.stop(:remnesia)
      Application.ensure_all_started(:remnesia)
    end)

    %{root: root, dir: Path.join(root, "Mnesia")}
  end

  # Tables of every type and storage; the last records are in Mnesia's log only, as the VM halts.
  @fill """
  :ok = :mnesia.create_schema([node()])
  :ok = :mnesia.start()
  n = [node()]
  {:atomic, :ok} = :mnesia.create_table(:user, attributes: [:id, :name, :age], disc_copies: n, index: [:age], user_properties: [{:a, 1}])
  {:atomic, :ok} = :mnesia.create_table(:event, type: :bag, attributes: [:at, :what], disc_only_copies: n)
  {:atomic, :ok} = :mnesia.create_table(:sorted, type: :ordered_set, record_name: :item, disc_copies: n, load_order: 3)
  {:atomic, :ok} = :mnesia.create_table(:session, ram_copies: n)
  {:atomic, :ok} = :mnesia.create_table(:fixed, disc_copies: n)
  :ok = :mnesia.dirty_write({:fixed, 1, %{1 => [2.0, -0.0], "k" => {:a, <<5::3>>}}})
  {:atomic, :ok} = :mnesia.change_table_access_mode(:fixed, :read_only)
  for i <- 1..2500, do: :ok = :mnesia.dirty_write({:user, i, "name \#{i}", rem(i, 90)})
  for i <- 1..50, j <- 1..3, do: :ok = :mnesia.dirty_write({:event, i, {:what, j, :only_in_the_source}})
  :dumped = :mnesia.dump_log()
  {:atomic, :ok} = :mnesia.transaction(fn -> for i <- [1, 2.5, :z, "s", {1, 2}], do: :mnesia.write(:sorted, {:item, i, make_ref()}, :write); :ok end)
  {:atomic, :ok} = :mnesia.transaction(fn -> :mnesia.delete({:user, 1}) end)
  :mnesia.sync_log()
  :ok = :dets.sync(:event)
  System.halt()
  """

  defp stock(dir, script, name \\ []) do
    script = "Application.put_env(:mnesia, :dir, '#{dir}')\n" <> script
    options = ["--erl", Enum.join(name, " "), "-e", script]
    {output, status} = System.cmd("elixir", options, stderr_to_stdout: true)
    assert status == 0, output
    output
  end

  defp files(dir), do: for(f <- Enum.sort(File.ls!(dir)), do: {f, File.read!(Path.join(dir, f))})

  test "a directory comes in and goes back", %{root: root, dir: dir} do
    stock(dir, @fill)
    before = files(dir)
    parent = self()

    assert {:ok, tables} = Remnesia.import_mnesia(dir, progress: &send(parent, {:line, &1}))

    assert tables == [event: 150, fixed: 1, session: 0, sorted: 5, user: 2499]
    assert files(dir) == before
    assert_received {:line, "loading user"}
    assert Engine.table_info(:user, :index) == [4]
    assert Engine.table_info(:user, :user_properties) == [a: 1]
    assert Engine.table_info(:event, :type) == :bag
    assert Engine.table_info(:sorted, :record_name) == :item
    assert Engine.table_info(:sorted, :load_order) == 3
    assert Engine.table_info(:fixed, :access_mode) == :read_only
    assert [{:fixed, 1, %{1 => [2.0, _], "k" => {:a, <<5::3>>}}}] = Engine.dirty_read(:fixed, 1)

    assert catch_exit(Engine.dirty_write(:fixed, {:fixed, 2, 2})) ==
             {:aborted, {:no_exists, :fixed}}

    # Again: nothing to do. With a hole in it: filled again.
    assert Remnesia.import_mnesia(dir) == {:ok, tables}
    Engine.dirty_delete(:user, 77)
    Engine.dirty_write(:user, {:user, -1, "mine", 1})
    assert Remnesia.import_mnesia(dir) == {:ok, tables}
    assert Engine.dirty_read(:user, -1) == []

    # Back, changed.
    Engine.dirty_delete(:user, 2)
    Engine.dirty_write(:sorted, {:item, :new, 1})
    backup = Path.join(root, "out.bup")

    assert {:ok, [event: 150, fixed: 1, session: 0, sorted: 6, user: 2498]} =
             Remnesia.export_mnesia(backup)

    back = Path.join(root, "Back")

    output =
      stock(back, """
      :ok = :mnesia.create_schema([node()])
      :ok = :mnesia.start()
      :ok = :mnesia.install_fallback('#{backup}')
      :stopped = :mnesia.stop()
      :ok = :mnesia.start()
      :ok = :mnesia.wait_for_tables([:user, :event, :sorted, :fixed], 10_000)
      IO.inspect(for t <- [:event, :fixed, :session, :sorted, :user], do: {t, :mnesia.table_info(t, :size), :mnesia.table_info(t, :type)})
      IO.inspect({:mnesia.dirty_read(:sorted, :new), :mnesia.table_info(:user, :index), :mnesia.table_info(:fixed, :access_mode)})
      IO.inspect(length(:mnesia.dirty_index_read(:user, 5, :age)))
      """)

    assert output =~ "{:event, 150, :bag}"
    assert output =~ "{:sorted, 6, :ordered_set}"
    assert output =~ "{:user, 2498, :set}"
    assert output =~ "{[{:item, :new, 1}], [4], :read_only}"
    assert output =~ "\n28\n"
  end

  # The program of an application: what differs is the name behind the alias, and how its data come over.
  @blog """
  defmodule Blog do
    alias ENGINE, as: Mnesia

    def write(id, title), do: {:atomic, :ok} = Mnesia.transaction(fn -> Mnesia.write({Blog.Post, id, title, rem(id, 3)}) end)
    def titles(author), do: for({_, _, title, _} <- Mnesia.dirty_index_read(Blog.Post, author, :author), do: title) |> Enum.sort()
    def size, do: Mnesia.table_info(Blog.Post, :size)
    def ready, do: Mnesia.wait_for_tables([Blog.Post], 10_000)
  end
  """

  defp blog(engine, dir, script) do
    ebin = Path.join([Mix.Project.build_path(), "lib", "remnesia", "ebin"])

    script =
      "Application.put_env(:mnesia, :dir, ~c\"#{dir}\")\nApplication.put_env(:remnesia, :import, :auto)\n" <>
        String.replace(@blog, "ENGINE", inspect(engine)) <> script

    {output, status} = System.cmd("elixir", ["-pa", ebin, "-e", script], stderr_to_stdout: true)
    assert status == 0, output
    output
  end

  test "an import at a start that was cut off is none, and is done by the next start", %{dir: dir} do
    blog(:mnesia, dir, """
    :ok = :mnesia.create_schema([node()])
    :ok = :mnesia.start()
    {:atomic, :ok} = :mnesia.create_table(Blog.Post, attributes: [:id, :title, :author], index: [:author], disc_copies: [node()])
    :mnesia.ets(fn -> for i <- 1..20_000, do: :mnesia.write({Blog.Post, i, "title \#{i}", rem(i, 3)}) end)
    {:atomic, :ok} = :mnesia.change_table_copy_type(Blog.Post, node(), :ram_copies)
    {:atomic, :ok} = :mnesia.change_table_copy_type(Blog.Post, node(), :disc_copies)
    :stopped = :mnesia.stop()
    """)

    # Some records are there, and it dies.
    blog(:remnesia, dir, """
    begun? = fn -> is_integer(n = Remnesia.Native.table_size(Blog.Post)) and n > 0 end
    Task.start(fn -> Enum.find(Stream.cycle([1]), fn _ -> begun?.() end) && :erlang.halt(0, flush: false) end)
    Application.ensure_all_started(:remnesia)
    Process.sleep(:infinity)
    """)

    output =
      blog(:remnesia, dir, """
      {:ok, _} = Application.ensure_all_started(:remnesia)
      IO.puts("size \#{Blog.size()}, \#{length(Blog.titles(1))}")
      """)

    assert output =~ "size 20000, 6667"

    # A database, which is not imported again.
    assert blog(:remnesia, dir, """
           {:ok, _} = Application.ensure_all_started(:remnesia)
           :ok = Blog.ready()
           Blog.write(20_001, "new")
           :ok = Application.stop(:remnesia)
           {:ok, _} = Application.ensure_all_started(:remnesia)
           :ok = Blog.ready()
           IO.puts("size \#{Blog.size()}")
           """) =~ "size 20001"
  end

  test "an application swaps the alias, and swaps it back", %{root: root, dir: dir} do
    blog(:mnesia, dir, """
    :ok = :mnesia.create_schema([node()])
    :ok = :mnesia.start()
    {:atomic, :ok} = :mnesia.create_table(Blog.Post, attributes: [:id, :title, :author], index: [:author], disc_copies: [node()])
    for i <- 1..100, do: Blog.write(i, "title \#{i}")
    :stopped = :mnesia.stop()
    """)

    before = files(dir)
    backup = Path.join(root, "back.bup")

    # Its data are there at the first start, by either name of the API.
    output =
      blog(:remnesia, dir, """
      {:ok, _} = Application.ensure_all_started(:remnesia)
      :ok = Blog.ready()
      100 = Blog.size()
      ["title 1" | _] = Blog.titles(1)
      defmodule Blog.Post do
        use Remnesia.Table, attributes: [:id, :title, :author], index: [:author]
      end
      100 = Remnesia.transaction!(fn -> length(Remnesia.Query.all(Blog.Post)) end)
      Blog.write(101, "title 101")
      Remnesia.transaction!(fn -> Remnesia.Query.delete(Blog.Post, 1) end)
      :ok = Remnesia.stop()
      # And at the second, from our own files.
      :ok = Remnesia.start()
      :ok = Blog.ready()
      {:ok, ["Elixir.Blog.Post": 100]} = Remnesia.export_mnesia(#{inspect(backup)})
      IO.puts("exported")
      """)

    assert output =~ "exported"
    assert files_of_mnesia(dir) == before

    output =
      blog(:mnesia, dir, """
      :ok = :mnesia.start()
      :ok = Blog.ready()
      {:atomic, _} = :mnesia.restore(~c#{inspect(backup)}, default_op: :recreate_tables)
      IO.inspect({Blog.size(), "title 101" in Blog.titles(2), "title 1" in Blog.titles(1)})
      """)

    assert output =~ "{100, true, false}"
  end

  # Ours are in a folder of their own.
  defp files_of_mnesia(dir) do
    assert File.dir?(Path.join(dir, "remnesia"))

    for name <- Enum.sort(File.ls!(dir)),
        name != "remnesia",
        do: {name, File.read!(Path.join(dir, name))}
  end

  test "storage types come along, and go back", %{root: root, dir: dir} do
    stock(dir, @fill)
    Remnesia.OnDisc.start()
    assert {:ok, _tables} = Remnesia.import_mnesia(dir)
    tables = [:event, :fixed, :session, :sorted, :user]
    types = for t <- tables, do: Engine.table_info(t, :storage_type)
    assert types == [:disc_only_copies, :disc_copies, :ram_copies, :disc_copies, :disc_copies]
    assert length(Engine.dirty_read(:event, 7)) == 3

    # An ordered_set is on disc alone only here.
    {:atomic, :ok} = Engine.change_table_copy_type(:sorted, node(), :disc_only_copies)
    backup = Path.join(root, "out.bup")
    assert {:ok, _numbers} = Remnesia.export_mnesia(backup)

    output =
      stock(Path.join(root, "Back"), """
      :ok = :mnesia.create_schema([node()])
      :ok = :mnesia.start()
      :ok = :mnesia.install_fallback('#{backup}')
      :stopped = :mnesia.stop()
      :ok = :mnesia.start()
      :ok = :mnesia.wait_for_tables([:user, :event, :sorted, :fixed], 10_000)
      IO.inspect(for t <- [:event, :sorted], do: {t, :mnesia.table_info(t, :size), :mnesia.table_info(t, :storage_type)})
      """)

    assert output =~ "[{:event, 150, :disc_only_copies}, {:sorted, 5, :disc_copies}]"
  end

  test "of a named node, and of the Mnesia that runs here", %{dir: dir} do
    name = ["-name", "stock@127.0.0.1", "-dist_listen", "false"]
    stock(dir, @fill, name)
    assert {:ok, [{:event, 150} | _]} = Remnesia.import_mnesia(dir, tables: [:event, :user])
    assert Engine.definition(:sorted) == nil

    assert Remnesia.import_mnesia(dir, node: :other@host) ==
             {:error, {:which_node, [:"stock@127.0.0.1"]}}

    :ok = :mnesia.start()
    {:atomic, :ok} = :mnesia.create_table(:here, attributes: [:k, :v])
    for i <- 1..10, do: :ok = :mnesia.dirty_write({:here, i, self()})
    assert Remnesia.import_mnesia(:running, tables: [:here]) == {:ok, [here: 10]}
    assert [{:here, 3, pid}] = Engine.dirty_read(:here, 3)
    assert pid == self()
  end

  test "what cannot be taken is refused, and nothing is half done", %{root: root, dir: dir} do
    new = "new_#{System.unique_integer([:positive])}"
    stock(dir, String.replace(@fill, "only_in_the_source", new))
    assert Remnesia.import_mnesia(root) == {:error, {:no_mnesia, root}}
    assert Remnesia.import_mnesia(:running) == {:error, {:no_mnesia, :running}}

    {:atomic, :ok} = Engine.create_table(:user, attributes: [:a, :b])
    assert Remnesia.import_mnesia(dir, tables: [:user]) == {:error, {:already_exists, :user}}
    {:atomic, :ok} = Engine.delete_table(:user)
    assert {:error, :too_many_atoms} = Remnesia.import_mnesia(dir, max_atoms: 0)

    File.write!(Path.join(dir, "schema.DAT"), "garbage")
    assert {:error, _reason} = Remnesia.import_mnesia(dir)
    assert Path.wildcard(Path.join(System.tmp_dir!(), "remnesia-import-#{System.pid()}-*")) == []
  end

  test "bags with equal records are not Mnesia's", %{root: root} do
    {:atomic, :ok} = Engine.create_table(:twice, type: :duplicate_bag)

    assert Remnesia.export_mnesia(Path.join(root, "x")) ==
             {:error, {:not_in_mnesia, :duplicate_bag, [:twice]}}

    {:atomic, :ok} = Engine.delete_table(:twice)
    assert {:error, _enoent} = Remnesia.export_mnesia(Path.join(root, "no/such/x"))
  end

  test "files that are no backups", %{root: root} do
    fold = &MnesiaBackup.fold(&1, 10, 0, fn items, n -> n + length(items) end)
    good = Path.join(root, "good")

    assert MnesiaBackup.write_with(good, fn put -> put.([{:schema, :t, []}, {:t, 1, 2}]) end) ==
             {:ok, :ok}

    assert fold.(good) == {:ok, 2}

    bytes = File.read!(good)
    path = Path.join(root, "bad")

    for cut <- [0, 5, 20, byte_size(bytes) - 3] do
      File.write!(path, binary_part(bytes, 0, cut))
      assert {:error, _reason} = fold.(path)
    end

    for _ <- 1..300 do
      at = :rand.uniform(byte_size(bytes)) - 1
      <<head::binary-size(at), byte, rest::binary>> = bytes
      File.write!(path, [head, Bitwise.bxor(byte, :rand.uniform(255)), rest])
      assert elem(fold.(path), 0) in [:ok, :error]
    end

    assert fold.(root) == {:error, {:not_a_backup, root}}
    assert fold.(Path.join(root, "none")) == {:error, :enoent}
    # The file that was there stays when the new one fails.
    assert_raise RuntimeError, fn -> MnesiaBackup.write_with(good, fn _put -> raise "no" end) end
    assert fold.(good) == {:ok, 2}
    assert Enum.sort(File.ls!(root)) == ["bad", "good"]
  end
end
