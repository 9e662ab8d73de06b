defmodule Remnesia.BadInputTest do
  use ExUnit.Case, async: false

  import Stress

  alias Remnesia.{Engine, Native}

  # Whatever a native function is called with, it answers or raises: the VM lives, nothing is locked, tables stay sound.

  setup do
    table = table(index: [:group])
    fill(table, for(id <- 1..20, do: {id, id, rem(id, 3)}))
    atomic(fn -> :ok end)
    %{table: table, handle: Process.get(:"$remnesia_transaction")}
  end

  test "a handle of another process is refused", %{table: table, handle: handle} do
    calls = [
      fn -> Native.txn_begin(handle) end,
      fn -> Native.txn_commit(handle) end,
      fn -> Native.txn_abort(handle) end,
      fn -> Native.txn_restart(handle) end,
      fn -> Native.txn_wait(handle, make_ref()) end,
      fn -> Native.txn_depth(handle) end,
      fn -> Native.txn_serial(handle) end,
      fn -> Native.read(handle, table, 1, :read) end,
      fn -> Native.write(handle, table, {table, 1, 1, 1}, :write) end,
      fn -> Native.select(handle, table, [{:_, [], [:"$_"]}], :read, 0) end,
      fn -> Native.lock_table(handle, table, :write) end,
      fn -> Native.table_delete(handle, table) end,
      fn -> Native.test_panic(handle, nil) end
    ]

    atomic(fn ->
      write(table, {1, :mine})

      for call <- calls do
        assert_raise ArgumentError, fn ->
          raise Task.await(Task.async(fn -> catch_error(call.()) end)) |> wrap()
        end
      end

      assert value(table, 1) == :mine
    end)

    assert_clean(table)
  end

  defp wrap(:badarg), do: %ArgumentError{}
  defp wrap(error), do: error

  test "a handle or a continuation is worth nothing in another's place", %{
    table: table,
    handle: handle
  } do
    atomic(fn ->
      {:limit, _, continuation} = Native.select(handle, table, [{:_, [], [:"$_"]}], :read, 2)

      for wrong <- [make_ref(), handle, nil, self()],
          do: assert_raise(ArgumentError, fn -> Native.select_next(handle, wrong) end)

      for wrong <- [make_ref(), continuation],
          do: assert_raise(ArgumentError, fn -> Native.read(wrong, table, 1, :read) end)
    end)

    # After its transaction a continuation is of no use, and no harm.
    {:limit, _, continuation} = Native.select(nil, table, [{:_, [], [:"$_"]}], :read, 2)
    assert {:limit, [_, _], _} = Native.select_next(nil, continuation)
    assert_clean(table)
  end

  # Changes what the whole database is, is there to do harm, or runs as long as it is told to.
  @apart [
    :db_start,
    :db_stop,
    :disc_open,
    :disc_close,
    :load,
    :path,
    :module_info,
    :test_panic,
    :test_time
  ]

  test "every function with everything", %{table: table, handle: handle} do
    functions =
      for {name, arity} <- Native.__info__(:functions), name not in @apart, do: {name, arity}

    assert length(functions) > 40
    before = Native.tables()

    for {name, arity} <- functions, inside <- [false, true], _ <- 1..200 do
      arguments = for _ <- 1..arity//1, do: junk(table, handle)

      # A reset is what a transaction gets whatever happened in it.
      if inside, do: try_call(:txn_begin, [handle])
      result = try_call(name, arguments)

      assert match?({:ok, _}, result) or match?({:error, :badarg}, result),
             inspect({name, arguments, result}, limit: 5)

      drain(handle)
    end

    for made <- Native.tables() -- before,
        do:
          Native.txn_begin(handle) && Native.table_delete(handle, made) &&
            Native.txn_abort(handle)

    drain(handle)
    until(fn -> Native.lock_count() == 0 end)
    # Transactions still work; so does the table, if it is still there with its shape.
    other = table()
    assert atomic(fn -> write(other, {1, 2}) end) == :ok
    flush()
  end

  defp try_call(name, arguments) do
    {:ok, apply(Native, name, arguments)}
  rescue
    error -> {:error, if(match?(%ArgumentError{}, error), do: :badarg, else: error)}
  catch
    kind, reason -> {kind, reason}
  end

  defp drain(handle),
    do:
      if(Native.txn_depth(handle) > 0,
        do: Native.txn_abort(handle) && drain(handle),
        else: Native.txn_abort(handle)
      )

  defp flush, do: receive(do: (_ -> flush()), after: (0 -> :ok))

  defp junk(table, handle) do
    case :rand.uniform(28) do
      1 -> nil
      2 -> 1
      3 -> -1
      4 -> :a
      5 -> "b"
      6 -> []
      7 -> %{}
      8 -> self()
      9 -> make_ref()
      10 -> 9_223_372_036_854_775_807
      11 -> -9_223_372_036_854_775_808
      12 -> Bitwise.bsl(1, 4000)
      13 -> String.duplicate("x", 100_000)
      14 -> Enum.to_list(1..50_000)
      15 -> [1 | 2]
      16 -> {}
      17 -> {table, 1, 2}
      18 -> {table, 1, 2, 3}
      19 -> [{:_, [], [:"$_"]}]
      20 -> [{{table, :"$1", :_, :_}, [{:foo, :"$1"}], [:"$_"]}]
      21 -> fn x -> x end
      22 -> 1.5
      23 -> Enum.random([:read, :write, :set, :bag, :ordered_set])
      24 -> deep(20_000)
      n when n < 27 -> table
      _ -> handle
    end
  end

  defp deep(n), do: Enum.reduce(1..n, [], fn _, inner -> [inner] end)

  test "calls out of order leave no lock", %{table: table, handle: handle} do
    other =
      spawn_link(fn -> atomic(fn -> value(table, 1, :write) && receive(do: (:end -> :ok)) end) end)

    until(fn -> Native.lock_count() > 0 end)

    steps = [
      :txn_begin,
      :txn_commit,
      :txn_abort,
      :txn_restart,
      :txn_wait,
      :read,
      :write,
      :lock_table,
      :select
    ]

    for _ <- 1..20_000 do
      case Enum.random(steps) do
        :txn_wait -> Native.txn_wait(handle, make_ref())
        :read -> Native.read(handle, table, Enum.random([1, 2]), Enum.random([:read, :write]))
        :write -> Native.write(handle, table, {table, Enum.random([1, 2, 3]), 1, 1}, :write)
        :lock_table -> Native.lock_table(handle, table, Enum.random([:read, :write]))
        :select -> Native.select(handle, table, [{:_, [], [:"$_"]}], :read, 0)
        step -> apply(Native, step, [handle])
      end
    end

    drain(handle)
    send(other, :end)
    flush()
    assert_clean(table)
    assert atomic(fn -> write(table, {1, 1}) end) == :ok
    assert Engine.transaction(fn -> value(table, 1) end) == {:atomic, 1}
  end

  defp until(fun), do: fun.() || (Process.sleep(1) && until(fun))
end
