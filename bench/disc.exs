# Tables on disc against stock's, in one run: `MIX_ENV=prod mix run --no-start bench/disc.exs [RECORDS] [SECONDS]`. Stock does not sync its log, which
# is said where it counts. SECONDS of sustained updates are 10 unless said. Prints a table, which is kept in bench/results/.

alias Remnesia.Engine

defmodule Bench.Disc do
  def root, do: Path.join(System.tmp_dir!(), "remnesia-bench-disc-#{System.pid()}")

  # Median of rounds, nanoseconds for one.
  def per(count, rounds, fun) do
    times =
      for _ <- 1..rounds do
        begun = System.monotonic_time(:nanosecond)
        fun.(count)
        (System.monotonic_time(:nanosecond) - begun) / count
      end

    times |> Enum.sort() |> Enum.at(div(rounds, 2))
  end

  def processes(n, count, fun) do
    1..n
    |> Enum.map(fn p ->
      Task.async(fn -> for i <- 1..div(count, n), do: fun.(p * 1_000_000 + i) end)
    end)
    |> Task.await_many(:infinity)
  end

  # The same, each call timed: the median.
  def p50(n, count, fun) do
    timed = fn i ->
      begun = System.monotonic_time(:nanosecond)
      fun.(i)
      System.monotonic_time(:nanosecond) - begun
    end

    1..n
    |> Enum.map(fn p ->
      Task.async(fn -> for i <- 1..div(count, n), do: timed.(p * 1_000_000 + i) end)
    end)
    |> Task.await_many(:infinity)
    |> Enum.concat()
    |> Enum.sort()
    |> Enum.at(div(count, 2))
  end

  def row(name, ours, stock) do
    IO.puts("| #{name} | #{show(ours)} | #{show(stock)} | #{Float.round(stock / ours, 2)}x |")
  end

  defp show(ns) when ns >= 1.0e9, do: "#{Float.round(ns / 1.0e9, 2)} s"
  defp show(ns) when ns >= 1.0e6, do: "#{Float.round(ns / 1.0e6, 2)} ms"
  defp show(ns) when ns >= 1.0e4, do: "#{Float.round(ns / 1.0e3, 1)} us"
  defp show(ns), do: "#{round(ns)} ns"

  # 4 KB written at the end of what is preallocated, and fdatasync.
  def raw_sync do
    path = Path.join(root(), "raw")
    {:ok, file} = :file.open(path, [:write, :raw, :binary])
    :ok = :file.write(file, :binary.copy(<<0>>, 8 * 1024 * 1024))
    :ok = :file.sync(file)
    block = :rand.bytes(4096)

    time =
      per(200, 5, fn n ->
        for i <- 1..n do
          :ok = :file.pwrite(file, i * 4096, block)
          :ok = :file.datasync(file)
        end
      end)

    :file.close(file)
    time
  end
end

alias Bench.Disc

{records, seconds} =
  case Enum.map(System.argv(), &String.to_integer/1) do
    [records, seconds] -> {records, seconds}
    [records] -> {records, 10}
    [] -> {1_000_000, 10}
  end

File.mkdir_p!(Disc.root())
Application.put_env(:remnesia, :dir, Path.join(Disc.root(), "remnesia"))
Application.put_env(:mnesia, :dir, to_charlist(Path.join(Disc.root(), "mnesia")))
Application.put_env(:mnesia, :dump_log_write_threshold, 50_000)
{:ok, _} = Application.ensure_all_started(:remnesia)
:ok = Remnesia.Schema.setup([])
:ok = :mnesia.create_schema([node()])
:ok = :mnesia.start()
options = [attributes: [:id, :group, :name, :kind, :score], disc_copies: [node()]]
{:atomic, :ok} = Engine.create_table(:item, options)
{:atomic, :ok} = :mnesia.create_table(:item, options)
item = fn i -> {:item, i, div(i, 10), "name #{i}", :plain, i * 0.5} end
:logger.set_primary_config(:level, :error)

IO.puts(
  "#{records} records of 5 fields, disc_copies; stock never syncs\n\n| | Remnesia | stock | |\n|---|---|---|---|"
)

load = fn write, transaction ->
  for chunk <- Stream.chunk_every(1..records, 1_000),
      do: transaction.(fn -> for(i <- chunk, do: write.(item.(i))) end)
end

ours =
  Disc.per(1, 1, fn 1 ->
    load.(&Engine.write(:item, &1, :write), &Engine.transaction/1)
    :ok = Remnesia.sync()
  end)

stock =
  Disc.per(1, 1, fn 1 -> load.(&:mnesia.write(:item, &1, :write), &:mnesia.transaction/1) end)

