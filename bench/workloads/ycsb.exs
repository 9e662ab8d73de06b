defmodule Bench.Ycsb do
  # The core workloads of the Yahoo! Cloud Serving Benchmark (Cooper et al., SoCC 2010), after their description: records of ten fields of 100
  # bytes; keys by Zipf's law, or the latest ones.
  #
  # Mnesia's side and ours do each operation in a transaction; ETS and DETS, which have none, do it as it is.

  alias Bench.Zipf

  @workloads %{
    a: [read: 50, update: 50],
    b: [read: 95, update: 5],
    c: [read: 100],
    d: [latest: 95, insert: 5],
    e: [scan: 95, insert: 5],
    f: [read: 50, change: 50]
  }

  def letters, do: Map.keys(@workloads)

  def name(letter) do
    parts = Enum.map_join(@workloads[letter], ", ", fn {what, part} -> "#{part}% #{what}" end)
    "YCSB #{letter |> to_string() |> String.upcase()} (#{parts})"
  end

  @fields for n <- 0..9, do: :"field#{n}"

  def setup(m, copies, records) do
    # Scans are by key, so the table has an order, for all alike.
    create(m, [type: :ordered_set, attributes: [:key | @fields]] ++ copies)
    for chunk <- Enum.chunk_every(1..records, 1_000), do: fill(m, chunk)
    counter = :atomics.new(1, [])
    :atomics.put(counter, 1, records)
    :persistent_term.put({__MODULE__, m}, {counter, Zipf.new(records)})
  end

  defp create(:ets, _),
    do: :ets.new(:ycsb_plain, [:ordered_set, :public, :named_table, keypos: 2])

  # It has no order, so nobody asks it for a scan.
  defp create(:dets, _) do
    file = Path.join(System.tmp_dir!(), "remnesia-ycsb-#{System.pid()}.dets")
    {:ok, _} = :dets.open_file(:ycsb_plain, file: to_charlist(file), keypos: 2)
  end

  defp create(m, options), do: {:atomic, :ok} = m.create_table(:ycsb, options)

  defp fill(m, keys) when m in [:ets, :dets],
    do: m.insert(:ycsb_plain, for(key <- keys, do: record(key)))

  defp fill(m, keys),
    do: {:atomic, _} = m.transaction(fn -> Enum.each(keys, &m.write(record(&1))) end)

  defp record(key), do: List.to_tuple([:ycsb, key | for(_ <- @fields, do: field())])

  # Not the same bytes in every field; making them shall not be what is measured.
  defp field, do: <<:rand.uniform(1_000_000_000)::800>>

  def operation(m, letter) do
    {counter, zipf} = :persistent_term.get({__MODULE__, m})
    parts = @workloads[letter]
    fn _i -> do_one(pick(parts, :rand.uniform(100)), m, zipf, counter) end
  end

  defp pick([{what, part} | _], n) when n <= part, do: what
  defp pick([{_, part} | more], n), do: pick(more, n - part)

  defp do_one(:read, m, zipf, _), do: [_] = read(m, Zipf.scrambled(zipf))

  defp do_one(:latest, m, zipf, counter),
    do: read(m, max(:atomics.get(counter, 1) - Zipf.rank(zipf), 1))

  defp do_one(:update, m, zipf, _) do
    key = Zipf.scrambled(zipf)
    at = 2 + :rand.uniform(10) - 1
    value = field()
    change(m, key, at, value)
  end

  defp do_one(:change, m, zipf, _), do: change(m, Zipf.scrambled(zipf), 3, field())

  defp do_one(:insert, m, _, counter), do: write(m, record(:atomics.add_get(counter, 1, 1)))

  defp do_one(:scan, m, zipf, _),
    do: scan(m, Zipf.scrambled(zipf), :rand.uniform(100))

  defp read(m, key) when m in [:ets, :dets], do: m.lookup(:ycsb_plain, key)

  defp read(m, key) do
    {:atomic, records} = m.transaction(fn -> m.read(:ycsb, key) end)
    records
  end

  # One field of a record is replaced: the record is read for it.
  defp change(m, key, at, value) when m in [:ets, :dets] do
    [record] = m.lookup(:ycsb_plain, key)
    m.insert(:ycsb_plain, put_elem(record, at, value))
  end

  defp change(m, key, at, value) do
    {:atomic, :ok} =
      m.transaction(fn ->
        [record] = m.read(:ycsb, key, :write)
        m.write(put_elem(record, at, value))
      end)
  end

  defp write(m, record) when m in [:ets, :dets], do: m.insert(:ycsb_plain, record)
  defp write(m, record), do: {:atomic, :ok} = m.transaction(fn -> m.write(record) end)

  @head List.to_tuple([:ycsb, :"$1" | for(_ <- @fields, do: :_)])

  defp scan(:ets, from, count),
    do: :ets.select(:ycsb_plain, [{@head, [{:>=, :"$1", from}], [:"$_"]}], count)

  defp scan(m, from, count) do
    {:atomic, {[_ | _], _more}} =
      m.transaction(fn ->
        m.select(:ycsb, [{@head, [{:>=, :"$1", from}], [:"$_"]}], count, :read)
      end)
  end

  def teardown(:ets), do: :ets.delete(:ycsb_plain)

  def teardown(:dets) do
    file = :dets.info(:ycsb_plain, :filename)
    :ok = :dets.close(:ycsb_plain)
    File.rm!(file)
  end

  def teardown(m), do: {:atomic, :ok} = m.delete_table(:ycsb)
end

defmodule Bench.Zipf do
  # Ranks by Zipf's law with exponent 0.99, as YCSB takes them: the generator of Gray et al., "Quickly Generating Billion-Record Synthetic
  # Databases" (SIGMOD 1994).

  @theta 0.99

  def new(n) do
    zeta = Enum.reduce(1..n, 0.0, fn i, sum -> sum + 1 / :math.pow(i, @theta) end)
    two = 1 + 1 / :math.pow(2, @theta)
    eta = (1 - :math.pow(2 / n, 1 - @theta)) / (1 - two / zeta)
    %{n: n, zeta: zeta, two: two, eta: eta}
  end

  @doc "A rank from 0 on, small ones more often."
  def rank(%{n: n, zeta: zeta, two: two, eta: eta}) do
    u = :rand.uniform()

    cond do
      u * zeta < 1 -> 0
      u * zeta < two -> 1
      true -> min(trunc(n * :math.pow(eta * u - eta + 1, 1 / (1 - @theta))), n - 1)
    end
  end

  @doc "A key from 1 on: the popular ones are all over the table."
  def scrambled(%{n: n} = zipf), do: rem(:erlang.phash2(rank(zipf)), n) + 1
end
