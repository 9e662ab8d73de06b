defmodule Remnesia.Engine.Local.Apart do
  @moduledoc false

  # Work in a process of its own, which is done to its end also when the process that asked for it is killed meanwhile. A change of the schema has several
  # steps, in memory and on disc: half of them would be a table that the next start does not know, or two of one name. Mnesia does the same.

  @asked_by {__MODULE__, :asked_by}

  @doc "What the function answers. Who is killed takes it along, until `to_the_end/0`."
  @spec run((() -> result)) :: result | {:aborted, term} when result: term
  def run(fun) do
    me = self()

    work = fn ->
      Process.put(@asked_by, me)
      exit({__MODULE__, to_the_end_of(fun)})
    end

    {pid, monitor} = :erlang.spawn_opt(work, [:link, :monitor])

    receive do
      {:DOWN, ^monitor, :process, ^pid, {__MODULE__, result}} -> result
      {:DOWN, ^monitor, :process, ^pid, reason} -> {:aborted, reason}
    end
  end

  # Whatever ends it, who asked is told, not taken along.
  defp to_the_end_of(fun) do
    fun.()
  after
    to_the_end()
  end

  @doc "What follows is done whatever becomes of who asked for it."
  @spec to_the_end() :: :ok
  def to_the_end do
    with pid when is_pid(pid) <- Process.delete(@asked_by), do: Process.unlink(pid)
    :ok
  end
end