Disc.row("loaded in transactions of 1,000, ours until synced", ours, stock)

# What the records take, once all of them are at their place.
place = fn ->
  :ok = Remnesia.Native.disc_flush()
  :dumped = :mnesia.dump_log()
  base = File.stat!(Path.join(Disc.root(), "remnesia/remnesia/data.mdb")).size
  stock = Disc.root() |> Path.join("mnesia/item.DC{D,L}") |> Path.wildcard()
  {base, stock |> Enum.map(&File.stat!(&1).size) |> Enum.sum()}
end

{base, dcd} = place.()

IO.puts(
  "| space of the records, MB | #{div(base, 1_000_000)} | #{div(dcd, 1_000_000)} | #{Float.round(base / dcd, 2)} times stock's |"
)

key = fn i -> rem(i * 7919, records) + 1 end
n = 20_000

ours =
  Disc.per(n, 5, fn n ->
    for i <- 1..n, do: Engine.transaction(fn -> Engine.write(:item, item.(key.(i)), :write) end)
  end)

stock =
  Disc.per(n, 5, fn n ->
    for i <- 1..n, do: :mnesia.transaction(fn -> :mnesia.write(:item, item.(key.(i)), :write) end)
  end)

Disc.row("transaction with one write, asynchronous", ours, stock)

ours = Disc.per(n, 5, fn n -> for i <- 1..n, do: Engine.dirty_write(:item, item.(key.(i))) end)
stock = Disc.per(n, 5, fn n -> for i <- 1..n, do: :mnesia.dirty_write(:item, item.(key.(i))) end)
Disc.row("dirty write", ours, stock)

# Sustained: each transaction is timed, while what it leaves is moved to its place.
sustained = fn transaction ->
  begun = System.monotonic_time(:nanosecond)
  ends = begun + seconds * 1_000_000_000

  times =
    Stream.unfold({1, begun}, fn {i, from} ->
      if from < ends do
        transaction.(fn write -> write.(item.(key.(i * 31))) end)
        now = System.monotonic_time(:nanosecond)
        {now - from, {i + 1, now}}
      end
    end)
    |> Enum.sort()

  count = length(times)
  {seconds * 1.0e9 / count, Enum.at(times, div(count * 999, 1000))}
end

{ours, slowest} =
  sustained.(fn fun ->
    Engine.transaction(fn -> fun.(&Engine.write(:item, &1, :write)) end)
  end)

{stock, slowest_stock} =
  sustained.(fn fun ->
    :mnesia.transaction(fn -> fun.(&:mnesia.write(:item, &1, :write)) end)
  end)

Disc.row("random updates for #{seconds} s, one transaction", ours, stock)
Disc.row("the same, 99.9% are faster than", slowest, slowest_stock)

# What was written is in its place, on both sides: the disc has nothing else to do.
:ok = Remnesia.Native.disc_flush()
:dumped = :mnesia.dump_log()
:os.cmd(~c"sync")
raw = Disc.raw_sync()

for {processes, count} <- [{1, 500}, {16, 4_000}, {64, 8_000}] do
  ours =
    Disc.per(count, 3, fn n ->
      Disc.processes(processes, n, fn i ->
        Engine.sync_transaction(fn -> Engine.write(:item, item.(key.(i)), :write) end)
      end)
    end)

  stock =
    Disc.per(count, 3, fn n ->
      Disc.processes(processes, n, fn i ->
        :mnesia.sync_transaction(fn -> :mnesia.write(:item, item.(key.(i)), :write) end)
      end)
    end)

  Disc.row("sync transaction, #{processes} processes; stock not durable", ours, stock)

  # What is durable on both sides; stock's is slow, so there are fewer of them.
  durable =
    Disc.per(div(count, 8), 3, fn n ->
      Disc.processes(processes, n, fn i ->
        :mnesia.sync_transaction(fn -> :mnesia.write(:item, item.(key.(i)), :write) end)
        :ok = :mnesia.sync_log()
      end)
    end)

  Disc.row("sync transaction, #{processes} processes; stock with sync_log", ours, durable)

  p50 =
    Disc.p50(processes, count, fn i ->
      Engine.sync_transaction(fn -> Engine.write(:item, item.(key.(i)), :write) end)
    end)

  IO.puts(
    "| its median, in syncs of 4 KB by itself | #{Float.round(p50 / raw, 2)} (#{round(p50 / 1000)} us) | | |"
  )
end

# On disc alone: against DETS through stock.
only = [attributes: [:id, :group, :name, :kind, :score], disc_only_copies: [node()]]
{:atomic, :ok} = Engine.create_table(:only, only)
{:atomic, :ok} = :mnesia.create_table(:only, only)
only = fn i -> {:only, i, div(i, 10), "name #{i}", :plain, i * 0.5} end
few = min(records, 100_000)

