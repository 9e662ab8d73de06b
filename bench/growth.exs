# How the costs grow: the same operations on tables of 1,000, 10,000, .. records, `bin/bench --growth [MOST]`, 10,000,000 unless said. Small records, so that
# stock Mnesia, Remnesia and their indexes fit into 8 GB together. There is one table of each at a time: filled, measured, and given back. Rounds take turns; a
# figure is the best of them, as many as fit into half a second, and one where a single search takes longer than that.

for file <- ~w(measure contenders charts), do: Code.require_file("#{file}.exs", __DIR__)

defmodule Bench.Growth do
  alias Bench.{Charts, Item, Measure, Ordered, Plain}
  alias Bench.Contender.{Mnesia, Remnesia}

  @tables [{Item, :item}, {Plain, :plain}, {Ordered, :ordered}]

  # In the chart; the others are in the table.
  @curves [
    "transaction with one read",
    "transaction with read and write",
    "guard on the key",
    "guard on an indexed value, 10 hits",
    "guard scan, 1% hits",
    "100 records of a key range"
  ]

  @doc "Measures and writes the page and the chart, unless told not to."
  def run(most, write?) do
    sizes = 1_000 |> Stream.iterate(&(10 * &1)) |> Enum.take_while(&(&1 <= most))
    rows = for n <- sizes, {ours, stock} <- @tables, row <- rows(ours, stock, n), do: row
    if write?, do: write(sizes, rows), else: IO.puts("\n" <> table(sizes, rows))
  end

  defp rows(ours, stock, n) do
    IO.puts("\n#{n} records in #{stock}")
    fill(ours, stock, n)

    rows =
      for {name, fun} <- operations(stock, n) do
        [a, b] = best(for c <- [Remnesia, Mnesia], do: fun.(c))
        IO.puts("  #{name}: #{us(a)} and #{us(b)}, #{ratio(a, b)}")
        {name, n, {a, b}}
      end

    :ok = Elixir.Remnesia.Table.delete!(ours)
    {:atomic, :ok} = :mnesia.delete_table(stock)
    rows
  end

  # Stock's table is an ETS table, which is filled as such: that it takes dirty writes longer is measured elsewhere.
  defp fill(ours, stock, n) do
    :ok = Elixir.Remnesia.Table.create!(ours)
    type = if stock == :ordered, do: :ordered_set, else: :set
    attributes = [:id, :group, :name, :kind, :score]
    {:atomic, :ok} = :mnesia.create_table(stock, attributes: attributes, type: type)
    record = fn table, i -> {table, i, div(i, 10), nil, :plain, i} end

    for i <- 1..n,
        reduce: :ok,
        do: (_ -> Elixir.Remnesia.Engine.dirty_write(ours, record.(ours, i)))

    for i <- 1..n, reduce: true, do: (_ -> :ets.insert(stock, record.(stock, i)))
    if stock == :item, do: {:atomic, :ok} = :mnesia.add_table_index(:item, :group)
  end

  # Keys all over the table, the same for both.
  defp operations(:item, n) do
    key = fn i -> rem(i * 7919, n) + 1 end
    group = fn i -> rem(i * 31, div(n, 10) - 1) + 1 end

    [
      {"transaction with one read",
       fn c -> fn i -> c.transaction(fn -> c.read(key.(i)) end) end end},
      {"transaction with read and write",
       fn c -> fn i -> c.transaction(fn -> c.update(key.(i)) end) end end},
      {"read by key, no transaction", fn c -> fn i -> c.dirty_read(key.(i)) end end},
      {"guard on the key", fn c -> fn i -> hits(c, 1, fn -> c.guard_key(key.(i)) end) end end},
      {"guard on an indexed value, 10 hits",
       fn c -> fn i -> hits(c, 10, fn -> c.guard_group(group.(i)) end) end end}
    ]
  end

  defp operations(:plain, n) do
    [
      {"guard scan, 1% hits",
       fn c -> fn _ -> hits(c, div(n, 100) - 1, fn -> c.guard_scan(div(n, 1_000)) end) end end}
    ]
  end

  defp operations(:ordered, n) do
    from = fn i -> rem(i * 7919, n - 100) + 1 end

    [
      {"100 records of a key range",
       fn c -> fn i -> hits(c, 100, fn -> c.guard_range(from.(i), from.(i) + 100) end) end end},
      {"last 10 by key", fn c -> fn _ -> hits(c, 10, fn -> c.first_by_key(10) end) end end}
    ]
  end

  defp hits(c, expected, fun) do
    {_ok, found} = c.transaction(fun)

    if length(found) != max(expected, 0),
      do: raise("#{c.name()} found #{length(found)}, not #{expected}")
  end

  # Nanoseconds of each, the best of rounds that take turns. Who has spent half a second is left out of the next ones.
  defp best(contenders) do
    started =
      for fun <- contenders do
        ns = first(fun)

        %{
          fun: fun,
          count: max(round(20_000_000 / ns), 1),
          best: ns,
          spent: if(ns > 5_000_000, do: ns, else: 0)
        }
      end

    1..15 |> Enum.reduce(started, fn _, all -> Enum.map(all, &again/1) end) |> Enum.map(& &1.best)
  end

  defp again(%{spent: spent} = one) when spent > 500_000_000, do: one

  defp again(one) do
    ns = round(one.fun, one.count)
    %{one | best: min(ns, one.best), spent: one.spent + ns * one.count}
  end

  # What is called for the first time says nothing yet.
  defp first(fun) do
    ns = round(fun, 1)
    ns = if ns < 500_000_000, do: round(fun, 1), else: ns
    if ns < 5_000_000, do: round(fun, 100), else: ns
  end

  # In a process of its own: what stock collects is garbage that the next round need not pay for.
  defp round(fun, count) do
    Task.async(fn -> Measure.time(fun, count) / count end) |> Task.await(:infinity)
  end

  # --- the page ---

  defp write(sizes, rows) do
    base = Charts.base("-growth")

    points = fn name, side ->
      for {^name, n, times} <- rows, do: {n, elem(times, side) / 1_000}
    end

    curves =
      for {name, colour} <- Enum.zip(@curves, Charts.colours()),
          {side, style} <- [{0, :line}, {1, :dashes}],
          do: {if(side == 0, do: name), colour, style, points.(name, side)}

    File.write!(
      base <> ".svg",
      Charts.curves(
        "Time of an operation by the number of records: Remnesia (lines) and stock Mnesia (dashes)",
        "us",
        curves
      )
    )

    File.write!(base <> ".md", """
    # How costs grow with the number of records

    #{Bench.Machine.line("The best of some rounds")}

    By `bin/bench --growth #{List.last(sizes)}`: Remnesia, stock Mnesia, and how many times faster. Records of five fields without
    strings, in memory; one index where it says so. Stock is called directly, Remnesia by its public API with structs.

    ![growth](#{Path.basename(base)}.svg)

    #{table(sizes, rows)}
    """)

    IO.puts("\nwritten: bench/results/#{Path.basename(base)}.md and .svg")
  end

  defp table(sizes, rows) do
    names = rows |> Enum.map(&elem(&1, 0)) |> Enum.uniq()

    lines =
      for name <- names do
        cells =
          for n <- sizes, {^name, ^n, {a, b}} <- rows, do: "#{us(a)} / #{us(b)}, #{ratio(a, b)}"

        "| " <> Enum.join([name | cells], " | ") <> " |"
      end

    heads = for n <- sizes, do: thousands(n)
    rule = String.duplicate("|---", length(sizes) + 1) <> "|"
    Enum.join(["| " <> Enum.join(["records" | heads], " | ") <> " |", rule | lines], "\n")
  end

  defp thousands(n), do: String.replace("#{n}", ~r/(?<=\d)(?=(\d{3})+$)/, ",")
  defp us(ns) when ns < 10_000, do: "#{Float.round(ns / 1_000, 2)} us"
  defp us(ns) when ns < 10_000_000, do: "#{Float.round(ns / 1_000, 1)} us"
  defp us(ns), do: "#{Float.round(ns / 1_000_000, 1)} ms"
  defp ratio(a, b) when b / a > 100, do: "#{round(b / a)}x"
  defp ratio(a, b), do: "#{Float.round(b / a, 1)}x"
end

{options, rest, bad} =
  OptionParser.parse(System.argv(), strict: [write: :boolean, help: :boolean])

most =
  with [text] <- rest, {most, ""} <- Integer.parse(text) do
    most
  else
    [] -> 10_000_000
    _ -> nil
  end

if options[:help] || bad != [] || most == nil || most < 1_000 do
  IO.puts("""
  Measures how the costs of Remnesia and of stock Mnesia grow with the number of records.

      bin/bench --growth               1,000 to 10,000,000 records; about six minutes, and 8 GB of memory
      bin/bench --growth 1000000       to so many, 1,000 at least
      bin/bench --growth --no-write    nothing is written to bench/results/
  """)

  System.halt(if options[:help], do: 0, else: 1)
end

{:ok, _} = Application.ensure_all_started(:remnesia)
Logger.configure(level: :error)
:ok = :mnesia.start()
Bench.Growth.run(most, Keyword.get(options, :write, true))
