defmodule MementoApp.MixProject do
  use Mix.Project

  # An app that knows Memento and nothing else, with a library that does, too. What they depend on is one line here.
  # test/memento_test.exs builds a copy of it, and runs its tests, whose names keep them out of ours.
  def project do
    [
      app: :memento_app,
      version: "0.1.0",
      elixir: "~> 1.14",
      test_pattern: "*_check.exs",
      deps: [
        {:memento, path: System.get_env("MEMENTO_DIR", "../../compat/memento"), override: true},
        {:job_queue, path: "job_queue"}
      ]
    ]
  end

  def application, do: [extra_applications: [:logger]]
end
