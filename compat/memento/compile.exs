defmodule Mix.Tasks.Compile.MementoSources do
  @moduledoc false

  # Remnesia's modules that have Memento's shape, under Memento's names: the Mix compiler `:memento_sources`. It lives
  # outside of any source directory because mix.exs needs it before anything is compiled.
  #
  # What it keeps true: once it has run, src/ of the app *in the build directory* holds a copy of each of these sources in
  # which `Remnesia` is called `Memento`, and nothing else; Elixir's own compiler, which comes next, compiles that
  # directory. A copy has the line numbers of its source, and is written only when it changes, so Elixir compiles what it
  # must and no more.
  #
  # It goes by text. Names in code, documentation and messages are all one to it, and a name that it gets wrong is a module
  # that does not exist: the compiler warns, and test/memento_test.exs compiles with warnings as errors.

  use Mix.Task.Compiler

  # The files of the modules to rename. Everything else of Remnesia keeps its name and serves both.
  @api ~w(remnesia.ex remnesia/{error,query,result,schema,table,transaction}.ex remnesia/{error,query,result,schema,table,transaction}/**/*.ex)

  @impl true
  def run(_args) do
    sources = sources(Mix.Project.deps_paths().remnesia)
    outdated = Path.wildcard(Path.join(directory(), "**/*.ex")) -- Map.keys(sources)
    Enum.each(outdated, &File.rm!/1)
    written = for {path, text} <- sources, File.read(path) != {:ok, text}, do: write(path, text)

    # There is no other way to compile what is not among the sources of the project: its configuration is read before
    # anybody knows where it will be built.
    Mix.ProjectStack.merge_config(elixirc_paths: [directory()])
    {if(outdated == [] and written == [], do: :noop, else: :ok), []}
  end

  @impl true
  def clean do
    File.rm_rf!(directory())
    :ok
  end

  defp sources(remnesia) do
    lib = Path.join(remnesia, "lib")
    files = for pattern <- @api, file <- Path.wildcard(Path.join(lib, pattern)), do: file
    texts = Enum.map(files, &File.read!/1)

    roots =
      for text <- texts, [_, root] <- Regex.scan(~r/^defmodule Remnesia\.(\w+)/m, text), do: root

    for {file, text} <- Enum.zip(files, texts), into: %{} do
      name = file |> Path.relative_to(lib) |> String.replace("remnesia", "memento")
      {Path.join(directory(), name), rename(text, roots)}
    end
  end

  @doc """
  The text with `Remnesia` called `Memento`, alone and in the names of modules that begin with one of the roots:
  `Remnesia.Query.Data` if `"Query"` is a root. A quoted name, `:"Elixir.Remnesia"`, stays.
  """
  def rename(text, roots) do
    text = Regex.replace(~r/\bRemnesia\.{(.*?)}/s, text, fn _, names -> ungroup(names) end)

    # The alias in the documentation is about both.
    pattern = ~r/(?<![\w.])Remnesia\b(?!, as: Memento)(?:\.([A-Z]\w*))?/

    Regex.replace(pattern, text, fn name, root ->
      if root in ["" | roots], do: String.replace_prefix(name, "Remnesia", "Memento"), else: name
    end)
  end

  # One group may hold names that change and names that do not.
  defp ungroup(names),
    do: "Elixir.{" <> Regex.replace(~r/(?<![\w.])[A-Z]/, names, "Remnesia.\\0") <> "}"

  defp write(path, text) do
    File.mkdir_p!(Path.dirname(path))
    File.write!(path, text)
  end

  defp directory, do: Path.join(Mix.Project.app_path(), "src")
end
