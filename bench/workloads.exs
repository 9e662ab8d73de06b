# Workloads as applications have them, on stock Mnesia and on Remnesia's Mnesia door, with the same code and in one run: `bin/bench --workloads`.

for file <- ~w(driver debit_credit ycsb job_queue sessions event_log),
    do: Code.require_file("workloads/#{file}.exs", __DIR__)

Code.require_file("charts.exs", __DIR__)

help = """
Measures workloads as applications have them: debit and credit (TPC-B), YCSB A to F, a job queue, a session store, a log.

    bin/bench --workloads                 all of them; about eight minutes
    bin/bench --workloads --quick         for a look
    bin/bench --workloads --only TEXT     those whose name has TEXT in it
    bin/bench --workloads --records N     records of YCSB, 100,000 unless said
    bin/bench --workloads --no-write      nothing is written to bench/results/

Both sides run the same code in turn, round by round; a figure is the median of the rounds. After a workload that keeps a sum, a queue or a
log it is checked that nothing was lost. Stock Mnesia never waits for its disc; Remnesia does not for these transactions either.
"""

{options, rest, bad} =
  OptionParser.parse(System.argv(),
    strict: [
      workloads: :boolean,
      quick: :boolean,
      only: :string,
      records: :integer,
      write: :boolean,
      help: :boolean
    ]
  )

if options[:help] || rest != [] || bad != [] do
  IO.puts(help)
  System.halt(if rest != [] || bad != [], do: 1, else: 0)
end

defmodule Bench.Workloads do
  alias Bench.{DebitCredit, Driver, EventLog, JobQueue, Sessions, Ycsb}

  @doc "Each: its name, where its tables are, who does it, how many drivers, and how."
  def all(records) do
    ram = {:ram, :ram_copies}
    disc = {:disc, :disc_copies}
    both = [:remnesia, :mnesia]

    for({where, drivers} <- for(w <- [ram, disc], d <- [1, 4, 16], do: {w, d})) do
      workload(DebitCredit, DebitCredit.name(), where, both, drivers)
    end ++
      for letter <- Ycsb.letters(), where <- [ram, disc] do
        sides =
          both ++ if(where == ram, do: [:ets], else: if(letter == :e, do: [], else: [:dets]))

        %{
          name: Ycsb.name(letter),
          where: elem(where, 0),
          sides: sides,
          drivers: 4,
          setup: &Ycsb.setup(&1, [{elem(where, 1), [node()]}], records),
          operation: fn m, _driver -> Ycsb.operation(m, letter) end,
          check: fn _m -> :ok end,
          teardown: &Ycsb.teardown/1
        }
      end ++
      for(module <- [JobQueue, Sessions, EventLog], where <- [ram, disc]) do
        workload(module, module.name(), where, both, 4)
      end
  end

  defp workload(module, name, {where, kind}, sides, drivers) do
    %{
      name: name,
      where: where,
      sides: sides,
      drivers: drivers,
      setup: &module.setup(&1, [{kind, [node()]}]),
      operation: &module.operation(&1, &2),
      check: &module.check!/1,
      teardown: &module.teardown/1
    }
  end

  @doc "The figures of each side, medians of the rounds by rate."
  def measure(workload, quick) do
    {rounds, milliseconds} = if quick, do: {1, 200}, else: {3, 1_500}
    for m <- workload.sides, do: workload.setup.(m)

    samples =
      for _ <- 1..rounds, m <- workload.sides do
        :erlang.garbage_collect()
        {m, Driver.run(workload.drivers, milliseconds, &workload.operation.(m, &1))}
      end

    for m <- workload.sides, do: workload.check.(m)
    for m <- workload.sides, do: workload.teardown.(m)

    Map.new(workload.sides, fn m ->
      of_m = for {^m, figures} <- samples, do: figures
      {m, of_m |> Enum.sort_by(& &1.rate) |> Enum.at(div(rounds, 2))}
    end)
  end

  def header do
    "| workload | tables | processes | Remnesia, per s | stock | times | p50, us | p99, us | p99.9, us | others, per s |\n" <>
      "|---|---|---|---|---|---|---|---|---|---|"
  end

  def line(workload, %{remnesia: ours, mnesia: stock} = figures) do
    others =
      for {side, f} <- Map.drop(figures, [:remnesia, :mnesia]), do: "#{side} #{round(f.rate)}"

    pair = fn key -> "#{us(ours[key])} / #{us(stock[key])}" end

    cells =
      [workload.name, workload.where, workload.drivers, round(ours.rate), round(stock.rate)] ++
        ["#{Float.round(ours.rate / stock.rate, 1)}x", pair.(:p50), pair.(:p99), pair.(:p999)] ++
        [Enum.join(others, ", ")]

    "| " <> Enum.join(cells, " | ") <> " |"
  end

  defp us(ns), do: Float.round(ns / 1_000, 1)
end

alias Bench.Workloads

directory = Path.join(System.tmp_dir!(), "remnesia-workloads-#{System.pid()}")
Application.put_env(:remnesia, :dir, Path.join(directory, "remnesia"))
Application.put_env(:mnesia, :dir, to_charlist(Path.join(directory, "mnesia")))
File.mkdir_p!(directory)
{:ok, _} = Application.ensure_all_started(:remnesia)
:ok = Remnesia.Schema.setup([])
:ok = :mnesia.create_schema([node()])
# Its own advice for many updates; with less it falls behind and says so.
Application.put_env(:mnesia, :dump_log_write_threshold, 50_000)
:ok = :mnesia.start()
:logger.set_primary_config(:level, :error)
IO.puts(Workloads.header())

results =
  for workload <- Workloads.all(options[:records] || 100_000),
      "#{workload.name} #{workload.where}" =~ (options[:only] || "") do
    figures = Workloads.measure(workload, options[:quick] || false)
    IO.puts(Workloads.line(workload, figures))
    {workload, figures}
  end

if Keyword.get(options, :write, true) and !options[:only] and !options[:quick],
  do: Bench.Charts.write_workloads(results, Workloads.header(), &Workloads.line/2)

:mnesia.stop()
Remnesia.stop()
File.rm_rf!(directory)
