defmodule Remnesia.KilledChangeTest do
  use ExUnit.Case, async: false

  # A process that changes the schema is killed at any moment: what memory says and what disc says is the same, and others write on.

  alias Remnesia.{Engine, Native, OnDisc}

  @moduletag timeout: 120_000

  setup do
    %{dir: OnDisc.start()}
  end

  # After up to a few milliseconds; true if it was done before.
  defp killed(fun) do
    {pid, monitor} = spawn_monitor(fn -> exit({:done, fun.()}) end)
    pause(:rand.uniform(Enum.random([1_000, 5_000, 40_000])))
    Process.exit(pid, :kill)

    done? =
      receive do
        {:DOWN, ^monitor, :process, ^pid, {:done, {:atomic, :ok}}} -> true
        {:DOWN, ^monitor, :process, ^pid, :killed} -> false
      end

    # A change that has begun goes on to its end, and the next one waits for that.
    pause(1_000)
    {:aborted, :waited} = Remnesia.Engine.Local.Schema.refuse(:waited)
    done?
  end

  # Microseconds, which no sleep can do.
  defp pause(us) do
    ends = System.monotonic_time(:microsecond) + us
    Stream.repeatedly(fn -> System.monotonic_time(:microsecond) end) |> Enum.find(&(&1 >= ends))
  end

  test "a conversion, with writers in the middle of it" do
    {:atomic, :ok} = Engine.create_table(:t, disc_copies: [node()])
    for i <- 1..2_000, do: :ok = Engine.dirty_write(:t, {:t, {0, i}, i})
    stop = :atomics.new(1, [])

    writers =
      for w <- 1..2 do
        Task.async(fn ->
          Stream.iterate(1, &(&1 + 1))
          |> Enum.find(fn i ->
            :ok = Engine.dirty_write(:t, {:t, {w, rem(i, 200)}, i})
            :atomics.get(stop, 1) == 1
          end)
        end)
      end

    done =
      for _ <- 1..60 do
        now = Engine.table_info(:t, :storage_type)
        next = if now == :ram_copies, do: :disc_copies, else: :ram_copies
        done? = killed(fn -> Engine.change_table_copy_type(:t, node(), next) end)
        after_it = Engine.table_info(:t, :storage_type)
        if done?, do: assert(after_it == next), else: assert(after_it in [now, next])
        {_number, rows?} = Native.table_disc(:t)
        assert rows? == (after_it == :disc_copies)
        # Nobody waits for the dead.
        :ok = Engine.dirty_write(:t, {:t, {0, 1}, 1})
        done?
      end

    IO.puts("\n    #{Enum.count(done, & &1)} of 60 conversions done, the others killed")
    :atomics.put(stop, 1, 1)
    Task.await_many(writers, 30_000)
    if Engine.table_info(:t, :storage_type) == :ram_copies, do: to_disc()
    before = all()
    OnDisc.restart()
    now = all()
    assert {now -- before, before -- now} == {[], []}
    assert Native.table_check(:t) == :ok
  end

  defp to_disc, do: {:atomic, :ok} = Engine.change_table_copy_type(:t, node(), :disc_copies)
  defp all, do: :t |> Engine.dirty_select([{:_, [], [:"$_"]}]) |> Enum.sort()

  test "a table in memory after a kill has left nothing on disc" do
    {:atomic, :ok} = Engine.create_table(:t, disc_copies: [node()])

    for round <- 1..15 do
      :ok = Engine.dirty_write(:t, {:t, 1, round})
      killed(fn -> Engine.change_table_copy_type(:t, node(), :ram_copies) end)
      type = Engine.table_info(:t, :storage_type)
      :ok = Engine.dirty_write(:t, {:t, 2, round})
      OnDisc.restart()
      assert Engine.table_info(:t, :storage_type) == type

      case type do
        :disc_copies ->
          assert all() == [{:t, 1, round}, {:t, 2, round}]

        :ram_copies ->
          assert all() == []
          to_disc()
      end
    end
  end

  test "a table that is created or deleted is there once or not at all" do
    for i <- 1..40 do
      table = :"made_#{i}"
      create = fn -> Engine.create_table(table, disc_copies: [node()]) end
      done? = killed(create)

      case create.() do
        {:atomic, :ok} -> refute done?
        {:aborted, {:already_exists, ^table}} -> :ok
      end

      :ok = Engine.dirty_write(table, {table, i, i})
      if rem(i, 4) == 0, do: killed(fn -> Engine.delete_table(table) end)
    end

    there = Native.tables() |> Enum.sort()
    OnDisc.restart()
    assert Enum.sort(Native.tables()) == there

    for table <- there do
      "made_" <> i = Atom.to_string(table)
      i = String.to_integer(i)
      assert Engine.dirty_read(table, i) == [{table, i, i}]
    end
  end
end
