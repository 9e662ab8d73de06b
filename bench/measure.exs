defmodule Bench.Measure do
  # Times closures. A round runs each contender once, so that noise of the machine falls on all of them alike.

  @doc "Median nanoseconds per operation of each `{name, fun}`; `fun.(i)` is one operation."
  def each(contenders, rounds, budget_ms) do
    counts = Map.new(contenders, fn {name, fun} -> {name, calibrate(fun, budget_ms)} end)

    samples =
      for _ <- 1..rounds, {name, fun} <- contenders do
        :erlang.garbage_collect()
        {name, time(fun, counts[name]) / counts[name]}
      end

    Map.new(contenders, fn {name, _} -> {name, median(for {^name, t} <- samples, do: t)} end)
  end

  # Operations that take about the budget.
  defp calibrate(fun, budget_ms), do: calibrate(fun, budget_ms, 1)

  defp calibrate(fun, budget_ms, count) do
    elapsed = max(time(fun, count), 1)

    if elapsed > 2_000_000 or count > 10_000_000,
      do: max(round(count * budget_ms * 1_000_000 / elapsed), 1),
      else: calibrate(fun, budget_ms, count * 4)
  end

  def time(fun, count) do
    begun = System.monotonic_time(:nanosecond)
    loop(fun, count)
    System.monotonic_time(:nanosecond) - begun
  end

  defp loop(_fun, 0), do: :ok

  defp loop(fun, i) do
    fun.(i)
    loop(fun, i - 1)
  end

  def median(samples), do: samples |> Enum.sort() |> Enum.at(div(length(samples), 2))

  @doc "Nanoseconds per operation when `processes` of them do `count` each: `fun.(process, i)`."
  def parallel(processes, count, fun) do
    parent = self()

    pids =
      for p <- 1..processes do
        spawn_link(fn ->
          receive do: (:go -> :ok)
          loop(&fun.(p, &1), count)
          send(parent, :done)
        end)
      end

    begun = System.monotonic_time(:nanosecond)
    Enum.each(pids, &send(&1, :go))
    Enum.each(pids, fn _ -> receive do: (:done -> :ok) end)
    (System.monotonic_time(:nanosecond) - begun) / (processes * count)
  end

  @doc "In a process whose mailbox holds `messages` messages nobody reads, off its heap as busy servers keep them."
  def with_mailbox(messages, fun) do
    parent = self()

    {pid, monitor} =
      :erlang.spawn_opt(
        fn ->
          receive do: (:go -> :ok)
          send(parent, {:answer, fun.()})
        end,
        [:monitor, message_queue_data: :off_heap]
      )

    for i <- 1..messages//1, do: send(pid, {:unread, i})
    # :go is found at once only if it comes first.
    send(pid, :go)
    answer = receive do: ({:answer, answer} -> answer)
    receive do: ({:DOWN, ^monitor, :process, ^pid, _} -> answer)
  end
end
