defmodule Bench.Scheduler do
  # How long must an unrelated process wait, on a VM with one scheduler, while Remnesia works? Measured in a child VM.

  @doc "`[{what, p50, p99, max}]` in microseconds."
  def run(quick) do
    records = if quick, do: 100_000, else: 1_000_000
    paths = for path <- :code.get_path(), path = List.to_string(path), path =~ "_build", do: path

    arguments =
      Enum.flat_map(paths, &["-pa", &1]) ++
        ["--erl", "+S 1:1", Path.join(__DIR__, "scheduler_child.exs"), "#{records}"]

    {output, 0} = System.cmd("elixir", arguments)
    for "delay " <> line <- String.split(output, "\n"), do: line |> Code.eval_string() |> elem(0)
  end
end
