defmodule Remnesia.SchedulerTest do
  use ExUnit.Case, async: false

  # On a VM with one scheduler, what long work of ours does to others. bench/scheduler.exs measures; here are the bounds.

  @loose 50_000

  @tag timeout: 120_000
  test "no long work holds up another process" do
    measure(200_000)
  end

  @tag :long
  @tag timeout: 600_000
  test "nor with 1,000,000 records", do: measure(1_000_000)

  defp measure(records) do
    ebin = Path.join([Mix.Project.build_path(), "lib", "remnesia", "ebin"])
    script = Path.expand("../../bench/scheduler.exs", __DIR__)
    arguments = ["--erl", "+S 1:1", "-pa", ebin, script, "#{records}"]
    {output, status} = System.cmd("elixir", arguments, stderr_to_stdout: true)
    assert status == 0, output
    lines = for line <- String.split(output, "\n", trim: true), do: String.split(line, "\t")
    assert length(lines) > 15, output
    IO.puts("\n    delay of another process, #{records} records, us: p50 p99 max")

    [["idle" | _] | _] = lines

    for [name, p50, p99, max, _ticks, held] <- lines do
      IO.puts("    #{String.pad_trailing(name, 48)} #{p50} #{p99} #{max}  #{held}")
    end

    for [name, _p50, _p99, max, _ticks, held] <- lines do
      assert {name, String.to_integer(max)} < {name, @loose}
      refute held =~ "Remnesia.Native.", "#{name}: #{held}"
    end
  end
end
