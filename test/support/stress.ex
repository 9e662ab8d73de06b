defmodule Stress do
  @moduledoc "What the tests of concurrency share: tables that go away, processes in step, and nothing left behind."

  import ExUnit.Assertions

  alias Remnesia.{Engine, Native}

  @doc "A table with attributes `id`, `value` and `group`, deleted after the test."
  def table(options \\ []) do
    name = :"stress_#{System.unique_integer([:positive])}"
    options = Keyword.merge([attributes: [:id, :value, :group]], options)
    {:atomic, :ok} = Engine.create_table(name, options)

    ExUnit.Callbacks.on_exit(fn ->
      Application.ensure_all_started(:remnesia)
      Engine.delete_table(name)
    end)

    name
  end

  @doc "Runs a transaction that must succeed."
  def atomic(fun) do
    assert {:atomic, value} = Engine.transaction(fun)
    value
  end

  @doc "Writes the records of a table in one transaction."
  def fill(table, records), do: atomic(fn -> Enum.each(records, &write(table, &1)) end)

  def write(table, {id, value, group}), do: Engine.write(table, {table, id, value, group}, :write)
  def write(table, {id, value}), do: write(table, {id, value, nil})

  @doc "The value of a key, or nil."
  def value(table, key, kind \\ :read) do
    case Engine.read(table, key, kind) do
      [{_, _, value, _}] -> value
      [] -> nil
    end
  end

  @doc "No lock is left and the tables are sound. Killed processes may take a moment to be noticed."
  def assert_clean(tables, patience \\ 2000) do
    if Native.lock_count() > 0 and patience > 0 do
      Process.sleep(5)
      assert_clean(tables, patience - 5)
    else
      assert Native.lock_count() == 0

      for table <- List.wrap(tables),
          do: assert({table, Native.table_check(table)} == {table, :ok})
    end
  end

  @doc "Lets processes call the function until the time is over; answers how often each did."
  def hammer(milliseconds, funs) do
    until = System.monotonic_time(:millisecond) + milliseconds
    tasks = for fun <- funs, do: Task.async(fn -> hammer(fun, until, 0) end)
    Task.await_many(tasks, milliseconds + 60_000)
  end

  defp hammer(fun, until, count) do
    if System.monotonic_time(:millisecond) >= until do
      count
    else
      fun.()
      hammer(fun, until, count + 1)
    end
  end

  @doc """
  Meets the other processes of a barrier, the first time that this process comes here. A transaction that is run again
  goes past: those it met may be waiting for it.
  """
  def meet(barrier) do
    if Process.put({:met, barrier}, true) == nil do
      send(barrier, {:here, self()})

      receive do
        {:go, ^barrier} -> :ok
      end
    end
  end

  @doc "A place where `count` processes meet."
  def barrier(count) do
    spawn_link(fn ->
      here =
        for _ <- 1..count do
          receive do
            {:here, pid} -> pid
          end
        end

      for pid <- here, do: send(pid, {:go, self()})
    end)
  end

  @doc "Megabytes that the VM takes more after `count` rounds than after a tenth of them, which fill what is kept for later."
  def growth(count, fun) do
    for n <- 1..max(div(count, 10), 1), do: fun.(n)
    grown = grown(count, fun, 3)

    IO.puts(
      "\n    #{count} rounds: #{Float.round(grown, 1)} MB more than after #{div(count, 10)}"
    )

    grown
  end

  # The VM keeps some of what it has freed, more or less of it at each look: what leaks is more each time.
  defp grown(count, fun, looks) do
    before = resident()
    for n <- 1..count, do: fun.(n)
    assert Native.lock_count() == 0
    grown = resident() - before
    if grown < 20 or looks == 1, do: grown, else: min(grown, grown(count, fun, looks - 1))
  end

  @doc "Memory of this VM in megabytes."
  def resident do
    for pid <- Process.list(), do: :erlang.garbage_collect(pid)
    Process.sleep(50)

    case File.read("/proc/self/statm") do
      {:ok, text} ->
        (text |> String.split() |> Enum.at(1) |> String.to_integer()) * 4096 / 1_048_576

      {:error, _no_proc} ->
        0.0
    end
  end

  @doc "The values at these shares of a list of numbers."
  def percentiles(numbers, shares) do
    sorted = numbers |> Enum.sort() |> List.to_tuple()

    for share <- shares,
        do: elem(sorted, min(trunc(tuple_size(sorted) * share), tuple_size(sorted) - 1))
  end
end
