defmodule Remnesia.BankTest do
  use ExUnit.Case, async: false

  import Stress

  alias Remnesia.Engine

  # Money moves between accounts while others count it in every way there is: the sum never varies.

  @accounts 100
  @each 1000
  @sum @accounts * @each

  for type <- [:set, :ordered_set], index <- [[], [:value, :group]] do
    @tag type: type, index: index
    test "no sum ever differs: #{type}, index on #{inspect(index)}", %{type: type, index: index} do
      bank = table(type: type, index: index)
      fill(bank, for(id <- 1..@accounts, do: {id, @each, rem(id, 10)}))

      counters =
        for count <- counts(index), do: fn -> assert atomic(fn -> count.(bank) end) == @sum end

      done = hammer(3000, List.duplicate(fn -> transfer(bank) end, 16) ++ counters)
      {transfers, sums} = Enum.split(done, 16)
      assert Enum.all?(transfers, &(&1 > 0))
      assert Enum.all?(sums, &(&1 > 0)), inspect(done)
      assert atomic(fn -> by_all(bank) end) == @sum
      assert_clean(bank)
    end
  end

  defp transfer(bank) do
    from = :rand.uniform(@accounts)
    to = rem(from + :rand.uniform(@accounts - 1) - 1, @accounts) + 1
    amount = :rand.uniform(50)

    atomic(fn ->
      kind = Enum.random([:read, :write])
      a = value(bank, from, kind)
      if :rand.uniform(8) == 1, do: :erlang.yield()
      write(bank, {from, a - amount, rem(from, 10)})
      b = value(bank, to, kind)
      write(bank, {to, b + amount, rem(to, 10)})
    end)
  end

  defp counts([]), do: [&by_all/1, &by_select/1, &by_walk/1, &by_keys/1, &by_chunks/1]
  defp counts(_index), do: [(&by_index/1) | counts([])]

  defp by_all(bank), do: sum(Engine.match_object(bank, {bank, :_, :_, :_}, :read))

  defp by_select(bank) do
    spec = [{{bank, :_, :"$1", :"$2"}, [{:>=, :"$2", 0}], [:"$1"]}]
    Enum.sum(Engine.select(bank, spec, :read))
  end

  defp by_walk(bank), do: walk(bank, Engine.first(bank), 0)

  defp walk(_bank, :"$end_of_table", sum), do: sum
  defp walk(bank, key, sum), do: walk(bank, Engine.next(bank, key), sum + value(bank, key))

  defp by_keys(bank), do: bank |> Engine.all_keys() |> Enum.reduce(0, &(value(bank, &1) + &2))

  defp by_chunks(bank) do
    {records, more} = Engine.select(bank, [{{bank, :_, :_, :_}, [], [:"$_"]}], 7, :read)
    chunks(more, sum(records))
  end

  defp chunks(more, sum) do
    case Engine.select(more) do
      {records, more} -> chunks(more, sum + sum(records))
      :"$end_of_table" -> sum
    end
  end

  # One group after the other: its records are all of a value of the index.
  defp by_index(bank) do
    Enum.reduce(0..9, 0, fn group, sum -> sum + sum(Engine.index_read(bank, group, 4)) end)
  end

  defp sum(records), do: Enum.reduce(records, 0, fn {_, _, value, _}, sum -> sum + value end)
end
