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

  # As Mix does before it compiles a module.
  delete = fn ->
    :code.purge(Remnesia.Native)
    :code.delete(Remnesia.Native)
  end

  # The same file: everything goes on, also what is in a transaction.
  {:module, _} = load.()
  "kept" = read.().name
  delete.()
  "kept" = read.().name

  "kept, too" =
    Remnesia.transaction!(fn ->
      Remnesia.Query.write(struct!(Item, id: 2, name: "kept, too"))
      {:module, _} = load.()
      Remnesia.Query.read(Item, 2).name
    end)

  # Another file: refused, as often as it is tried, and the old one serves on.
  rebuild.()
  for _ <- 1..3, do: {:error, :on_load_failure} = load.()
  "kept" = read.().name
  :ok = Remnesia.transaction(fn -> Remnesia.Query.delete(Item, 2) end)

  # Also when the old module was deleted first: the new one goes before the old library, whose file is gone.
  delete.()
  "kept" = read.().name
  IO.puts("again")

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

  # The application is stopped while its module cannot be had: whoever loads the next one does not have to wait for ever.
  rebuild.()
  beam = :code.which(Remnesia.Native)
  away = beam ++ ~c".away"
  File.rename!(beam, away)
  delete.()
  :ok = Application.stop(:remnesia)
  File.rename!(away, beam)
  {:ok, _} = Application.ensure_all_started(:remnesia)
  {:error, {:no_exists, Item}} = Remnesia.transaction(fn -> Remnesia.Query.read(Item, 1) end)

  # A thread of a library may still run when its module is gone: all three stay mapped.
  with {:ok, maps} <- File.read("/proc/self/maps") do
    3 = ~r/remnesia_nif-[^ ]+so/ |> Regex.scan(maps) |> Enum.uniq() |> length()
    IO.puts("mapped")
  end

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
    if File.exists?("/proc/self/maps"), do: assert(output =~ "mapped", output)
    assert length(String.split(output, "Stop the application first")) == 5, output
  end
end
