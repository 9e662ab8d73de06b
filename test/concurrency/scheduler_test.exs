defmodule Remnesia.SchedulerTest do
  use ExUnit.Case, async: false

  # On a VM with one scheduler, what long work of ours does to others. bench/scheduler.exs measures; here is a bound, loose
  # because the machine that runs tests is rarely quiet.

  Code.require_file("../../bench/scheduler.exs", __DIR__)

  @loose 100_000

  @tag timeout: 120_000
  test "no long work holds up another process" do
    delays = Bench.Scheduler.run(true)
    assert length(delays) > 6

    for {name, p50, p99, max} <- delays,
        do: IO.puts("    #{name}: p50 #{p50} p99 #{p99} max #{max} us")

    for {name, _p50, _p99, max} <- delays, do: assert(max < @loose, "#{name}: #{max} us")
  end
end
