defmodule Consumer.MixProject do
  use Mix.Project

  # What an app of a user looks like: one dependency, nothing else. test/consumer_test.exs builds a copy of it.
  def project do
    [
      app: :consumer,
      version: "0.1.0",
      elixir: "~> 1.14",
      deps: [{:remnesia, path: System.get_env("REMNESIA_DIR", "../..")}]
    ]
  end

  def application, do: [extra_applications: [:logger]]
end
