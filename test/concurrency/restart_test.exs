defmodule Remnesia.RestartTest do
  use ExUnit.Case, async: false

  import Stress

  alias Remnesia.Engine

  # A transaction that must give way runs again as a whole, as often as it was allowed to, whatever its function makes of the signal.

  setup do
    table = table()
    fill(table, for(key <- 1..2, do: {key, 0}))
    %{table: table}
  end

  # An elder process that has key 1 and waits for key 2, which the caller has: so the caller must give way.
  defp elder(table, hold \\ 20) do
    me = self()

    pid =
      spawn_link(fn ->
        atomic(fn ->
          value(table, 1, :write)
          # A first conflict gives it its age.
          send(me, {:has, self()})
          receive(do: (:meet -> :ok))
          value(table, 2, :write)
          Process.sleep(hold)
        end)

        send(me, {:finished, self()})
      end)

    receive(do: ({:has, ^pid} -> pid))
  end

  defp finished(pid), do: receive(do: ({:finished, ^pid} -> :ok))

  # Takes key 2, makes the elder wait for it and asks for key 1.
  defp collide(table, elder) do
    n = value(table, 2, :write)
    write(table, {2, n + 1})

    if Process.put(:told, true) == nil do
      send(elder, :meet)
      wait_until_waiting(elder)
    end

    value(table, 1, :write)
  end

  defp wait_until_waiting(pid) do
    case Process.info(pid, [:status, :current_function]) do
      [status: :waiting, current_function: {Remnesia.Engine.Local.Wait, :lock, 1}] -> :ok
      _other -> Process.sleep(1) && wait_until_waiting(pid)
    end
  end

  test "side effects run again, writes do not count twice", %{table: table} do
    elder = elder(table)
    me = self()

    atomic(fn ->
      send(me, :effect)
      collide(table, elder)
    end)

    finished(elder)
    assert_received :effect
    assert_received :effect
    refute_received :effect
    assert atomic(fn -> value(table, 2) end) == 1
    assert_clean(table)
  end

  test "retries count runs", %{table: table} do
    for {runs, expected} <- [
          {1, {:aborted, :nomore}},
          {0, {:aborted, :nomore}},
          {2, {:atomic, 0}}
        ] do
      Process.delete(:told)
      elder = elder(table)
      before = atomic(fn -> 0 end)
      assert before == 0
      assert Engine.transaction(fn -> collide(table, elder) end, runs) == expected
      finished(elder)
      assert_clean(table)
    end

    assert atomic(fn -> value(table, 2) end) == 1
    refute Process.get(:"$remnesia_doomed")
  end

  test "nested transactions give way as a whole", %{table: table} do
    elder = elder(table)

    atomic(fn ->
      write(table, {:outer, :written})
      {:atomic, 0} = Engine.transaction(fn -> collide(table, elder) end, 1)
    end)

    finished(elder)
    assert atomic(fn -> value(table, 2) end) == 1
    assert_clean(table)
  end

  # What a function may do with the exit that tells it to run again.
  swallows = [
    value: quote(do: fn -> :swallowed end),
    raise: quote(do: fn -> raise "mine" end),
    throw: quote(do: fn -> throw(:mine) end),
    exit: quote(do: fn -> exit(:mine) end),
    abort: quote(do: fn -> Engine.abort(:mine) end),
    write: quote(do: fn -> write(:any, {1, 2}) end)
  ]

  for {name, swallow} <- swallows, nested <- [false, true] do
    @tag nested: nested
    test "a catch-all around the signal commits nothing: #{name}, nested #{nested}", %{
      table: table,
      nested: nested
    } do
      elder = elder(table)
      runs = :counters.new(1, [])

      fun = fn ->
        :counters.add(runs, 1, 1)

        try do
          collide(table, elder)
        catch
          _kind, _reason ->
            write_anyway(table)
            unquote(swallow).()
        end

        :done
      end

      fun =
        if nested, do: fn -> with({:atomic, v} <- Engine.transaction(fun), do: v) end, else: fun

      assert {:atomic, :done} = Engine.transaction(fun)
      finished(elder)
      assert :counters.get(runs, 1) == 2
      assert atomic(fn -> {value(table, 2), value(table, :anyway)} end) == {1, nil}
      assert_clean(table)
    end
  end

  defp write_anyway(table) do
    write(table, {:anyway, true})
  catch
    :exit, _reason -> :ok
  end

  test "a million reruns leave no stack", %{table: table} do
    # The native side says restart as long as it is told to; here the conflict is real, many times over.
    done = hammer(500, List.duplicate(fn -> atomic(fn -> swap(table) end) end, 8))
    assert Enum.all?(done, &(&1 > 0))
    assert_clean(table)
  end

  defp swap(table) do
    [a, b] = Enum.shuffle([1, 2])
    value(table, a, :write)
    :erlang.yield()
    value(table, b, :write)
  end
end