only_load = fn write, transaction ->
  for chunk <- Stream.chunk_every(1..few, 1_000),
      do: transaction.(fn -> for(i <- chunk, do: write.(only.(i))) end)
end

ours =
  Disc.per(few, 1, fn _ -> only_load.(&Engine.write(:only, &1, :write), &Engine.transaction/1) end)

stock =
  Disc.per(few, 1, fn _ ->
    only_load.(&:mnesia.write(:only, &1, :write), &:mnesia.transaction/1)
  end)

Disc.row("disc_only_copies, each write of 1,000 in a transaction", ours, stock)
:ok = Remnesia.Native.disc_flush()
key = fn i -> rem(i * 7919, few) + 1 end
n = 20_000

# Reads from the file, as the flush has moved everything there.
operations = [
  {"dirty read, warm", fn m, i -> m.dirty_read(:only, key.(i)) end},
  {"transaction with one read, warm",
   fn m, i -> m.transaction(fn -> m.read(:only, key.(i)) end) end},
  {"dirty write", fn m, i -> m.dirty_write(only.(key.(i))) end},
  {"transaction with one write", fn m, i -> m.transaction(fn -> m.write(only.(key.(i))) end) end}
]

for {name, operation} <- operations do
  [ours, stock] =
    for m <- [:remnesia, :mnesia],
        do: Disc.per(n, 5, fn n -> for(i <- 1..n, do: operation.(m, i)) end)

  Disc.row("disc_only_copies, #{name}", ours, stock)
end

IO.puts("| 4 KB and fdatasync, by itself | #{round(raw / 1000)} us | | |")

:ok = Remnesia.stop()
:stopped = :mnesia.stop()

# Starts are measured in a VM of their own, which has nothing else to do: from the first call until the table can be read.
settings = """
Application.put_env(:remnesia, :dir, #{inspect(Path.join(Disc.root(), "remnesia"))})
Application.put_env(:mnesia, :dir, ~c#{inspect(Path.join(Disc.root(), "mnesia"))})
Application.put_env(:mnesia, :dump_log_write_threshold, 50_000)
Logger.configure(level: :none)
"""

start = %{
  remnesia: "{:ok, _} = Application.ensure_all_started(:remnesia)",
  mnesia: ":ok = :mnesia.start()"
}

child = fn code ->
  paths = Enum.flat_map(:code.get_path(), &["-pa", to_string(&1)])

  {said, _status} =
    System.cmd("elixir", paths ++ ["-e", settings <> code], stderr_to_stdout: true)

  said
end

started = fn m ->
  said =
    child.("""
    begun = System.monotonic_time(:nanosecond)
    #{start[m]}
    :ok = #{inspect(m)}.wait_for_tables([:item], :infinity)
    #{records} = #{inspect(m)}.table_info(:item, :size)
    took = System.monotonic_time(:nanosecond) - begun
    #{inspect(m)}.stop()
    IO.puts("took \#{took}")
    """)

  [_, took] = Regex.run(~r/took (\d+)/, said) || raise(said)
  String.to_integer(took)
end

# Updates as many as a fifth of the records, and dies of it.
killed = fn m ->
  child.("""
  #{start[m]}
  :ok = #{inspect(m)}.wait_for_tables([:item], :infinity)

  for i <- 1..#{div(records, 5)} do
    k = rem(i * 7919, #{records}) + 1
    {:atomic, :ok} = #{inspect(m)}.transaction(fn -> #{inspect(m)}.write({:item, k, i, "name", :plain, 1.5}) end)
  end

  System.cmd("kill", ["-9", System.pid()])
  """)

  started.(m)
end

median = fn fun -> [fun.(), fun.(), fun.()] |> Enum.sort() |> Enum.at(1) end
clean = for m <- [:remnesia, :mnesia], do: median.(fn -> started.(m) end)
[ours, stock] = clean
Disc.row("start of a VM until the table is ready, after a stop", ours, stock)
[ours, stock] = for m <- [:remnesia, :mnesia], do: median.(fn -> killed.(m) end)
Disc.row("the same after SIGKILL, #{div(records, 5)} updates before it", ours, stock)

size = fn dir ->
  dir |> Path.join("**") |> Path.wildcard() |> Enum.map(&File.stat!(&1).size) |> Enum.sum()
end

IO.puts(
  "| space at the end, all files and tables, MB | #{div(size.(Path.join(Disc.root(), "remnesia")), 1_000_000)} | #{div(size.(Path.join(Disc.root(), "mnesia")), 1_000_000)} | |"
)

File.rm_rf!(Disc.root())
