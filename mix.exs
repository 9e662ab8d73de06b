Code.require_file("native/compile.exs", __DIR__)

defmodule Remnesia.MixProject do
  use Mix.Project

  @source_url "https://github.com/remnesia/remnesia"

  # Cargo.toml is the one place where the version is written.
  [_, version] = Regex.run(~r/^version = "(.+)"$/m, File.read!(Path.join(__DIR__, "Cargo.toml")))
  @version version

  def project do
    [
      app: :remnesia,
      version: @version,
      elixir: "~> 1.14",
      elixirc_paths: if(Mix.env() == :test, do: ["lib", "test/support"], else: ["lib"]),
      compilers: [:remnesia_nif] ++ Mix.compilers(),
      deps: [],
      # Stock Mnesia is what tests and benches compare with, no dependency of the library.
      xref: [exclude: [:mnesia, :mnesia_ext_sup]],
      name: "Remnesia",
      description:
        "Drop-in accelerated backend for Memento and Mnesia: the same API, native tables and transactions",
      source_url: @source_url,
      package: package(),
      docs: docs()
    ]
  end

  def application do
    [
      mod: {Remnesia.Application, []},
      extra_applications: [:logger]
    ]
  end

  # Everything that an app needs to build the library itself. The benches and the test that the manifest names belong to it
  # because cargo reads the whole manifest of a crate and refuses one whose targets are not there.
  defp package do
    [
      licenses: ["MIT"],
      links: %{"GitHub" => @source_url, "Changelog" => "#{@source_url}/blob/main/CHANGELOG.md"},
      files: ~w(
        lib mix.exs .formatter.exs README.md LICENSE CHANGELOG.md ARCHITECTURE.md guides docs
        Cargo.toml Cargo.lock .cargo/config.toml native/compile.exs
        native/*/Cargo.toml native/*/build.rs native/*/src native/*/benches native/engine/tests/*_shuttle.rs native/engine/tests/shuttle_common
        compat/memento/mix.exs compat/memento/compile.exs
      )
    ]
  end

  defp docs do
    [
      main: "readme",
      source_ref: "v#{@version}",
      extras: [
        "README.md",
        "guides/from_memento.md",
        "guides/from_mnesia.md",
        "guides/queries.md",
        "guides/durability.md",
        "guides/operations.md",
        "guides/performance.md",
        "guides/cluster.md",
        "guides/differences.md",
        "ARCHITECTURE.md",
        "docs/design.md",
        "docs/decisions.md",
        "CHANGELOG.md",
        "LICENSE"
      ],
      groups_for_extras: [
        Guides: ~r"^guides/",
        "How it is made": ~r"^(ARCHITECTURE|docs/)"
      ],
      groups_for_modules: [
        "Memento's API": ~r"^Elixir\.Remnesia(\.(Table|Query|Schema|Transaction|Query\..*))?$",
        "Mnesia's API": [:remnesia, :remnesia_frag, ~r"^Elixir\.Remnesia\.Mnesia\."],
        "Several nodes": [Remnesia.Backend, Remnesia.Cluster, ~r"^Elixir\.Remnesia\.Partition"]
      ],
      # They speak of what is inside.
      skip_undefined_reference_warnings_on: [
        "ARCHITECTURE.md",
        "docs/design.md",
        "docs/decisions.md",
        "CHANGELOG.md"
      ]
    ]
  end
end
