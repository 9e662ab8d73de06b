defmodule Remnesia.ConsumerTest do
  # An app that depends on this library, built as its own Mix project: compiled, run, released. And the Mix compiler of the
  # native library (native/compile.exs), driven from outside with a cargo that only writes down that it was called.
  #
  # The library it depends on is a copy of exactly the files of the package, so a file that the package lacks is seen here.

  use ExUnit.Case, async: false

  import Remnesia.OtherProject

  @moduletag :consumer
  @moduletag timeout: 300_000

  @native native()

  setup_all do
    tmp = Path.join(System.tmp_dir!(), "remnesia_consumer_#{System.pid()}")
    on_exit(fn -> File.rm_rf!(tmp) end)
    File.rm_rf!(tmp)

    %{tmp: tmp, prebuilt: prebuilt()}
  end

  # Each test has its own library, app and calls, in a directory of its own.
  setup %{tmp: tmp, test: test} do
    dir = Path.join(tmp, String.replace(to_string(test), ~r/\W+/, "_"))
    library = Path.join(dir, "remnesia")
    app = Path.join(dir, "consumer")

    copy_package(library)
    copy("test/consumer_app", app, ~w(mix.exs lib))
    %{dir: dir, library: library, app: app}
  end

  describe "an app that depends on the library" do
    test "compiles, runs, and runs as a release", %{
      app: app,
      library: library,
      prebuilt: prebuilt
    } do
      env = [{"REMNESIA_DIR", library}, {"REMNESIA_NIF_PATH", prebuilt}]
      expected = "read Solaris, old: Metropolis, Nosferatu"

      assert {output, 0} = mix(app, ["run", "-e", "Consumer.run()"], env)
      assert output =~ expected

      assert {output, 0} = mix(app, ~w(release --quiet), env)
      release = Path.join(app, "_build/prod/rel/consumer")
      assert [_] = Path.wildcard(Path.join(release, "lib/remnesia-*/#{@native}")), output

      # Moved away from where it was built, a release must still find its library.
      moved = Path.join(app, "installed")
      File.rename!(release, moved)
      File.rm_rf!(Path.join(app, "_build"))

      assert {output, 0} =
               command(Path.join(moved, "bin/consumer"), ["eval", "Consumer.run()"], app, [])

      assert output =~ expected
    end

    test "builds the library in its own build directory, again only when a Rust file has changed",
         context do
      %{app: app, library: library} = context
      env = [{"REMNESIA_DIR", library} | fake_cargo(context)]

      assert {_, 0} = mix(app, ~w(deps.compile), env)
      assert [call] = cargo_calls(context)
      assert call =~ "build --release --locked --package remnesia_nif --target-dir #{app}/_build/"
      assert [_] = Path.wildcard(Path.join(app, "_build/prod/lib/remnesia/#{@native}"))
      refute File.exists?(Path.join(library, "_build"))
      refute File.exists?(Path.join(library, "priv"))

      assert {_, 0} = mix(app, ~w(compile), env)
      assert [_] = cargo_calls(context)

      touch(library, "native/engine/src/lib.rs")
      assert {_, 0} = mix(app, ~w(compile), env)
      assert [_, _] = cargo_calls(context)
    end
  end

  describe "the Mix compiler of the native library" do
    test "calls cargo for a changed file only, for one build of all environments", context do
      %{library: library} = context
      env = fake_cargo(context)

      assert {_, 0} = mix(library, ~w(compile.remnesia_nif), env)
      assert [call] = cargo_calls(context)
      assert call =~ "--target-dir #{library}/_build/remnesia_nif"

      # A cargo that fails proves more than one that is not seen.
      assert {_, 0} = mix(library, ~w(compile.remnesia_nif), failing_cargo(context))
      assert [_] = cargo_calls(context)

      for {file, calls} <- [
            {"native/nif/Cargo.toml", 2},
            {"Cargo.lock", 3},
            {"native/engine/src/lib.rs", 4}
          ] do
        touch(library, file)
        assert {_, 0} = mix(library, ~w(compile.remnesia_nif), env)
        assert length(cargo_calls(context)) == calls, "a changed #{file} was not seen"
      end

      # What is no part of the library is no reason to build it.
      touch(library, "mix.exs")
      touch(library, "native/compile.exs")
      assert {_, 0} = mix(library, ~w(compile.remnesia_nif), env)
      assert length(cargo_calls(context)) == 4

      assert {_, 0} = mix(library, ~w(compile.remnesia_nif), [{"MIX_ENV", "dev"} | env])
      assert [first, _, _, _, fifth] = cargo_calls(context)
      assert first == fifth

      assert [built] = Path.wildcard(Path.join(library, "_build/prod/lib/remnesia/#{@native}"))
      assert {_, 0} = mix(library, ~w(clean), env)
      refute File.exists?(built)
      refute File.exists?(Path.join(library, "_build/remnesia_nif"))
    end

    test "replaces the library, never writes into it", context do
      %{library: library, dir: dir, prebuilt: prebuilt} = context

      installed = fn ->
        Path.wildcard(Path.join(library, "_build/prod/lib/remnesia/#{@native}"))
      end

      assert {_, 0} = mix(library, ~w(compile.remnesia_nif), [{"REMNESIA_NIF_PATH", prebuilt}])
      assert [built] = installed.()
      # A second name for the old file stands for the VM that has it mapped.
      mapped = Path.join(dir, "mapped")
      File.ln!(built, mapped)

      other = Path.join(dir, "other.so")
      File.write!(other, "another library")
      assert {_, 0} = mix(library, ~w(compile.remnesia_nif), [{"REMNESIA_NIF_PATH", other}])

      assert [new] = installed.()
      assert new != built and File.read!(new) == "another library"
      assert File.read!(mapped) == File.read!(prebuilt)
      assert File.ls!(Path.dirname(new)) == [Path.basename(new)]
    end

    test "shows what cargo says when it fails, and stops", context do
      assert {output, 1} = mix(context.library, ~w(compile), failing_cargo(context))
      assert output =~ "error: this cargo always fails"
      assert output =~ "remnesia: the native library does not build: cargo ended with status 101"
      refute output =~ "Compiling 1 file"
    end

    test "says in one line what to do when there is no cargo", context do
      env = [{"PATH", path_without_cargo(context)}]
      assert {output, 1} = mix(context.library, ~w(compile), env)

      assert [line] = String.split(output, "\n", trim: true)
      assert line =~ "cargo is not in PATH: install Rust 1.91 or newer"
      assert line =~ "REMNESIA_NIF_PATH"
    end

    test "refuses a REMNESIA_NIF_PATH that names no file", %{library: library} do
      for {path, reason} <- [
            {"/no/such/library.so", "does not exist"},
            {"library.so", "must be an absolute path"}
          ] do
        assert {output, 1} = mix(library, ~w(compile), [{"REMNESIA_NIF_PATH", path}])
        assert [line] = String.split(output, "\n", trim: true)
        assert line =~ reason
        assert line =~ path
      end
    end

    test "finds every file it needs in the package", %{library: library} do
      if cargo = System.find_executable("cargo") do
        args = ~w(metadata --offline --locked --no-deps --format-version 1)
        assert {output, 0} = command(cargo, args, library, [])
        assert output =~ ~s("name":"remnesia_nif")
      end
    end
  end

  # --- The library and cargo ---

  # One second is what the manifest tells apart.
  defp touch(library, file) do
    path = Path.join(library, file)
    File.touch!(path, File.stat!(path, time: :posix).mtime + 2)
  end

  # Writes its arguments down, and puts the library that is already built where cargo would put its own.
  defp fake_cargo(%{dir: dir, prebuilt: prebuilt}) do
    with_cargo(Path.join(dir, "fake_cargo"), """
    echo "$@" >> "#{dir}/calls"
    while [ "$1" != --target-dir ]; do shift; done
    mkdir -p "$2/release"
    for name in libremnesia_nif.so libremnesia_nif.dylib; do cp "#{prebuilt}" "$2/release/$name"; done
    """)
  end

  defp failing_cargo(%{dir: dir}) do
    with_cargo(Path.join(dir, "failing_cargo"), """
    echo "error: this cargo always fails" >&2
    exit 101
    """)
  end

  defp with_cargo(bin, script) do
    File.mkdir_p!(bin)
    File.write!(Path.join(bin, "cargo"), "#!/bin/sh\n" <> script)
    File.chmod!(Path.join(bin, "cargo"), 0o755)
    [{"PATH", bin <> ":" <> System.fetch_env!("PATH")}]
  end

  defp cargo_calls(%{dir: dir}) do
    case File.read(Path.join(dir, "calls")) do
      {:ok, calls} -> String.split(calls, "\n", trim: true)
      {:error, :enoent} -> []
    end
  end

  # cargo may be in the same directory as mix; then a directory of links to everything else takes its place.
  defp path_without_cargo(%{dir: dir}) do
    System.fetch_env!("PATH")
    |> String.split(":")
    |> Enum.with_index()
    |> Enum.map_join(":", fn {bin, number} ->
      if File.exists?(Path.join(bin, "cargo")),
        do: links_without_cargo(bin, Path.join(dir, "bin#{number}")),
        else: bin
    end)
  end

  defp links_without_cargo(bin, to) do
    File.mkdir_p!(to)

    for name <- File.ls!(bin),
        name != "cargo",
        do: File.ln_s!(Path.join(bin, name), Path.join(to, name))

    to
  end
end
