defmodule Remnesia.Engine.Choice do
  @moduledoc false

  # Which engine the database has. The API calls Remnesia.Engine; its code is that for Local, or this form of it, in which every function is that
  # of Remnesia.Engine.Cluster. So the choice costs the local engine nothing: a test in each function was 9 ns, 6% of a dirty read.

  alias Remnesia.Engine
  alias Remnesia.Engine.Cluster

  @chosen {__MODULE__, :chosen}

  functions = Engine.__info__(:functions)

  # What Cluster lacks does not compile.
  [] = functions -- Cluster.__info__(:functions)

  bodies =
    for {name, arity} <- functions do
      arguments = for n <- Enum.take(1..10, arity), do: {:var, 1, :"A#{n}"}
      call = {:call, 1, {:remote, 1, {:atom, 1, Cluster}, {:atom, 1, name}}, arguments}
      {:function, 1, name, arity, [{:clause, 1, arguments, [], [call]}]}
    end

  forms = [{:attribute, 1, :module, Engine}, {:attribute, 1, :export, functions} | bodies]
  {:ok, _module, beam} = :compile.forms(forms)
  @beam beam

  @doc "Is it the engine of several nodes?"
  @spec cluster?() :: boolean
  def cluster?, do: :persistent_term.get(@chosen, :local) == :cluster

  @spec choose(:local | :cluster) :: :ok
  def choose(engine) do
    if engine != :persistent_term.get(@chosen, :local) do
      # Whoever is still in the form before the last one is in a transaction of an engine that has ended.
      :code.purge(Engine)
      {:module, Engine} = load(engine)
      :persistent_term.put(@chosen, engine)
    end

    :ok
  end

  defp load(:local), do: :code.load_file(Engine)
  defp load(:cluster), do: :code.load_binary(Engine, ~c"Remnesia.Engine.Cluster", @beam)
end
