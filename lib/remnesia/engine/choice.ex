defmodule Remnesia.Engine.Choice do
  @moduledoc false

  # Which engine the database has. Every call of the API asks; so the answer is a constant in the code of a module of its own, and choosing
  # another one loads the other form of that module: asking costs a call of a function that returns an atom, 2 ns. A look at a
  # persistent term costs five times that, a tenth of a dirty read.

  @answer Remnesia.Engine.Choice.Answer

  # Both forms, made when this module is compiled.
  beams =
    for engine <- [:local, :cluster], into: %{} do
      clause = {:clause, 1, [], [], [{:atom, 1, engine == :cluster}]}

      forms = [
        {:attribute, 1, :module, @answer},
        {:attribute, 1, :export, [cluster?: 0]},
        {:function, 1, :cluster?, 0, [clause]}
      ]

      {:ok, _module, beam} = :compile.forms(forms)
      {engine, beam}
    end

  @beams beams

  # The form that is there before anybody has chosen.
  defmodule Answer do
    @moduledoc false
    @spec cluster?() :: boolean
    def cluster?, do: false
  end

  @doc "Is it the engine of several nodes?"
  @spec cluster?() :: boolean
  defdelegate cluster?(), to: Answer

  @spec choose(:local | :cluster) :: :ok
  def choose(engine) do
    if Answer.cluster?() != (engine == :cluster) do
      # Nobody is in the old form for longer than a moment.
      :code.purge(@answer)
      {:module, @answer} = :code.load_binary(@answer, ~c"remnesia", Map.fetch!(@beams, engine))
    end

    :ok
  end
end
