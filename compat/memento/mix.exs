Code.require_file("compile.exs", __DIR__)

defmodule Memento.MixProject do
  use Mix.Project

  @source_url "https://github.com/remnesia/remnesia"

  def project do
    [
      app: :memento,
      # That of the Memento whose API this is: what depends on "~> 0.6" means the API and gets it. What comes after the plus
      # says whose it is, and counts nowhere.
      version: "0.6.0+remnesia",
      elixir: "~> 1.14",
      compilers: [:memento_sources] ++ Mix.compilers(),
      deps: [{:remnesia, path: "../.."}],
      name: "Memento on Remnesia",
      description: "Memento's modules on Remnesia's tables, for programs that depend on memento",
      source_url: @source_url,
      package: [licenses: ["MIT"], links: %{"GitHub" => @source_url}]
    ]
  end

  def application, do: [extra_applications: [:logger]]
end
