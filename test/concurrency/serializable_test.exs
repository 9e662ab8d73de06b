defmodule Remnesia.SerializableTest do
  use ExUnit.Case

  # What random concurrent transactions saw is possible one after the other, in an order that agrees with their times: Isolation.Checker. The histories are
  # over all types and storages, through both doors, with searches, inner transactions, snapshots, aborts and killed processes.

  alias Isolation.{Checker, Run, Tables}

  setup do
    Remnesia.OnDisc.start()
    :ok
  end

  @tag timeout: 120_000
  test "240 histories are strictly serializable", do: histories(20)

  @tag :long
  @tag timeout: 3_600_000
  test "12,000 histories are strictly serializable", do: histories(1_000)

  # Without transactions the same programs do what must not be: so the test can fail, and the checker sees it.
  test "where there is no transaction it is found" do
    tables = Tables.create({{:set, :set, :set}, [:ram_copies, :ram_copies, :ram_copies]})
    activity = &:remnesia.activity(:async_dirty, &1)

    classes =
      for number <- 1..60,
          {class, _} <- check(Run.history(number, tables, activity: activity)),
          uniq: true,
          do: class

    assert :lost_update in classes
    assert :aborted_read in classes or :no_version in classes
    assert Enum.any?(classes, &(&1 in [:g0, :g1c, :g_single, :g2])), inspect(classes)
  end

  defp histories(number) do
    totals =
      for combination <- Tables.combinations() do
        tables = Tables.create(combination)
        counts = for n <- 1..number, do: sound(n, tables, combination)

        for {key, table} <- tables,
            key != :bag?,
            do: assert(Remnesia.Native.table_check(table) == :ok)

        Tables.delete(tables)
        Enum.reduce(counts, fn count, sum -> Map.merge(sum, count, fn _, a, b -> a + b end) end)
      end

    total =
      Enum.reduce(totals, fn count, sum -> Map.merge(sum, count, fn _, a, b -> a + b end) end)

    IO.puts("\n    #{12 * number} histories of #{inspect(total)} transactions")
    # Nothing is proved by transactions that all fail.
    assert total.ok > 3 * total.aborted and total.unknown > 0
  end

  defp sound(number, tables, combination) do
    history = Run.history(number, tables)
    wrong = check(history)
    if wrong != [], do: flunk(report(wrong, history, combination))
    Enum.frequencies_by(history, & &1.status)
  end

  defp check(history), do: Checker.check(history)

  defp report(wrong, history, combination) do
    involved = inspect(Enum.take(wrong, 5), limit: :infinity, pretty: true)
    file = Path.join(System.tmp_dir!(), "remnesia-history-#{System.unique_integer([:positive])}")
    File.write!(file, inspect(history, limit: :infinity, pretty: true, width: 150))
    "#{inspect(combination)}\n#{involved}\nThe history is in #{file}"
  end
end
