defmodule Remnesia.LibraryTest do
  use ExUnit.Case, async: true

  # The life of the native library in a VM, seen from VMs of their own, each with a copy of the application to change.

  @moduletag :tmp_dir

  @script """
  defmodule Item do
    use Remnesia.Table, attributes: [:id, :name]
  end

  {:ok, _} = Application.ensure_all_started(:remnesia)
  :ok = Remnesia.Table.create(Item)
  read = fn -> Remnesia.transaction!(fn -> Remnesia.Query.read(Item, 1) end) end
  Remnesia.transaction!(fn -> Remnesia.Query.write(struct!(Item, id: 1, name: "kept")) end)

  # What a build leaves behind: another file under the same name.
  rebuild = fn ->
    [library] = Path.wildcard(Remnesia.Native.path() <> ".*")
    File.cp!(library, String.replace(library, "remnesia_nif-", "remnesia_nif-0"))
    File.rm!(library)
  end

  load = fn ->
    :code.purge(Remnesia.Native)
    :code.load_file(Remnesia.Native)
  end

  # The same file: everything goes on.
  {:module, _} = load.()
  "kept" = read.().name

  # Another file: refused, as often as it is tried, and the old one serves on.
  rebuild.()
  for _ <- 1..3, do: {:error, :on_load_failure} = load.()
  "kept" = read.().name
  :ok = Remnesia.transaction(fn -> Remnesia.Query.delete(Item, 2) end)

  # Once the application is stopped it may come in, and begins with an empty database. This process has a handle of the old one.
  :ok = Application.stop(:remnesia)
  {:module, _} = load.()
  {:ok, _} = Application.ensure_all_started(:remnesia)
  {:error, {:no_exists, Item}} = Remnesia.transaction(fn -> Remnesia.Query.read(Item, 1) end)
  {:aborted, :no_transaction} = try do Remnesia.Query.read(Item, 1) catch :exit, reason -> reason end
  :ok = Remnesia.Table.create(Item)
  nil = read.()
  Remnesia.transaction!(fn -> Remnesia.Query.write(struct!(Item, id: 1, name: "new")) end)
  "new" = read.().name
  IO.puts("all is well")
  """

  test "the same file loaded again goes on, another one is refused while the database runs", %{
    tmp_dir: dir
  } do
    app = Path.join(dir, "remnesia")
    File.mkdir_p!(app)
    File.cp_r!(Application.app_dir(:remnesia, "ebin"), Path.join(app, "ebin"))
    File.cp_r!(Application.app_dir(:remnesia, "priv"), Path.join(app, "priv"))

    # The library is found by the application's directory, whose name counts.
    {output, status} =
      System.cmd("elixir", ["-pa", Path.join(app, "ebin"), "-e", @script], stderr_to_stdout: true)

    assert {0, true} == {status, output =~ "all is well"}, output
    assert output =~ "Stop the application first"
  end
end
