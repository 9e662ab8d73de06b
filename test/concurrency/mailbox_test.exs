defmodule Remnesia.MailboxTest do
  use ExUnit.Case, async: false

  import Stress

  alias Remnesia.Engine

  # A mailbox full of messages costs a transaction nothing, waiting included; nothing is taken from it and nothing is left in it.

  @messages 100_000

  setup do
    table = table()
    fill(table, for(key <- 1..10, do: {key, 0}))
    %{table: table}
  end

  defp with_messages(count, fun) do
    Task.async(fn ->
      for n <- 1..count//1, do: send(self(), {:unread, n})
      result = fun.()
      assert {:message_queue_len, ^count} = Process.info(self(), :message_queue_len)
      {:messages, messages} = Process.info(self(), :messages)
      assert messages == for(n <- 1..count//1, do: {:unread, n})
      result
    end)
    |> Task.await(60_000)
  end

  test "reads and writes", %{table: table} do
    work = fn ->
      median(300, fn -> atomic(fn -> write(table, {1, value(table, 1) + 1}) end) end)
    end

    compare("a transaction", work, 3)
  end

  test "waiting for a lock", %{table: table} do
    # The holder lets go as soon as it sees that somebody waits.
    work = fn ->
      me = self()

      median(100, fn ->
        held = :counters.new(1, [])
        spawn_link(fn -> atomic(fn -> hold(table, me, held) end) end)
        until(fn -> :counters.get(held, 1) > 0 end)
        atomic(fn -> value(table, 1, :write) end)
      end)
    end

    compare("a transaction that waits", work, 3)
    assert_clean(table)
  end

  defp hold(table, waiter, held) do
    value(table, 1, :write)
    :counters.add(held, 1, 1)
    until_waiting(waiter)
  end

  defp until_waiting(pid) do
    case Process.info(pid, :current_function) do
      {:current_function, {Remnesia.Engine.Local.Wait, :lock, 1}} -> :ok
      _other -> :erlang.yield() && until_waiting(pid)
    end
  end

  test "waiting for a large commit", %{table: table} do
    with_messages(@messages, fn ->
      flag = :counters.new(1, [])

      committer =
        spawn_link(fn ->
          atomic(fn ->
            for key <- 1..30_000, do: write(table, {key, :committed})
            :counters.add(flag, 1, 1)
          end)
        end)

      until(fn -> :counters.get(flag, 1) == 1 end)
      for key <- 1..30_000//7, do: :ok = Engine.dirty_write(table, {table, key, :dirty, nil})
      until(fn -> not Process.alive?(committer) end)
    end)

    assert_clean(table)
  end

  test "no grant is left in a mailbox", %{table: table} do
    workers = 16

    1..workers
    |> Enum.map(fn _ ->
      Task.async(fn ->
        for _ <- 1..200 do
          [a, b] = Enum.take_random(1..10, 2)

          Engine.transaction(
            fn ->
              value(table, a)
              :erlang.yield()
              write(table, {b, 1})
              if :rand.uniform(5) == 1, do: Engine.abort(:x)
              if :rand.uniform(5) == 1, do: write(table, {a, 1})
            end,
            :rand.uniform(3)
          )
        end

        Process.sleep(20)
        assert Process.info(self(), :messages) == {:messages, []}
      end)
    end)
    |> Task.await_many(60_000)

    assert_clean(table)
  end

  defp compare(what, work, factor) do
    # The better of a few rounds each: the machine is shared.
    times =
      for count <- [0, @messages], do: Enum.min(for(_ <- 1..3, do: with_messages(count, work)))

    [empty, full] = times
    IO.puts("\n    #{what}: #{empty} ns, with #{@messages} messages #{full} ns")
    assert full <= factor * empty + 5000
  end

  defp median(count, fun) do
    times = for _ <- 1..count, do: nanoseconds(fun)
    times |> percentiles([0.5]) |> hd()
  end

  defp nanoseconds(fun) do
    begun = System.monotonic_time(:nanosecond)
    fun.()
    System.monotonic_time(:nanosecond) - begun
  end

  defp until(fun), do: fun.() || (:erlang.yield() && until(fun))
end
