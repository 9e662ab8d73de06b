defmodule Soak.Health do
  @moduledoc false

  # How the schedulers do while something runs: where processes held one for longer than 5 ms, and how late one is that only wants to run each millisecond.

  @doc "`{result, %{held: [{milliseconds, places}], late: [p50, p99, max]}}`, lateness in microseconds."
  def measure(fun) do
    me = self()
    watcher = spawn_link(fn -> watch(me) end)
    ticker = spawn_link(fn -> tick(me, []) end)
    result = fun.()
    for pid <- [watcher, ticker], do: send(pid, :stop)
    held = receive do: ({:held, held} -> held)
    late = receive do: ({:late, late} -> late)
    {result, %{held: held, late: Stress.percentiles(late, [0.5, 0.99, 1.0])}}
  end

  @doc "The same number of processes at work for so long, on ETS and heaps of their own."
  def others(processes, milliseconds) do
    table = :ets.new(:others, [:public, write_concurrency: true])

    Stress.hammer(
      milliseconds,
      List.duplicate(
        fn ->
          key = :rand.uniform(1_000)
          :ets.insert(table, {key, Enum.map(1..20, &{&1, key})})
          found = :ets.select(table, [{{:"$1", :_}, [{:<, :"$1", 50}], [:"$_"]}])
          if :rand.uniform(200) == 1, do: Process.sleep(length(found) |> rem(3))
        end,
        processes
      )
    )
  end

  @doc "Those that were held in our native functions for so long."
  def ours(held, milliseconds) do
    for {time, places} <- held,
        time >= milliseconds,
        Enum.any?(places, &match?({Remnesia.Native, _, _}, &1)),
        do: {time, places}
  end

  defp watch(me) do
    :erlang.system_monitor(self(), [{:long_schedule, 5}])
    note(me, [])
  end

  defp note(me, held) do
    receive do
      {:monitor, _pid, :long_schedule, info} ->
        note(me, [{info[:timeout], [info[:in], info[:out]]} | held])

      :stop ->
        :erlang.system_monitor(:undefined)
        send(me, {:held, held})
    end
  end

  defp tick(me, late) do
    begun = System.monotonic_time(:microsecond)

    receive do
      :stop -> send(me, {:late, late})
    after
      1 -> tick(me, [System.monotonic_time(:microsecond) - begun - 1_000 | late])
    end
  end
end
