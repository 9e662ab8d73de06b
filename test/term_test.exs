defmodule TermTest do
  @moduledoc false

  # The flat byte form against the BEAM itself.

  use ExUnit.Case

  alias Remnesia.Native

  @terms 3_000
  @pairs 30_000

  setup context do
    seed = String.to_integer(System.get_env("REMNESIA_SEED", "1"))
    :rand.seed(:exsss, {seed, context.line, 0})
    {:ok, seed: seed}
  end

  # A table without the properties that the Elixir side gives: only its rows are looked at.
  defp table(type \\ :set) do
    table = :"term_test_#{System.unique_integer([:positive])}"
    :ok = Native.table_create(table, {type, 3, table, []}, [], nil, false)

    on_exit(fn ->
      txn = Native.txn_new()
      Native.txn_begin(txn)
      :ok = Native.table_delete(txn, table)
      :ok = Native.txn_commit(txn)
    end)

    table
  end

  defp sign(a, b) do
    cond do
      a == b -> 0
      a < b -> -1
      true -> 1
    end
  end

  # A second term that is often equal, or equal in value only.
  defp pair do
    a = if :rand.uniform(2) == 1, do: Nasty.term(), else: Nasty.number()

    case :rand.uniform(4) do
      1 -> {a, a}
      2 -> {a, twin(a)}
      _ -> {a, Nasty.term()}
    end
  end

  defp twin(x) when is_integer(x) and abs(x) < 1.0e300, do: x * 1.0

  defp twin(x) when is_float(x) and abs(x) < 1.0e15,
    do: if(:rand.uniform(2) == 1, do: trunc(x), else: -x)

  defp twin(x) when is_tuple(x), do: x |> Tuple.to_list() |> Enum.map(&twin/1) |> List.to_tuple()
  defp twin([h | t]), do: [twin(h) | twin(t)]
  defp twin(%{} = m), do: Map.new(m, fn {k, v} -> {twin(k), v} end)
  defp twin(x), do: x

  test "every term comes back as it was", %{seed: seed} do
    for _ <- 1..@terms do
      term = Nasty.term()
      back = Native.test_roundtrip(term)
      assert back === term, "seed #{seed}: #{inspect(term)} came back as #{inspect(back)}"

      # The sign of zero as well, which `===` does not see before OTP 27.
      assert signs(back) == signs(term), "seed #{seed}: #{inspect(term)}"
    end
  end

  test "every term comes back from its disc form", %{seed: seed} do
    for _ <- 1..@terms do
      term = Nasty.term()
      {back, same} = Native.test_disc(term)
      assert back === term, "seed #{seed}: #{inspect(term)} came back as #{inspect(back)}"
      assert signs(back) == signs(term), "seed #{seed}: #{inspect(term)}"
      assert same, "seed #{seed}: #{inspect(term)} has other bytes or another key"
    end
  end

  test "living terms come back from their disc form" do
    large = :binary.copy("large", 10_000)
    there = {self(), make_ref(), Port.list() |> hd(), large}
    closure = fn x -> {x, there} end
    assert {^there, true} = Native.test_disc(there)
    assert {back, true} = Native.test_disc([closure, %{closure => large}, &String.length/1])
    assert back === [closure, %{closure => large}, &String.length/1]
    assert hd(back).(1) == {1, there}
    deep = Enum.reduce(1..1_000_000, [self()], fn _, list -> [list] end)
    assert {back, true} = Native.test_disc(deep)
    assert back == deep
  end

  # Every float of a term by its bits, in the order of the external format.
  defp signs(x) when is_float(x), do: [<<x::float>>]
  defp signs(x) when is_tuple(x), do: x |> Tuple.to_list() |> signs()
  defp signs([h | t]), do: signs(h) ++ signs(t)

  defp signs(%{} = m),
    do: m |> Enum.sort() |> Enum.flat_map(fn {k, v} -> signs(k) ++ signs(v) end)

  defp signs(_), do: []

  test "bytes and hashes are equal if and only if terms are =:=", %{seed: seed} do
    for _ <- 1..@pairs do
      {a, b} = pair()
      note = "seed #{seed}: #{inspect(a)} and #{inspect(b)}"
      assert Native.test_same(a, b) == (a === b), note
      if a === b, do: assert(Native.test_hash(a) == Native.test_hash(b), note)
      if Native.test_encode(a) == Native.test_encode(b), do: assert(a === b, note)
    end
  end

  test "the engine compares as the BEAM does", %{seed: seed} do
    for _ <- 1..@pairs do
      {a, b} = pair()

      assert Native.test_compare(a, b) == sign(a, b),
             "seed #{seed}: #{inspect(a)} and #{inspect(b)}"
    end
  end

  test "ordered keys sort as terms do, 1 and 1.0 as one", %{seed: seed} do
    for _ <- 1..@pairs do
      {a, b} = pair()
      {ka, kb} = {Native.test_key(a), Native.test_key(b)}
      assert sign(ka, kb) == sign(a, b), "seed #{seed}: #{inspect(a)} and #{inspect(b)}"
      # No form is the beginning of another, so forms can be joined.
      if ka != kb, do: refute(String.starts_with?(ka, kb), "seed #{seed}: #{inspect({a, b})}")
    end
  end

  test "maps in any order of making have one form" do
    for size <- [1, 5, 31, 32, 33, 100] do
      keys = for i <- 1..size, do: pick_key(i)
      map = Map.new(keys, &{&1, 1})
      shuffled = keys |> Enum.shuffle() |> Enum.reduce(%{}, &Map.put(&2, &1, 1))
      assert Native.test_encode(map) == Native.test_encode(shuffled)
      assert Native.test_roundtrip(map) === map
    end
  end

  defp pick_key(i), do: Enum.at([i, i * 1.0, {i, :a}, "#{i}", [i]], rem(i, 5))

  test "the sign of zero survives" do
    assert <<1::1, _::63>> = <<Native.test_roundtrip(-0.0)::float>>
    assert <<0::1, _::63>> = <<Native.test_roundtrip(0.0)::float>>
    assert Native.test_same(%{-0.0 => 1, 1.0 => 2}, %{0.0 => 1, 1.0 => 2}) == (0.0 === -0.0)
  end

  # Compared by size and depth: comparing or printing such a list is more than the BEAM likes to do.
  test "a list a million deep" do
    deep = Enum.reduce(1..1_000_000, [], fn _, list -> [list] end)
    assert depth(Native.test_roundtrip(deep), 0) == 1_000_000
    tuples = Enum.reduce(1..1_000_000, {}, fn _, tuple -> {tuple} end)
    assert depth(Native.test_roundtrip(tuples), 0) == 1_000_000
    assert byte_size(Native.test_key(deep)) >= 1_000_000
  end

  defp depth([inner], n), do: depth(inner, n + 1)
  defp depth({inner}, n), do: depth(inner, n + 1)
  defp depth(_, n), do: n

  test "long lists, proper and not" do
    list = Enum.to_list(1..1_000_000)
    assert Native.test_roundtrip(list) == list
    improper = :lists.foldl(fn x, acc -> [x | acc] end, :tail, list)
    assert Native.test_roundtrip(improper) == improper
  end

  test "a reference to counters stays what it is when the table is its only owner" do
    ref = :counters.new(1, [])
    :counters.add(ref, 1, 41)
    table = table()
    store = fn -> :ok = Native.write(nil, table, {table, 1, {:deep, [ref]}}, :write) end
    store.()
    # Whoever knew the reference is gone, and collected.
    spawn_monitor(store)
    :erlang.garbage_collect()
    [{^table, 1, {:deep, [back]}}] = Native.read(nil, table, 1, :read)
    :counters.add(back, 1, 1)
    assert :counters.get(back, 1) == 42
    assert back === ref
  end

  test "a counters reference whose only copy is in a table survives collection" do
    table = table()

    task = fn ->
      ref = :counters.new(1, [])
      :counters.put(ref, 1, 7)
      :ok = Native.write(nil, table, {table, 1, ref}, :write)
    end

    {pid, monitor} = spawn_monitor(task)
    receive do: ({:DOWN, ^monitor, :process, ^pid, :normal} -> :ok)
    for p <- Process.list(), do: :erlang.garbage_collect(p)
    [{_, 1, ref}] = Native.read(nil, table, 1, :read)
    assert :counters.get(ref, 1) == 7
  end

  # An inner closure is part of the outer one's identity, and is kept alive by it alone.
  test "closures in closures, with living terms inside" do
    counter = :counters.new(1, [])
    big = :binary.copy("b", 20_000)

    outer =
      Nasty.closure({Nasty.closure(counter), [Nasty.closure(big)], %{Nasty.other(1) => self()}})

    assert Native.test_roundtrip(outer) === outer
    assert Native.test_compare(outer, outer) == 0
    assert Native.test_key(outer) == Native.test_key(Native.test_roundtrip(outer))
    chain = Enum.reduce(1..300, fn -> 0 end, fn i, inner -> Nasty.closure(i, inner) end)
    assert Native.test_roundtrip(chain) === chain
    assert Native.test_encode(chain) == Native.test_encode(chain)
  end

  test "many living terms in one term" do
    refs = for _ <- 1..20_000, do: make_ref()
    {time, back} = :timer.tc(fn -> Native.test_roundtrip(refs) end)
    assert back === refs
    # A search by pairs would take seconds.
    assert time < 1_000_000
    [ref | _] = refs
    same = List.duplicate(ref, 1_000)
    assert Native.test_roundtrip(same) === same
  end

  test "a large binary that begins inside a byte" do
    for size <- [20_000, 100_000] do
      <<_::1, unaligned::binary-size(size), _::7>> = :rand.bytes(size + 1)
      table = table(:ordered_set)
      :ok = Native.write(nil, table, {table, unaligned, unaligned}, :write)

      # Many readers of one attachment: each compares the key's content and gets a copy.
      tasks =
        for _ <- 1..8,
            do:
              Task.async(fn -> for(_ <- 1..50, do: Native.read(nil, table, unaligned, :read)) end)

      for rows <- Task.await_many(tasks),
          row <- rows,
          do: assert(row == [{table, unaligned, unaligned}])
    end
  end

  test "a piece of a large binary does not keep the whole in memory" do
    whole = :rand.bytes(10_000_000)
    piece = binary_part(whole, 1_000, 20_000)
    back = Native.test_roundtrip(piece)
    assert back == piece
    assert :binary.referenced_byte_size(back) == 20_000
  end

  test "binaries of a record share one allocation, and keep no more than a few kilobytes" do
    table = table()
    sizes = [65, 100, 64, 255, 256, 300, 1_000, 4_000, 5_000, 3_000, 66, 1, 200]
    binaries = for {size, i} <- Enum.with_index(sizes), do: :binary.copy(<<i>>, size)
    nested = {hd(binaries), [%{1 => Enum.at(binaries, 1)} | Enum.at(binaries, 5)], binaries}

    for value <- [binaries, nested, List.to_tuple(binaries)] do
      :ok = Native.write(nil, table, {table, 1, value}, :write)
      assert [{table, 1, value}] == Native.read(nil, table, 1, :read)
    end

    [{_, _, read}] = Native.read(nil, table, 1, :read)

    for {binary, was} <- Enum.zip(Tuple.to_list(read), binaries) do
      assert binary === was and binary <> "more" == was <> "more"
      assert :binary.referenced_byte_size(binary) <= max(4_096, byte_size(binary))
    end

    assert :binary.referenced_byte_size(elem(read, 12)) > byte_size(elem(read, 12))
  end

  test "a binary that is appended to later keeps its content in the table" do
    table = table()
    start = :binary.copy("s", 100_000) <> "end"
    :ok = Native.write(nil, table, {table, 1, start}, :write)
    longer = for i <- 1..1_000, reduce: start, do: (acc -> <<acc::binary, i::32>>)
    assert byte_size(longer) == 104_003
    assert [{table, 1, start}] == Native.read(nil, table, 1, :read)
  end

  test "terms of every size around the limit of a normal scheduler" do
    for n <- [1_000, 4_095, 4_096, 4_097, 10_000, 70_000] do
      terms =
        [Enum.to_list(1..n), List.to_tuple(Enum.to_list(1..n)), Map.new(1..n, &{&1, &1})] ++
          [Map.new(1..n, &{{&1}, [&1]}), List.duplicate("0123456789", n), :binary.copy(<<1>>, n)]

      for term <- terms, do: assert(Native.test_roundtrip(term) === term)
    end
  end

  test "one closure made in two processes is one term" do
    here = Nasty.closure(:x)
    there = Task.await(Task.async(fn -> Nasty.closure(:x) end))
    assert here === there
    assert Native.test_encode(here) == Native.test_encode(there)
    assert Native.test_roundtrip(there).(1) == {1, :x}
  end

  test "a record of 100 MB" do
    table = table()
    big = :binary.copy(<<1, 2, 3, 4>>, 25 * 1024 * 1024)
    :ok = Native.write(nil, table, {table, 1, big}, :write)
    [{_, 1, back}] = Native.read(nil, table, 1, :read)
    assert byte_size(back) == byte_size(big) and back == big
    list = List.duplicate(:binary.copy("a", 1000), 100_000)
    :ok = Native.write(nil, table, {table, 2, list}, :write)
    [{_, 2, back}] = Native.read(nil, table, 2, :read)
    assert back == list
    # Written again, the first content is freed with its record.
    :ok = Native.delete(nil, table, 1)
    assert Native.table_check(table) == :ok
  end

  test "tables named by living terms" do
    for name <- [{:index, make_ref()}, {self(), :checkpoint}, {fn -> self() end, hd(Port.list())}] do
      assert Native.table_create(name, {:set, 3, :t, []}, [], nil, false) == :ok
      assert name in Native.tables()
      assert Native.write(nil, name, {:t, 1, 2}, :write) == :ok
      assert Native.read(nil, name, 1, :read) == [{:t, 1, 2}]
      txn = Native.txn_new()
      1 = Native.txn_begin(txn)
      assert Native.write(txn, name, {:t, 2, 2}, :write) == :ok
      assert Native.table_delete(txn, name) == :ok
      # What was written before it was deleted has no place to go, and the reason says which.
      assert Native.txn_commit(txn) == {:"$error", {:no_exists, name}}
      refute name in Native.tables()
    end
  end

  test "pids, ports and references written before the node has a name" do
    script = """
    alias Remnesia.Native
    {:ok, _} = Application.ensure_all_started(:remnesia)
    :ok = Native.table_create(:t, {:set, 3, :t, []}, [], nil, false)
    ref = make_ref()
    port = hd(Port.list())
    terms = [self(), ref, port, {self(), [ref]}, fn -> {ref, self()} end]
    for {t, i} <- Enum.with_index(terms), do: :ok = Native.write(nil, :t, {:t, i, t}, :write)
    for {t, i} <- Enum.with_index(terms), do: :ok = Native.write(nil, :t, {:t, {:key, t}, i}, :write)
    # Keys of ordered tables and indexes hold the order of pids and references, in which the name of the node has a part.
    :ok = Native.table_create(:o, {:ordered_set, 3, :o, [3]}, [], nil, false)
    for {t, i} <- Enum.with_index(terms), do: :ok = Native.write(nil, :o, {:o, t, {i, t}}, :write)
    before = Enum.map(terms, &Native.test_encode/1)
    System.cmd("epmd", ["-daemon"])
    {:ok, _} = Node.start(:"named\#{System.pid()}", :shortnames)
    for {t, i} <- Enum.with_index(terms) do
      [{:t, ^i, back}] = Native.read(nil, :t, i, :read)
      true = back === t
      [{:t, _, ^i}] = Native.read(nil, :t, {:key, t}, :read)
      [{:o, _, {^i, _}}] = Native.read(nil, :o, t, :read)
      {:done, [{:o, _, {^i, _}}]} = Native.index_read(nil, :o, {i, t}, 3)
      :ok = Native.write(nil, :o, {:o, t, {:again, t}}, :write)
    end
    true = Native.table_size(:o) == length(terms)
    :ok = Native.table_check(:o)
    true = before == Enum.map(terms, &Native.test_encode/1)
    IO.puts("still the same")
    """

    path = ["-pa", Application.app_dir(:remnesia, "ebin")]
    {output, status} = System.cmd("elixir", path ++ ["-e", script], stderr_to_stdout: true)
    assert {0, true} == {status, output =~ "still the same"}, output
  end
end
