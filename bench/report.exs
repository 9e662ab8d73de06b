defmodule Bench.Report do
  # Figures for people: a line per row, a page and plots in bench/results.

  alias Bench.Charts

  @doc "One row as text."
  def line(row, figures) do
    shown =
      Enum.map_join([:remnesia, :mnesia, :ets], " ", fn c ->
        c |> shown(figures[c], row.unit) |> String.pad_leading(19)
      end)

    String.pad_trailing(row.name, 38) <> shown <> "   " <> verdicts(row, figures)
  end

  defp shown(_c, nil, _unit), do: ""
  defp shown(c, x, :ns) when x < 10_000, do: "#{c} #{round(x)} ns"
  defp shown(c, x, :ns) when x < 10_000_000, do: "#{c} #{Float.round(x / 1000, 1)} us"
  defp shown(c, x, :ns), do: "#{c} #{Float.round(x / 1_000_000, 1)} ms"
  defp shown(c, x, :ratio), do: "#{c} #{Float.round(x * 1.0, 2)}x"
  defp shown(c, x, :words), do: "#{c} #{Float.round(x * 1.0, 1)}"

  defp verdicts(row, figures), do: Enum.map_join(row.targets, ", ", &verdict(&1, figures))

  defp verdict({:self, most}, figures), do: mark(figures.remnesia <= most) <> " at most #{most}x"

  defp verdict({:ns, most}, figures),
    do: mark(figures.remnesia <= most) <> " at most #{most / 1000} us"

  defp verdict({rival, least}, figures) do
    ratio = figures[rival] / figures.remnesia

    "#{mark(ratio >= least)} #{Float.round(ratio, 2)}x #{rival} (wanted #{Float.round(least * 1.0, 2)}x)"
  end

  defp mark(true), do: "met"
  defp mark(false), do: "MISSED"

  @doc "What is not printed as it goes: growth, delays, and how many targets were met."
  def print(results, delays) do
    if length(results) > 1, do: IO.puts("\n" <> growth(results))

    if delays != [],
      do:
        IO.puts(
          "\nDelay of an unrelated process, one scheduler (+S 1:1), microseconds\n" <>
            delay_lines(delays)
        )

    marks =
      for {_, rows} <- results,
          {row, figures} <- rows,
          target <- row.targets,
          do: verdict(target, figures)

    met = Enum.count(marks, &String.starts_with?(&1, "met"))
    IO.puts("\n#{met} of #{length(marks)} targets met")
  end

  defp growth([{small, rows} | more]) do
    header = "How the costs of Remnesia grow from #{small} records\n"

    lines =
      for {{row, figures}, at} <- Enum.with_index(rows) do
        grown =
          for {n, others} <- more,
              {_, f} = Enum.at(others, at),
              do: "#{n}: #{Float.round(f.remnesia / figures.remnesia, 2)}x"

        "  #{String.pad_trailing(row.name, 38)} #{Enum.join(grown, ", ")}"
      end

    header <> Enum.join(lines, "\n")
  end

  defp delay_lines(delays) do
    Enum.map_join(delays, "\n", fn {name, p50, p99, max} ->
      "  #{String.pad_trailing(name, 42)} p50 #{p50}  p99 #{p99}  max #{max}"
    end)
  end

  @doc "Writes the page and the plot; their names say when and on what."
  def write(results, delays) do
    base = Charts.base("")

    tables =
      Enum.map_join(results, "\n", fn {n, rows} ->
        "## #{n} records\n\n```\n#{Enum.map_join(rows, "\n", fn {r, f} -> line(r, f) end)}\n```\n"
      end)

    grown = if length(results) > 1, do: "\n## Growth\n\n```\n#{growth(results)}\n```\n", else: ""

    delayed =
      if delays == [],
        do: "",
        else:
          "\n## Delay of an unrelated process on one scheduler, microseconds\n\n```\n#{delay_lines(delays)}\n```\n"

    File.write!(
      base <> ".md",
      "# Benchmark\n\n#{Bench.Machine.line()}\n\n![ratios](#{Path.basename(base)}.svg)\n\n" <>
        tables <> grown <> delayed
    )

    File.write!(base <> ".svg", plot(Enum.find(results, hd(results), &(elem(&1, 0) == 100_000))))
    IO.puts("written: bench/results/#{Path.basename(base)}.md and .svg")
  end

  # How many times faster than stock Mnesia.
  defp plot({records, rows}) do
    bars =
      for {row, %{mnesia: mnesia} = f} <- rows,
          row.unit == :ns,
          do: {row.name, mnesia / f.remnesia, row.targets[:mnesia]}

    Charts.bars("Times faster than stock Mnesia, #{records} records (red: wanted)", bars)
  end
end
