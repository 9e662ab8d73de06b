defmodule Remnesia.SoakTest do
  use ExUnit.Case

  # Mixed load of 64 processes over all table and storage types, with subscribers, changes of the schema, backups, kills and restarts: see Soak.

  @moduletag :tmp_dir

  setup do
    Remnesia.OnDisc.start()
    :ok
  end

  @tag timeout: 300_000
  test("for some seconds", %{tmp_dir: dir}, do: soak(4, 2_500, dir))

  # Minutes: SOAK_MINUTES, or 30.
  @tag :long
  @tag timeout: :infinity
  test "for half an hour", %{tmp_dir: dir} do
    minutes = String.to_integer(System.get_env("SOAK_MINUTES") || "30")
    soak(6 * minutes, 10_000, dir)
  end

  defp soak(phases, milliseconds, dir) do
    assert Soak.processes() == 64
    %{wrong: wrong, done: done, memory: memory} = Soak.run(phases, milliseconds, dir)
    assert wrong == [], inspect(one_of_each(wrong), pretty: true, limit: 200)
    for {role, count} <- done, do: assert(count > 0, "nobody did #{role}")
    IO.puts("\n    done: #{inspect(done)}\n    MB: #{inspect(memory, limit: :infinity)}")
    assert flat?(memory)
  end

  defp one_of_each(wrong) do
    for {what, all} <- Enum.group_by(wrong, &elem(&1, 0)), do: {what, length(all), hd(all)}
  end

  # The last quarter against the one before: what is left behind would be more with each phase. Caches and buffers may be filled by up to 64 MB.
  defp flat?(memory) when length(memory) < 12, do: List.last(memory) - hd(memory) < 128

  defp flat?(memory) do
    quarter = div(length(memory), 4)

    [before, last] =
      memory
      |> Enum.take(-2 * quarter)
      |> Enum.chunk_every(quarter)
      |> Enum.map(&(Enum.sum(&1) / quarter))

    last - before < 64
  end
end
