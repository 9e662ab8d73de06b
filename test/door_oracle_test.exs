defmodule DoorOracleTest do
  @moduledoc false

  # Random programs of the Mnesia door: activities in activities, access modules, dirty functions, searches, folds, queries, changes of the
  # schema, and the events of all that. Remnesia answers as stock Mnesia does. REMNESIA_SEED=n repeats a run; REMNESIA_PROGRAMS=n makes
  # it longer.

  use ExUnit.Case

  alias Oracle.Door.{Program, Run}

  setup_all do
    Remnesia.TestErlang.load(:door_qlc)
    :ok
  end

  setup context do
    storage = Map.get(context, :storage, :ram_copies)
    if storage != :ram_copies, do: Remnesia.OnDisc.start()
    Process.put(:storage, storage)
    on_exit(fn -> for side <- [:mnesia, :remnesia], do: Run.delete(side) end)
  end

  @tag timeout: :infinity
  test "random programs", do: programs(number("REMNESIA_PROGRAMS", 150))

  @tag timeout: :infinity, storage: :disc_only_copies
  test "random programs on tables on disc alone" do
    Remnesia.OnDisc.flush_from_now()
    programs(number("REMNESIA_PROGRAMS", 75))
  end

  @tag :long
  @tag timeout: :infinity
  test "many random programs", do: programs(number("REMNESIA_PROGRAMS", 5000))

  defp programs(count) do
    seed = number("REMNESIA_SEED", System.unique_integer([:positive]) + :os.system_time(:second))
    IO.puts("\ndoor oracle: #{count} programs, REMNESIA_SEED=#{seed}")
    :rand.seed(:exsss, {seed, 3, 4})

    for _ <- 1..count do
      program = Program.random()
      if differs?(program), do: report(shrink(program), seed)
    end

    for table <- Program.tables(), do: assert(Remnesia.Native.table_check(table) == :ok)
    assert Remnesia.Native.lock_count() == 0
  end

  defp number(variable, default) do
    case System.get_env(variable) do
      nil -> default
      text -> String.to_integer(text)
    end
  end

  defp differs?(program), do: Run.run(:remnesia, program) != Run.run(:mnesia, program)

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
    ours:  #{inspect(Run.run(:remnesia, program), pretty: true, limit: :infinity)}
    stock: #{inspect(Run.run(:mnesia, program), pretty: true, limit: :infinity)}
    """)
  end
end
