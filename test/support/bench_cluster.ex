defmodule Remnesia.BenchCluster do
  @moduledoc false
  def run do
    for t <- [:s, :o], i <- 1..10_000, do: :mnesia.dirty_write({t, i, rem(i, 1000)})
    spec = fn t -> [{{t, :"$1", :"$2"}, [{:==, :"$1", 77}], [:"$_"]}] end
    ix = fn t -> [{{t, :"$1", :"$2"}, [{:"=:=", :"$2", 77}], [:"$_"]}] end

    rows = [
      read_stock: {2000, fn k -> :mnesia.dirty_read(:s, k) end},
      read_plugin: {2000, fn k -> :mnesia.dirty_read(:o, k) end},
      read_ours: {2000, fn k -> :remnesia.dirty_read(:o, k) end},
      key_guard_stock: {5, fn _ -> :mnesia.dirty_select(:s, spec.(:s)) end},
      key_guard_ours: {500, fn _ -> :remnesia.dirty_select(:o, spec.(:o)) end},
      index_guard_stock: {5, fn _ -> :mnesia.dirty_select(:s, ix.(:s)) end},
      index_guard_ours: {500, fn _ -> :remnesia.dirty_select(:o, ix.(:o)) end},
      index_read_stock: {500, fn k -> :mnesia.dirty_index_read(:s, rem(k, 1000), 3) end},
      index_read_ours: {500, fn k -> :remnesia.dirty_index_read(:o, rem(k, 1000), 3) end},
      write_stock: {500, fn k -> :mnesia.dirty_write({:s, k, k + 1}) end},
      write_ours: {500, fn k -> :remnesia.dirty_write({:o, k, k + 1}) end},
      txn_write_stock:
        {100, fn k -> :mnesia.transaction(fn -> :mnesia.write({:s, k, k}) end) end},
      txn_write_ours:
        {100, fn k -> :remnesia.transaction(fn -> :remnesia.write({:o, k, k}) end) end},
      txn_read_stock: {200, fn k -> :mnesia.transaction(fn -> :mnesia.read(:s, k) end) end},
      txn_read_ours: {200, fn k -> :remnesia.transaction(fn -> :remnesia.read(:o, k) end) end}
    ]

    for(_ <- 1..150, {name, {n, f}} <- Enum.shuffle(rows), do: {name, one(n, f)})
    |> Enum.group_by(&elem(&1, 0), &elem(&1, 1))
    |> Enum.map(fn {name, times} -> {name, times |> Enum.sort() |> Enum.at(15)} end)
  end

  defp one(n, f) do
    begun = System.monotonic_time()
    Enum.each(1..n, fn i -> f.(rem(i * 7919, 10_000) + 1) end)
    div(System.monotonic_time() - begun, n)
  end
end
