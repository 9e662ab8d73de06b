defmodule Remnesia.MixTasksTest do
  use ExUnit.Case, async: false

  import ExUnit.CaptureIO

  alias Remnesia.Query

  setup do
    dir = Path.join(System.tmp_dir!(), "remnesia-tasks-#{System.unique_integer([:positive])}")
    was = Application.get_env(:remnesia, :dir)
    Application.stop(:remnesia)

    on_exit(fn ->
      Application.stop(:remnesia)
      Application.put_env(:remnesia, :dir, was)
      Application.delete_env(:remnesia, :import)
      File.rm_rf!(dir)
      Application.ensure_all_started(:remnesia)
    end)

    %{dir: dir}
  end

  # As on a command line: a VM whose application does not run yet.
  defp task(name, arguments) do
    Application.stop(:remnesia)
    module = Mix.Task.get!(name)

    output =
      capture_io(fn ->
        try do
          module.run(arguments)
        catch
          :exit, :normal -> :ok
        end
      end)

    output
  end

  test "set up, looked at, exported and imported", %{dir: dir} do
    assert_raise Mix.Error, ~r/There is no database in/, fn ->
      task("remnesia.info", ["--dir", dir])
    end

    output = task("remnesia.setup", ["--dir", dir, "Example.User", "Example.Email"])
    assert output =~ "2 tables are there"
    assert task("remnesia.setup", ["--dir", dir, "Example.User"]) =~ "1 tables are there"
    Remnesia.transaction!(fn -> Query.write(struct!(Example.User, id: 1, name: "Sara")) end)

    output = task("remnesia.info", ["--dir", dir])
    assert output =~ "Example.User: 1 records, set, disc_copies"
    assert output =~ "Example.Email: 0 records, bag"

    file = Path.join(dir, "out.bup")
    assert task("remnesia.export", [file, "--dir", dir]) =~ "2 tables"
    stock = Path.join(dir, "Mnesia")

    script = """
    Application.put_env(:mnesia, :dir, '#{stock}')
    :ok = :mnesia.create_schema([node()])
    :ok = :mnesia.start()
    :ok = :mnesia.install_fallback('#{file}')
    :stopped = :mnesia.stop()
    :ok = :mnesia.start()
    :ok = :mnesia.wait_for_tables([Example.User], 5_000)
    :ok = :mnesia.dirty_write({Example.User, 2, "Ali", 3})
    :stopped = :mnesia.stop()
    """

    assert {_, 0} = System.cmd("elixir", ["-e", script], stderr_to_stdout: true)
    other = Path.join(dir, "other")
    output = task("remnesia.import", [stock, "--dir", other])
    assert output =~ "Example.User: 2 records"
    assert task("remnesia.info", ["--dir", other]) =~ "Example.User: 2 records"
  end

  test "backed up, restored, dumped, loaded, checked", %{dir: dir} do
    for name <- ~w(backup dump) do
      assert_raise Mix.Error, ~r/There is no database in/, fn ->
        task("remnesia.#{name}", ["file", "--dir", dir])
      end
    end

    task("remnesia.setup", ["--dir", dir, "Example.User", "Example.Email"])
    Remnesia.transaction!(fn -> Query.write(struct!(Example.User, id: 1, name: "Sara")) end)
    {backup, text} = {Path.join(dir, "all.backup"), Path.join(dir, "all.txt")}
    output = task("remnesia.backup", [backup, "--dir", dir, "--compact"])
    assert output =~ "Example.User: writing"
    assert output =~ "Example.User: 1 records"
    assert output =~ "#{backup}: 2 tables"
    some = ["--table", "Example.User", "--dir", dir]
    assert task("remnesia.dump", [text | some]) =~ "#{text}: 1 tables"
    assert File.read!(text) =~ "Sara"

    # A running database is not there for a task.
    output = task("remnesia.check", ["--dir", dir])
    assert output =~ "The database is sound."
    assert output =~ ~r/tables: \d+ records in \d+ tables/

    other = Path.join(dir, "other")
    assert task("remnesia.restore", [backup, "--dir", other]) =~ "Example.User: 1 records"
    assert task("remnesia.info", ["--dir", other]) =~ "Example.User: 1 records, set, disc_copies"
    third = Path.join(dir, "third")
    assert task("remnesia.load", [text, "--dir", third]) =~ "Example.User: 1 records"
    assert task("remnesia.info", ["--dir", third]) =~ "Example.User: 1 records, set, disc_copies"

    # Wrong files.
    File.write!(text, [File.read!(text), "{'Elixir.Example.User',,}.\n"])
    lines = text |> File.read!() |> String.split("\n") |> length()

    assert_raise Mix.Error, ~r/all.txt:#{lines - 1}: syntax error/, fn ->
      task("remnesia.load", [text, "--dir", third])
    end

    assert task("remnesia.info", ["--dir", third]) =~ "Example.User: 1 records"
    <<head::binary-300, byte, rest::binary>> = File.read!(backup)
    File.write!(backup, [head, Bitwise.bxor(byte, 1), rest])

    for {arguments, message} <- [
          {[backup], ~r/all.backup is damaged: {:checksum, \d}/},
          {[text], ~r/all.txt is no backup of Remnesia/},
          {[Path.join(dir, "none")], ~r/none: no such file/}
        ] do
      assert_raise Mix.Error, message, fn ->
        task("remnesia.restore", arguments ++ ["--dir", other])
      end
    end

    # Damage in the database.
    Application.stop(:remnesia)
    file = Path.join([other, "remnesia", "data.mdb"])
    bytes = File.read!(file)
    place = div(byte_size(bytes), 2)

    File.write!(file, [
      binary_part(bytes, 0, place),
      :crypto.strong_rand_bytes(byte_size(bytes) - place)
    ])

    assert_raise Mix.Error, ~r/The database is not sound/, fn ->
      task("remnesia.check", ["--dir", other])
    end
  end

  test "what is wrong is said", %{dir: dir} do
    for name <- ~w(setup info import export backup restore dump load check) do
      assert task("remnesia.#{name}", ["--help"]) =~ "mix remnesia.#{name}"

      assert_raise Mix.Error, ~r/Unknown option --bogus/, fn ->
        task("remnesia.#{name}", ["--bogus"])
      end
    end

    assert_raise Mix.Error, ~r/is not a module with/, fn ->
      task("remnesia.setup", ["--dir", dir, "Enum"])
    end

    assert_raise Mix.Error, ~r/Expected --storage/, fn ->
      task("remnesia.setup", ["--dir", dir, "--storage", "x"])
    end

    for name <- ~w(export backup restore dump load),
        do:
          assert_raise(Mix.Error, ~r/Expected a file/, fn ->
            task("remnesia.#{name}", ["--dir", dir])
          end)

    assert_raise Mix.Error, ~r/There is no database in/, fn ->
      task("remnesia.check", ["--dir", dir <> "none"])
    end

    assert_raise Mix.Error, ~r/no Mnesia database in/, fn ->
      task("remnesia.import", [dir, "--dir", dir])
    end
  end

  test "a node without a name is not converted, and nothing is changed", %{dir: dir} do
    assert_raise Mix.Error, ~r/There is no database in/, fn ->
      task("remnesia.convert", ["--dir", dir])
    end

    task("remnesia.setup", ["--dir", dir, "Example.User"])

    assert_raise Mix.Error, ~r/this node has no name/, fn ->
      task("remnesia.convert", ["--dir", dir])
    end

    assert task("remnesia.info", ["--dir", dir]) =~ "Example.User: 0 records"
    assert task("remnesia.convert", ["--help"]) =~ "elixir --sname"
  end
end
