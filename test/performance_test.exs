defmodule Remnesia.PerformanceTest do
  # A guard against becoming slow: the same calls on stock Mnesia and on Remnesia's door, in turn. What is wanted is about half of what was measured,
  # so that noise does not fail it and a factor of two does. `bin/bench` has the figures.
  use ExUnit.Case, async: false

  @records 10_000
  @rounds 40
  # Nanoseconds that a round lasts at least: short, so that some are not interrupted.
  @round 1_000_000

  setup_all do
    for m <- [:mnesia, :remnesia] do
      options = [attributes: [:id, :group, :name, :kind, :score]]
      {:atomic, :ok} = m.create_table(:perf_item, [index: [:group]] ++ options)
      {:atomic, :ok} = m.create_table(:perf_plain, options)
      {:atomic, :ok} = m.create_table(:perf_ordered, [type: :ordered_set] ++ options)
      {:atomic, :ok} = m.create_table(:perf_counter, [])

      for i <- 1..@records,
          table <- [:perf_item, :perf_plain, :perf_ordered],
          do: m.dirty_write(record(table, i))
    end

    on_exit(fn ->
      for m <- [:mnesia, :remnesia],
          table <- [:perf_item, :perf_plain, :perf_ordered, :perf_counter],
          do: {:atomic, :ok} = m.delete_table(table)
    end)
  end

  defp record(table, i), do: {table, i, div(i, 10), "name #{i}", :plain, i * 0.5}
  defp key(i), do: rem(i * 7919, @records) + 1
  defp group(i), do: rem(i * 31, div(@records, 10) - 1) + 1
  defp spec(table, guard), do: [{{table, :"$1", :"$2", :_, :_, :_}, [guard], [:"$_"]}]

  defp in_transaction(m, fun), do: {:atomic, _} = m.transaction(fun)

  defp operations(m) do
    %{
      "transaction with one read" => fn i ->
        in_transaction(m, fn -> m.read(:perf_item, key(i)) end)
      end,
      "transaction with one write" => fn i ->
        in_transaction(m, fn -> m.write(record(:perf_item, key(i))) end)
      end,
      "transaction with read and write" => fn i ->
        in_transaction(m, fn ->
          [record] = m.read(:perf_item, key(i))
          m.write(put_elem(record, 5, i))
        end)
      end,
      "each write of 100" => fn i ->
        in_transaction(m, fn -> for j <- 1..100, do: m.write(record(:perf_plain, key(i + j))) end)
      end,
      "dirty_read" => fn i -> m.dirty_read(:perf_plain, key(i)) end,
      "dirty_write" => fn i -> m.dirty_write(record(:perf_plain, key(i))) end,
      "dirty_update_counter" => fn i -> m.dirty_update_counter(:perf_counter, rem(i, 16), 1) end,
      "dirty_index_read of 10" => fn i -> m.dirty_index_read(:perf_item, group(i), :group) end,
      "index_read of 10" => fn i ->
        in_transaction(m, fn -> m.index_read(:perf_item, group(i), :group) end)
      end,
      "dirty_next" => fn i -> m.dirty_next(:perf_ordered, key(i)) end,
      "fold" => fn _ ->
        in_transaction(m, fn -> m.foldl(fn _, n -> n + 1 end, 0, :perf_plain) end)
      end,
      "guard scan, 1% hits" => fn _ ->
        m.dirty_select(:perf_plain, spec(:perf_plain, {:<, :"$2", div(@records, 1_000)}))
      end,
      "guard on the key" => fn i ->
        m.dirty_select(:perf_item, spec(:perf_item, {:==, :"$1", key(i)}))
      end,
      "guard on an indexed attribute" => fn i ->
        m.dirty_select(:perf_item, spec(:perf_item, {:==, :"$2", group(i)}))
      end
    }
  end

  for {name, least} <- [
        {"transaction with one read", 10},
        {"transaction with one write", 9},
        {"transaction with read and write", 8},
        {"each write of 100", 5},
        {"dirty_read", 0.9},
        {"dirty_write", 2},
        {"dirty_update_counter", 2.5},
        {"dirty_index_read of 10", 1.2},
        {"index_read of 10", 3},
        {"dirty_next", 0.8},
        {"fold", 4},
        {"guard scan, 1% hits", 1.5},
        {"guard on the key", 80},
        {"guard on an indexed attribute", 40}
      ] do
    test "#{name}: at least #{least} times as fast as stock" do
      [ours, stock] = for m <- [:remnesia, :mnesia], do: operations(m)[unquote(name)]
      {ours, stock} = fastest(ours, stock, unquote(least), 3)
      ratio = stock / ours

      if System.get_env("REMNESIA_SHOW"),
        do: IO.puts("#{unquote(name)}: #{Float.round(ratio, 2)}")

      assert ratio >= unquote(least),
             "#{unquote(name)}: #{round(ours)} ns, stock #{round(stock)} ns, #{Float.round(ratio, 2)} times; " <>
               "bin/bench --only has the same in longer"
    end
  end

  # A machine that was busy all the while is given other chances: what is slow stays slow.
  defp fastest(ours, stock, least, chances) do
    {our_time, stock_time} = found = fastest(ours, stock)

    if stock_time / our_time >= least or chances == 1,
      do: found,
      else: fastest(ours, stock, least, chances - 1)
  end

  # The fastest round of each: what a busy machine adds is not in it.
  defp fastest(ours, stock) do
    {a, b} = {count(ours, 1), count(stock, 1)}
    rounds = for _ <- 1..@rounds, do: {time(ours, a) / a, time(stock, b) / b}

    {rounds |> Enum.map(&elem(&1, 0)) |> Enum.min(),
     rounds |> Enum.map(&elem(&1, 1)) |> Enum.min()}
  end

  defp count(fun, n) do
    best = Enum.min(for _ <- 1..3, do: time(fun, n))
    if best >= @round, do: n, else: count(fun, n * 2)
  end

  defp time(fun, n) do
    begun = System.monotonic_time(:nanosecond)
    repeat(fun, n)
    max(System.monotonic_time(:nanosecond) - begun, 1)
  end

  defp repeat(_fun, 0), do: :ok

  defp repeat(fun, n) do
    fun.(n)
    repeat(fun, n - 1)
  end
end
