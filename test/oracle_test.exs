defmodule OracleTest do
  @moduledoc false

  # Random programs on Remnesia and on stock Mnesia give equal answers, operation by operation, transaction by transaction.
  # REMNESIA_SEED=n repeats a run; REMNESIA_PROGRAMS=n makes it longer.

  use ExUnit.Case

  alias Oracle.{Program, Run, Tables}

  setup context do
    storage = Map.get(context, :storage, :ram_copies)
    if storage != :ram_copies, do: Remnesia.OnDisc.start()

    for t <- Tables.all() do
      Remnesia.Table.create!(t, [{storage, [node()]}])
      :ok = Remnesia.Reference.create(t)
    end

    on_exit(fn ->
      for t <- Tables.all() do
        Remnesia.Table.delete!(t)
        :ok = Remnesia.Reference.delete_table(t)
      end
    end)
  end

  @tag timeout: :infinity
  test "random programs", do: programs("400")

  # The same answers from disc as from memory; stock, whose tables on disc know no order, stays there.
  @tag timeout: :infinity, storage: :disc_only_copies
  test "random programs on tables on disc alone" do
    Remnesia.OnDisc.flush_from_now()
    programs("150")
  end

  defp programs(count) do
    seed =
      String.to_integer(
        System.get_env(
          "REMNESIA_SEED",
          "#{System.unique_integer([:positive]) + :os.system_time(:second)}"
        )
      )

    programs = String.to_integer(System.get_env("REMNESIA_PROGRAMS", count))
    IO.puts("\noracle: #{programs} programs, REMNESIA_SEED=#{seed}")
    :rand.seed(:exsss, {seed, 1, 2})

    for _ <- 1..programs do
      program = Program.random()
      if differs?(program), do: report(shrink(program), seed)
    end

    for t <- Tables.all(), do: assert(Remnesia.Native.table_check(t) == :ok)
    assert Remnesia.Native.lock_count() == 0
  end

  defp differs?(program), do: Run.run(:ours, program) != Run.run(:stock, program)

  defp shrink(program) do
    case Enum.find(Program.smaller(program), &differs?/1) do
      nil -> program
      smaller -> shrink(smaller)
    end
  end

  defp report(program, seed) do
    flunk("""
    seed #{seed}, shortest program that differs:
    #{inspect(program, pretty: true, limit: :infinity)}
    ours:  #{inspect(Run.run(:ours, program), pretty: true, limit: :infinity)}
    stock: #{inspect(Run.run(:stock, program), pretty: true, limit: :infinity)}
    """)
  end
end
