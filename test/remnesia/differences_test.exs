defmodule Remnesia.DifferencesTest do
  # Where stock Mnesia loses a record and Remnesia does not: both sides, so that this is seen when stock changes. One test
  # for each row of guides/differences.md that no other test shows.

  use ExUnit.Case, async: false

  defmodule Reading do
    use Remnesia.Table, attributes: [:id, :place], index: [:place]
  end

  @records [{Reading, 1, :cellar}, {Reading, 1.0, :cellar}]

  test "keys 1 and 1.0 with one index value" do
    assert length(stock()) == 1
    assert Enum.sort(remnesia()) == @records
  end

  defp stock do
    {:atomic, :ok} = :mnesia.create_table(Reading, attributes: [:id, :place], index: [:place])
    on_exit(fn -> :mnesia.delete_table(Reading) end)

    {:atomic, :ok} = :mnesia.transaction(fn -> Enum.each(@records, &:mnesia.write/1) end)
    {:atomic, found} = :mnesia.transaction(fn -> :mnesia.index_read(Reading, :cellar, :place) end)
    found
  end

  defp remnesia do
    Remnesia.Table.create!(Reading)
    on_exit(fn -> Remnesia.Table.delete(Reading) end)

    Remnesia.transaction!(fn ->
      for {Reading, id, place} <- @records,
          do: Remnesia.Query.write(%Reading{id: id, place: place})
    end)

    # A match with the indexed attribute bound goes by the index.
    Remnesia.transaction!(fn ->
      Reading |> Remnesia.Query.match({:_, :cellar}) |> Enum.map(&Remnesia.Query.Data.dump/1)
    end)
  end
end
