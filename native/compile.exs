defmodule Mix.Tasks.Compile.RemnesiaNif do
  @moduledoc false

  # Builds the native library: the Mix compiler `:remnesia_nif`. It lives here, outside lib/, because mix.exs needs it
  # before anything of lib/ is compiled.
  #
  # What it keeps true: once it has run, the priv/native of the app *in the build directory* holds the library that the
  # manifest describes. In the build directory, not in the sources, because the sources of a dependency may be read-only and
  # are shared by every app and environment that uses them; releases copy it from there.
  #
  # The manifest holds name, time and size of every file the library is made of. While they stay the same, cargo is not called.

  use Mix.Task.Compiler

  @sources ~w(Cargo.{toml,lock} .cargo/config.toml native/*/{Cargo.toml,build.rs} native/*/src/**/*.rs)

  # What cargo calls the library, and what :erlang.load_nif/2 looks for.
  {built, extension} =
    case :os.type() do
      {:win32, _} -> {"remnesia_nif.dll", ".dll"}
      {:unix, :darwin} -> {"libremnesia_nif.dylib", ".so"}
      {:unix, _} -> {"libremnesia_nif.so", ".so"}
    end

  @built built
  @extension extension

  @impl true
  def run(args) do
    prebuilt = System.get_env("REMNESIA_NIF_PATH", "")
    stamp = stamp(prebuilt)

    if "--force" not in args and installed() != [] and recorded_stamp() == stamp do
      {:noop, []}
    else
      with {:ok, built} <- if(prebuilt == "", do: cargo_build(), else: check(prebuilt)),
           :ok <- install(built) do
        File.mkdir_p!(Path.dirname(manifest()))
        File.write!(manifest(), :erlang.term_to_binary(stamp))
        {:ok, []}
      else
        {:error, message} ->
          Mix.shell().error("remnesia: " <> message)
          {:error, [diagnostic(message)]}
      end
    end
  end

  @impl true
  def manifests, do: [manifest()]

  @impl true
  def clean do
    Enum.each(installed(), &File.rm/1)
    File.rm(manifest())
    File.rm_rf!(target_dir())
    :ok
  end

  defp cargo_build do
    if cargo = System.find_executable("cargo") do
      Mix.shell().info("Compiling the native library of remnesia (cargo, release)")
      args = ~w(build --release --locked --package remnesia_nif --target-dir) ++ [target_dir()]

      # cargo writes to standard error, which it shares with us: its progress is seen as it goes.
      case System.cmd(cargo, args, into: IO.stream()) do
        {_, 0} ->
          {:ok,
           Path.join([target_dir(), System.get_env("CARGO_BUILD_TARGET", ""), "release", @built])}

        {_, status} ->
          {:error,
           "the native library does not build: cargo ended with status #{status}, its message is above"}
      end
    else
      {:error,
       "cargo is not in PATH: install Rust #{rust_version()} or newer (https://rustup.rs), " <>
         "or set REMNESIA_NIF_PATH to a prebuilt library"}
    end
  end

  # A relative path would be relative to the sources of this library, which is never what an app means by it.
  defp check(prebuilt) do
    cond do
      Path.type(prebuilt) != :absolute ->
        {:error, "REMNESIA_NIF_PATH must be an absolute path, got: #{prebuilt}"}

      not File.regular?(prebuilt) ->
        {:error, "REMNESIA_NIF_PATH names a file that does not exist: #{prebuilt}"}

      true ->
        {:ok, prebuilt}
    end
  end

  # The name has the content's hash in it: a loader that has a file of the same name open answers that one, so a VM that loads
  # the module again would go on with the old build and not know. Never written in place: a running VM may have it mapped.
  defp install(built) do
    temporary = Path.join(directory(), "new.#{System.pid()}")

    with :ok <- File.mkdir_p(directory()),
         {:ok, content} <- File.read(built),
         library = Path.join(directory(), "remnesia_nif-#{hash(content)}#{@extension}"),
         :ok <- File.write(temporary, content),
         :ok <- File.rename(temporary, library) do
      Enum.each(installed() -- [library], &File.rm/1)
    else
      {:error, reason} ->
        File.rm(temporary)
        {:error, "cannot copy #{built} to #{directory()}: #{:file.format_error(reason)}"}
    end
  end

  defp hash(content),
    do: content |> :erlang.md5() |> binary_part(0, 6) |> Base.encode16(case: :lower)

  defp stamp(prebuilt) do
    files =
      if prebuilt == "",
        do: Enum.flat_map(@sources, &Path.wildcard(&1, match_dot: true)),
        else: [prebuilt]

    {:erlang.system_info(:system_architecture), System.get_env("CARGO_BUILD_TARGET"),
     Enum.map(files, &fingerprint/1)}
  end

  defp fingerprint(path) do
    case File.stat(path, time: :posix) do
      {:ok, %File.Stat{mtime: mtime, size: size}} -> {path, mtime, size}
      {:error, reason} -> {path, reason}
    end
  end

  defp recorded_stamp do
    case File.read(manifest()) do
      {:ok, binary} -> :erlang.binary_to_term(binary)
      {:error, _} -> nil
    end
  rescue
    ArgumentError -> nil
  end

  defp directory, do: Path.join([Mix.Project.app_path(), "priv", "native"])
  defp installed, do: Path.wildcard(Path.join(directory(), "remnesia_nif-*#{@extension}"))
  defp manifest, do: Path.join(Mix.Project.manifest_path(), "compile.remnesia_nif")

  # Beside the environments of the project that is compiled (ours, or the app that depends on us): one build for all of them.
  defp target_dir do
    build = Mix.Project.build_path()

    Path.join(
      if(System.get_env("MIX_BUILD_PATH"), do: build, else: Path.dirname(build)),
      "remnesia_nif"
    )
  end

  defp rust_version do
    [_, version] = Regex.run(~r/^rust-version = "(.+)"$/m, File.read!("Cargo.toml"))
    version
  end

  defp diagnostic(message) do
    %Mix.Task.Compiler.Diagnostic{
      compiler_name: "remnesia_nif",
      file: Path.expand("native/nif/Cargo.toml"),
      position: 0,
      severity: :error,
      message: message
    }
  end
end
