# The rows of queries on a table of ten million records, which fills for minutes: MIX_ENV=prod mix run --no-start bench/large.exs [RECORDS]
# Small records, so that stock Mnesia, Remnesia and their indexes fit into 8 GB together. Each contender has one table at a time: they are filled,
# measured, and given back. A figure is the best of a few rounds for Remnesia and of one or two for stock, whose scans take seconds.

for file <- ~w(measure contenders), do: Code.require_file("#{file}.exs", __DIR__)

defmodule Bench.Large do
  alias Bench.Contender.{Mnesia, Remnesia}
  alias Bench.{Item, Ordered, Plain}

  @tables [{Plain, :plain}, {Item, :item}, {Ordered, :ordered}]

  def run(n) do
    rows =
      for {ours, stock} <- @tables, reduce: [] do
        rows ->
          IO.puts("\n#{n} records in #{stock}")
          fill(ours, stock, n)
          done = measure(stock, n)
          :ok = Elixir.Remnesia.Table.delete!(ours)
          {:atomic, :ok} = :mnesia.delete_table(stock)
          rows ++ for {name, {a, b}} <- done, do: row("#{stock}: #{name}", a, b)
      end

    report(n, rows)
  end

  # Stock's table is an ETS table, which is filled as such: that it takes dirty writes longer is measured elsewhere.
  defp fill(ours, stock, n) do
    :ok = Elixir.Remnesia.Table.create!(ours)
    type = if stock == :ordered, do: :ordered_set, else: :set
    attributes = [:id, :group, :name, :kind, :score]
    {:atomic, :ok} = :mnesia.create_table(stock, attributes: attributes, type: type)
    record = fn table, i -> {table, i, div(i, 10), nil, :plain, i} end
    each(n, &Elixir.Remnesia.Engine.dirty_write(ours, record.(ours, &1)))
    each(n, &:ets.insert(stock, record.(stock, &1)))
    if stock == :item, do: {:atomic, :ok} = :mnesia.add_table_index(:item, :group)
  end

  defp each(0, _fun), do: :ok

  defp each(i, fun) do
    fun.(i)
    each(i - 1, fun)
  end

  # {name, hits, what both do}
  defp queries(:plain, n) do
    [
      {"guard scan, 1% hits", div(n, 100), & &1.guard_scan(div(n, 1000))},
      {"count of 10% by guard", div(n, 10), & &1.guard_count(div(n, 100))}
    ]
  end

  defp queries(:item, n) do
    [
      {"guard on the key", 1, & &1.guard_key(div(n, 3))},
      {"guard on an indexed value, 10 hits", 10, & &1.guard_group(div(n, 77))}
    ]
  end

  defp queries(:ordered, n) do
    [
      {"100 records of a key range", 100, & &1.guard_range(div(n, 3), div(n, 3) + 100)},
      {"last 10 by key", 10, & &1.first_by_key(10)}
    ]
  end

  defp measure(stock, n) do
    for {name, hits, fun} <- queries(stock, n) do
      [a, b] =
        for {c, rounds} <- [{Remnesia, 200}, {Mnesia, 2}] do
          times =
            for _ <- 1..rounds, reduce: [] do
              times ->
                # Half a minute is enough of any.
                if Enum.sum(times) > 30_000_000_000, do: times, else: [once(c, fun, hits) | times]
            end

          Enum.min(times)
        end

      IO.puts("  #{name}: #{us(a)} and #{us(b)}, #{ratio(a, b)}")
      {name, {a, b}}
    end
  end

  defp once(c, fun, hits) do
    :erlang.garbage_collect()
    parent = self()

    # In a process of its own: what stock collects is garbage that the next round need not pay for.
    spawn_link(fn ->
      begun = System.monotonic_time(:nanosecond)
      answer = c.transaction(fn -> fun.(c) end)
      took = System.monotonic_time(:nanosecond) - begun
      send(parent, {:took, took, hits(answer)})
    end)

    receive do
      {:took, took, found} when found == hits or abs(found - hits) <= 10 -> took
      {:took, _, found} -> raise "#{inspect(c)} found #{found} instead of #{hits}"
    end
  end

  defp hits({_ok, records}) when is_list(records), do: length(records)
  defp hits({_ok, count}) when is_integer(count), do: count

  defp row(name, a, b), do: "| #{name} | #{us(a)} | #{us(b)} | #{ratio(a, b)} |"
  defp us(ns) when ns < 10_000, do: "#{round(ns)} ns"
  defp us(ns) when ns < 10_000_000, do: "#{Float.round(ns / 1_000, 1)} us"
  defp us(ns), do: "#{Float.round(ns / 1_000_000, 1)} ms"
  defp ratio(a, b) when b / a > 100, do: "#{round(b / a)}x"
  defp ratio(a, b), do: "#{Float.round(b / a, 2)}x"

  defp report(n, rows) do
    {{y, m, d}, _} = :calendar.local_time()
    date = Enum.map_join([y, m, d], "-", &String.pad_leading("#{&1}", 2, "0"))
    path = Path.join([__DIR__, "results", "#{date}-otp#{System.otp_release()}-#{n}.md"])

    text = """
    # Queries on #{n} records

    #{System.schedulers_online()} schedulers, Erlang/OTP #{System.otp_release()}, Elixir #{System.version()}, by `bench/large.exs`: the best of up to 200 rounds of
    Remnesia and of 2 of stock Mnesia, each in a transaction. Records of five fields without strings. On a shared machine: the ratios say more than the figures.

    | query | Remnesia | stock Mnesia | |
    |---|---|---|---|
    #{Enum.join(rows, "\n")}
    """

    File.write!(path, text)
    IO.puts("\n" <> text)
  end
end

{:ok, _} = Application.ensure_all_started(:remnesia)
Logger.configure(level: :error)
:ok = :mnesia.start()
System.argv() |> List.first("10000000") |> String.to_integer() |> Bench.Large.run()
