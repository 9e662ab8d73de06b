defmodule Bench.Driver do
  # Processes that do the operation of a workload for a while: how many they did, and how long each took.

  # A bucket for each sixteenth of a power of two, from 1 ns on: figures are right to 6%.
  @buckets 16 * 40

  @doc """
  Runs `drivers` processes for so many milliseconds. `operation.(driver)` answers what one does, a function of its count; it is made in the
  process that runs it. Answers operations in a second and nanoseconds at some percentiles.
  """
  def run(drivers, milliseconds, operation) do
    parent = self()
    histogram = :counters.new(@buckets, [:write_concurrency])

    pids =
      for driver <- 1..drivers do
        spawn_link(fn ->
          :rand.seed(:exsss, {driver, 1, 2})
          one = operation.(driver)
          send(parent, :ready)
          receive do: ({:go, until} -> loop(one, 1, now(), until, histogram))
          send(parent, :done)
        end)
      end

    for _ <- pids, do: receive(do: (:ready -> :ok))
    begun = now()
    Enum.each(pids, &send(&1, {:go, begun + milliseconds * 1_000_000}))
    for _ <- pids, do: receive(do: (:done -> :ok))
    seconds = (now() - begun) / 1.0e9
    counts = for i <- 1..@buckets, do: :counters.get(histogram, i)

    %{
      rate: Enum.sum(counts) / seconds,
      p50: percentile(counts, 0.5),
      p99: percentile(counts, 0.99),
      p999: percentile(counts, 0.999)
    }
  end

  defp loop(one, i, from, until, histogram) when from < until do
    one.(i)
    to = now()
    :counters.add(histogram, bucket(to - from), 1)
    loop(one, i + 1, to, until, histogram)
  end

  defp loop(_one, _i, _from, _until, _histogram), do: :ok

  defp now, do: System.monotonic_time(:nanosecond)

  defp bucket(ns), do: min(round(16 * :math.log2(max(ns, 1))) + 1, @buckets)

  defp percentile(counts, part) do
    wanted = Enum.sum(counts) * part

    {bucket, _seen} =
      counts
      |> Enum.with_index()
      |> Enum.reduce_while({0, 0}, fn {count, i}, {_, seen} ->
        if seen + count >= wanted, do: {:halt, {i, seen}}, else: {:cont, {i, seen + count}}
      end)

    :math.pow(2, bucket / 16)
  end
end
