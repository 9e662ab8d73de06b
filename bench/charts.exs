defmodule Bench.Charts do
  # Plots as SVG, written by hand: bars of ratios, curves of growth, percentiles. And the pages that show them.

  @blue "#4a7ebb"
  @red "#c0504d"

  @doc "Bars on a logarithmic scale; `wanted` is a red line, or nil."
  def bars(title, bars) do
    height = 50 + 24 * length(bars)
    most = bars |> Enum.map(&elem(&1, 1)) |> Enum.max()
    decades = max(ceil(:math.log10(most)), 1)
    wide = 420 / (decades + :math.log10(2))
    x = fn ratio -> 330 + wide * :math.log10(max(ratio, 0.5) * 2) end

    grid =
      for power <- 0..decades do
        v = Integer.pow(10, power)

        ~s(<line x1="#{n(x.(v))}" x2="#{n(x.(v))}" y1="30" y2="#{height - 10}" stroke="#ddd"/>) <>
          text(x.(v), 26, "#{v}x", "middle")
      end

    body =
      for {{name, ratio, wanted}, i} <- Enum.with_index(bars) do
        y = 38 + 24 * i

        line =
          if wanted,
            do:
              ~s(<line x1="#{n(x.(wanted))}" x2="#{n(x.(wanted))}" y1="#{y - 2}" y2="#{y + 18}" stroke="#{@red}" stroke-width="2"/>),
            else: ""

        text(322, y + 12, name, "end") <>
          ~s(<rect x="#{n(x.(0.5))}" y="#{y}" width="#{n(max(x.(ratio) - x.(0.5), 1))}" height="16" fill="#{@blue}"/>) <>
          line <> text(x.(ratio) + 6, y + 12, "#{Float.round(ratio * 1.0, 1)}x", "start")
      end

    svg(820, height, [text(10, 14, title, "start"), grid, body])
  end

  @doc "Curves, both scales logarithmic: `{name, colour, :line | :dashes, [{x, y}]}` each; one without a name (`nil`) is not in the legend."
  def curves(title, y_unit, curves) do
    points = Enum.flat_map(curves, &elem(&1, 3))
    {x0, x1} = points |> Enum.map(&:math.log10(elem(&1, 0))) |> bounds()
    {y0, y1} = points |> Enum.map(&:math.log10(elem(&1, 1))) |> bounds()
    x = fn v -> 80 + 520 * (:math.log10(v) - x0) / (x1 - x0) end
    y = fn v -> 410 - 360 * (:math.log10(v) - y0) / (y1 - y0) end

    grid =
      for power <- x0..x1 do
        v = :math.pow(10, power)

        ~s(<line x1="#{n(x.(v))}" x2="#{n(x.(v))}" y1="50" y2="410" stroke="#ddd"/>) <>
          text(x.(v), 426, short(v), "middle")
      end ++
        for power <- y0..y1 do
          v = :math.pow(10, power)

          ~s(<line x1="80" x2="600" y1="#{n(y.(v))}" y2="#{n(y.(v))}" stroke="#ddd"/>) <>
            text(74, y.(v) + 4, short(v), "end")
        end

    lines =
      for {_name, colour, style, points} <- curves do
        path = Enum.map_join(points, " ", fn {a, b} -> "#{n(x.(a))},#{n(y.(b))}" end)
        dashes = if style == :dashes, do: ~s( stroke-dasharray="6 4"), else: ""

        ~s(<polyline points="#{path}" fill="none" stroke="#{colour}" stroke-width="2"#{dashes}/>) <>
          for(
            {a, b} <- points,
            into: "",
            do: ~s(<circle cx="#{n(x.(a))}" cy="#{n(y.(b))}" r="3" fill="#{colour}"/>)
          )
      end

    named = for {name, colour, _style, _points} <- curves, name, do: {name, colour}

    svg(
      880,
      440,
      [text(10, 18, title, "start"), text(74, 40, y_unit, "end"), grid, lines] ++
        legend(620, named)
    )
  end

  defp legend(x, named) do
    for {{name, colour}, i} <- Enum.with_index(named) do
      ~s(<rect x="#{x}" y="#{50 + 20 * i}" width="12" height="12" fill="#{colour}"/>) <>
        text(x + 18, 60 + 20 * i, name, "start")
    end
  end

  @doc "From one percentile to another for two sides, on a logarithmic scale: `{name, [ours], [stock]}`, three percentiles each."
  def percentiles(title, unit, sides, rows) do
    height = 60 + 30 * length(rows)

    {low, high} =
      rows |> Enum.flat_map(fn {_, a, b} -> a ++ b end) |> Enum.map(&:math.log10/1) |> bounds()

    x = fn v -> 330 + 460 * (:math.log10(v) - low) / (high - low) end

    grid =
      for power <- low..high do
        v = :math.pow(10, power)

        ~s(<line x1="#{n(x.(v))}" x2="#{n(x.(v))}" y1="48" y2="#{height - 8}" stroke="#ddd"/>) <>
          text(x.(v), 44, short(v), "middle")
      end

    body =
      for {{name, ours, stock}, i} <- Enum.with_index(rows) do
        y = 60 + 30 * i

        text(322, y + 11, name, "end") <>
          span(x, y + 2, ours, @blue) <> span(x, y + 13, stock, @red)
      end

    colours = Enum.zip(sides, [@blue, @red])

    key =
      for {{side, colour}, i} <- Enum.with_index(colours),
          do:
            ~s(<rect x="#{560 + 130 * i}" y="8" width="12" height="12" fill="#{colour}"/>) <>
              text(578 + 130 * i, 18, side, "start")

    svg(820, height, [text(10, 18, title, "start"), text(322, 44, unit, "end"), key, grid, body])
  end

  # A line from the first to the last, with a dot for each.
  defp span(x, y, values, colour) do
    {from, to} = values |> Enum.map(x) |> Enum.min_max()

    ~s(<line x1="#{n(from)}" x2="#{n(to)}" y1="#{y}" y2="#{y}" stroke="#{colour}" stroke-width="2"/>) <>
      for(
        v <- values,
        into: "",
        do: ~s(<circle cx="#{n(x.(v))}" cy="#{y}" r="3.5" fill="#{colour}"/>)
      )
  end

  @doc "Colours that are told apart."
  def colours, do: [@blue, @red, "#9bbb59", "#8064a2", "#f79646", "#4bacc6", "#7f7f7f", "#254061"]

  defp bounds(values) do
    {low, high} = Enum.min_max(values)
    {floor(low + 1.0e-9), max(ceil(high - 1.0e-9), floor(low + 1.0e-9) + 1)}
  end

  defp short(v) when v >= 1.0e6, do: "#{round(v / 1.0e6)}M"
  defp short(v) when v >= 1.0e3, do: "#{round(v / 1.0e3)}k"
  defp short(v) when v >= 1, do: "#{round(v)}"
  defp short(v), do: "#{Float.round(v, 3)}"

  defp n(number), do: Float.round(number * 1.0, 1)

  defp text(x, y, words, anchor),
    do: ~s(<text x="#{n(x)}" y="#{n(y)}" text-anchor="#{anchor}">#{escape(words)}</text>)

  defp escape(words),
    do: words |> String.replace("&", "&amp;") |> String.replace("<", "&lt;")

  defp svg(width, height, body) do
    ~s(<svg xmlns="http://www.w3.org/2000/svg" width="#{width}" height="#{height}" font-family="sans-serif" font-size="12">) <>
      ~s(<rect width="100%" height="100%" fill="white"/>) <>
      IO.iodata_to_binary(body) <> "</svg>\n"
  end

  # --- pages ---

  @doc "Where a page of results goes, without its ending."
  def base(what) do
    directory = Path.join(__DIR__, "results")
    File.mkdir_p!(directory)
    name = "#{Date.utc_today()}-otp#{:erlang.system_info(:otp_release)}#{what}"
    Path.join(directory, name)
  end

  @doc "How long an operation of a workload takes, in microseconds."
  def latencies(rows) do
    percentiles(
      "Latency: 50th, 99th and 99.9th percentile",
      "us",
      ["Remnesia", "stock Mnesia"],
      rows
    )
  end

  @doc "The page and the plots of the workloads."
  def write_workloads(results, header, line) do
    base = base("-workloads")
    label = fn w -> "#{w.name |> String.split(" (") |> hd()}, #{w.where}, #{w.drivers}" end
    ratios = for {w, f} <- results, do: {label.(w), f.remnesia.rate / f.mnesia.rate, nil}

    File.write!(
      base <> ".svg",
      bars("Operations in a second, times those of stock Mnesia", ratios)
    )

    three = fn f -> for key <- [:p50, :p99, :p999], do: f[key] / 1_000 end
    late = for {w, f} <- results, do: {label.(w), three.(f.remnesia), three.(f.mnesia)}
    File.write!(base <> "-latency.svg", latencies(late))
    name = Path.basename(base)
    rows = Enum.map_join(results, "\n", fn {w, f} -> line.(w, f) end)

    File.write!(base <> ".md", """
    # Workloads

    #{Bench.Machine.line()}

    Latencies are Remnesia's and stock's. ETS and DETS do single operations without transactions, on the same records.

    ![rates](#{name}.svg)

    ![latency](#{name}-latency.svg)

    #{header}
    #{rows}
    """)

    IO.puts("written: bench/results/#{name}.md and .svg")
  end
end

defmodule Bench.Machine do
  # What was measured, and on what.

  def line(what \\ "Medians of rounds") do
    cpu =
      with {:ok, text} <- File.read("/proc/cpuinfo"),
           [_, model] <- Regex.run(~r/model name\s*: (.*)/, text),
           do: model,
           else: (_ -> "unknown processor")

    {commit, 0} = System.cmd("git", ["rev-parse", "--short", "HEAD"])

    "#{System.schedulers_online()} cores of #{cpu}, Erlang/OTP #{:erlang.system_info(:otp_release)}, Elixir #{System.version()}, " <>
      "commit #{String.trim(commit)}. #{what} in one run; a shared machine, so the ratios say more than the figures."
  end
end
