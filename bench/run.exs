# bin/bench: one workload, three contenders, one run. `bin/bench --help` says what can be asked for.

for file <- ~w(measure contenders door indexes charts report rows scheduler),
    do: Code.require_file("#{file}.exs", __DIR__)

help = """
Measures Remnesia, stock Mnesia and ETS on one workload in one run.

    bin/bench                    100,000 records of 5 fields, one index; about two minutes
    bin/bench --records 1000000  that many records (more than once: how the costs grow)
    bin/bench --quick            fewer rounds, for a look
    bin/bench --only TEXT        rows whose name has TEXT in it
    bin/bench --no-scheduler     without the delays of other processes (+S 1:1, a minute)
    bin/bench --no-write         nothing is written to bench/results/
    bin/bench --workloads        workloads as applications have them (--workloads --help says more)
    bin/bench --disc             tables on disc
    bin/bench --growth [N]       how the costs grow from 1,000 to 10,000,000 records
    bin/bench --cluster          three nodes on this machine
    bin/bench --stores [N] [DIR] the engine beside LMDB and SQLite, all driven from Rust: N rows, files in DIR
    bin/bench --all              all of these, one after the other; about half an hour

Contenders are measured in turn, round by round; a figure is the median of the rounds. Remnesia goes through its public
Memento-shaped API with structs, stock Mnesia is called directly, which is the faster way to use it.
"""

{options, rest, bad} =
  OptionParser.parse(System.argv(),
    strict: [
      records: :keep,
      quick: :boolean,
      only: :string,
      write: :boolean,
      scheduler: :boolean,
      help: :boolean
    ]
  )

if options[:help] || rest != [] || bad != [] do
  IO.puts(help)
  if rest != [] || bad != [], do: System.halt(1), else: System.halt(0)
end

sizes =
  case Keyword.get_values(options, :records) do
    [] -> [100_000]
    given -> Enum.map(given, &String.to_integer/1)
  end

{:ok, _} = Application.ensure_all_started(:remnesia)
Logger.configure(level: :error)
:ok = :mnesia.start()

results =
  for records <- sizes do
    IO.puts("\n#{records} records")
    rows = Bench.Rows.run(records, options[:only] || "", options[:quick] || false)
    {records, rows}
  end

delays =
  if Keyword.get(options, :scheduler, true) and !options[:only],
    do: Bench.Scheduler.run(options[:quick]),
    else: []

Bench.Report.print(results, delays)

if Keyword.get(options, :write, true) and !options[:only],
  do: Bench.Report.write(results, delays)
