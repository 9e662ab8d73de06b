defmodule JobQueue.MixProject do
  use Mix.Project

  # A library as it is published: its memento is another, which the app overrides, so nobody fetches it.
  def project do
    [
      app: :job_queue,
      version: "0.1.0",
      elixir: "~> 1.14",
      deps: [{:memento, "~> 0.6", git: "https://github.com/sheharyarn/memento.git"}]
    ]
  end

  def application, do: [extra_applications: [:logger]]
end
