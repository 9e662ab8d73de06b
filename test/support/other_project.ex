defmodule Remnesia.OtherProject do
  @moduledoc """
  Mix projects that depend on this one, built beside it by tests: from a copy of exactly the files of the package, so that a
  file that the package lacks is seen, and with the native library that is built already.
  """

  @root File.cwd!()

  @doc "Where an application has the native library, whose name ends with a hash of its content."
  def native, do: "priv/native/remnesia_nif-*.so"

  @doc "The native library as this project has built it, also when it came from REMNESIA_NIF_PATH itself."
  def prebuilt do
    [prebuilt] = Path.wildcard(Application.app_dir(:remnesia, native()))
    prebuilt
  end

  @doc "Copies what is in the package."
  def copy_package(to) do
    files = Mix.Project.config()[:package][:files] |> Enum.flat_map(&wildcard/1)
    copy(".", to, files)
  end

  defp wildcard(pattern) do
    Path.join(@root, pattern)
    |> Path.wildcard(match_dot: true)
    |> Enum.map(&Path.relative_to(&1, @root))
  end

  @doc "Copies files and directories from a directory of this project."
  def copy(from, to, files) do
    for file <- files do
      File.mkdir_p!(Path.dirname(Path.join(to, file)))
      File.cp_r!(Path.join([@root, from, file]), Path.join(to, file))
    end
  end

  @doc "Runs Mix, and answers what it prints and its status."
  def mix(dir, args, env), do: command("mix", args, dir, env)

  # Nothing of the run that the test belongs to may reach the other project.
  @clean ~w(MIX_BUILD_PATH MIX_BUILD_ROOT MIX_DEPS_PATH MIX_EXS MIX_TARGET REMNESIA_NIF_PATH CARGO_BUILD_TARGET)

  @doc "Runs a program in a directory, like `mix/3`."
  def command(program, args, dir, env) do
    env = Enum.map(@clean, &{&1, nil}) ++ [{"MIX_ENV", "prod"}] ++ env
    System.cmd(program, args, cd: dir, env: Map.to_list(Map.new(env)), stderr_to_stdout: true)
  end
end
