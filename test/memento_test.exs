defmodule Remnesia.MementoTest do
  # compat/memento, in an app that knows Memento only and has a library that does, too (test/memento_app).

  use ExUnit.Case, async: false

  import Remnesia.OtherProject

  @moduletag :consumer
  @moduletag timeout: 300_000

  # Built once, for all tests here.
  setup_all do
    tmp = Path.join(System.tmp_dir!(), "remnesia_memento_#{System.pid()}")
    on_exit(fn -> File.rm_rf!(tmp) end)
    File.rm_rf!(tmp)

    library = Path.join(tmp, "remnesia")
    app = Path.join(tmp, "memento_app")
    copy_package(library)
    copy("test/memento_app", app, ~w(mix.exs lib test job_queue))
    copy("test/memento", Path.join(app, "test"), ~w(both_check.exs))

    env = [
      {"MEMENTO_DIR", Path.join(library, "compat/memento")},
      {"REMNESIA_NIF_PATH", prebuilt()},
      {"MIX_ENV", "test"}
    ]

    {output, status} = mix(app, ~w(compile), env)
    assert status == 0, output
    %{library: library, app: app, env: env, output: output}
  end

  test "compiles without a word of warning, and not again", %{app: app, env: env, output: output} do
    assert output =~ "Generated memento app"
    assert output =~ "Generated job_queue app"
    refute output =~ "warning"
    assert mix(app, ~w(compile), env) == {"", 0}
  end

  test "serves an app and a library that know Memento only, and both names in one program", %{
    app: app,
    env: env
  } do
    {output, status} = mix(app, ~w(test), env)
    assert status == 0, output

    # All of them.
    checks = Path.wildcard(Path.join(app, "test/*_check.exs")) |> Enum.map_join(&File.read!/1)
    count = length(Regex.scan(~r/^ +test "/m, checks))
    assert output =~ "#{count} tests, 0 failures", output
  end

  test "follows the sources", %{library: library, app: app, env: env} do
    lib = Path.join(library, "lib/remnesia")

    # Elixir follows them from there: a macro's users are compiled again, a function's are not.
    for {file, apps} <- [
          {"query.ex", ~w(remnesia memento)},
          {"table.ex", ~w(remnesia memento job_queue memento_app)}
        ] do
      # Mix compares times of files, which are seconds.
      Process.sleep(1_100)
      File.write!(Path.join(lib, file), "\n# changed\n", [:append])
      compiled = compiled(mix(app, ~w(compile), env))
      # A newer Mix compiles more of the apps again.
      assert {file, compiled |> Enum.map(&elem(&1, 0)) |> Enum.take(length(apps))} == {file, apps}
      # Not everything: what follows the changed file.
      assert Map.new(compiled)["memento"] <
               length(Path.wildcard(Path.join(lib, "{query,table,error}/*.ex")))
    end

    new = Path.join(lib, "query/new.ex")

    File.write!(new, """
    defmodule Remnesia.Query.New do
      alias Remnesia.{
        # the Engine
        Engine,
        Query.Data,
        Table
      }

      @doc "Remnesia's, not :remnesia's."
      def names, do: {Engine, Data, Table, Remnesia, Remnesia.Native, "a Remnesia Table", :"Elixir.Remnesia"}
    end
    """)

    {output, 0} =
      mix(app, ["run", "-e", "IO.inspect(Memento.Query.New.names(), width: 200)"], env)

    assert output =~
             ~s({Remnesia.Engine, Memento.Query.Data, Memento.Table, Memento, Remnesia.Native, "a Memento Table", Remnesia})

    File.rm!(new)
    assert {_, 0} = mix(app, ~w(compile), env)
    assert Path.wildcard(Path.join(app, "_build/test/lib/*/ebin/*.Query.New.beam")) == []
  end

  defp compiled({output, 0}) do
    for [_, app, files] <- Regex.scan(~r/^==> (\w+)\nCompiling (\d+) file/m, output),
        do: {app, String.to_integer(files)}
  end
end
