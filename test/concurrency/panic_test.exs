defmodule Remnesia.PanicTest do
  use ExUnit.Case, async: false

  import Stress

  alias Remnesia.{Engine, Native}

  # A panic in the native library is an error of the call, no more: nothing stays locked, and a table it may have damaged says so.

  defp handle do
    atomic(fn -> :ok end)
    Process.get(:"$remnesia_transaction")
  end

  test "in a transaction" do
    table = table()
    fill(table, [{1, 0}])
    handle = handle()

    assert {:aborted, {:panic, text}} =
             Engine.transaction(fn ->
               write(table, {1, 1})
               {:"$error", reason} = Native.test_panic(handle, nil)
               Engine.abort(reason)
             end)

    assert is_binary(text)
    assert_clean(table)
    assert atomic(fn -> value(table, 1) end) == 0
    assert atomic(fn -> write(table, {1, 2}) end) == :ok
  end

  test "in a transaction whose function goes on" do
    table = table()
    handle = handle()

    result =
      Engine.transaction(fn ->
        write(table, {1, 1})
        {:"$error", {:panic, _}} = Native.test_panic(handle, nil)
        :went_on
      end)

    assert result == {:aborted, :no_transaction}
    assert atomic(fn -> value(table, 1) end) == nil
    assert_clean(table)
  end

  test "in an inner transaction: the outer one is over too, whatever it does" do
    table = table()
    handle = handle()

    result =
      Engine.transaction(fn ->
        write(table, {1, 1})

        {:aborted, _} =
          Engine.transaction(fn ->
            {:"$error", reason} = Native.test_panic(handle, nil)
            Engine.abort(reason)
          end)

        Engine.transaction(fn -> write(table, {2, 2}) end)
        :went_on
      end)

    assert {:aborted, :no_transaction} = result
    assert atomic(fn -> {value(table, 1), value(table, 2)} end) == {nil, nil}
    assert_clean(table)
  end

  test "while a table is changed" do
    table = table(index: [:group])
    other = table()
    fill(table, [{1, 0}])
    assert {:"$error", {:panic, _}} = Native.test_panic(nil, table)
    damaged = {:table_damaged, table}

    assert Engine.transaction(fn -> value(table, 1) end) == {:aborted, damaged}
    assert Engine.transaction(fn -> write(table, {1, 1}) end) == {:aborted, damaged}
    assert Engine.transaction(fn -> Engine.all_keys(table) end) == {:aborted, damaged}
    assert Engine.transaction(fn -> Engine.index_read(table, 1, 4) end) == {:aborted, damaged}
    assert {:"$error", ^damaged} = Native.read(nil, table, 1, :read)
    assert {:"$error", ^damaged} = Native.write(nil, table, {table, 1, 1, 1}, :write)
    assert {:"$error", ^damaged} = Native.select(nil, table, [{:_, [], [:"$_"]}], :read, 0)
    assert {:"$error", ^damaged} = Native.first(nil, table)
    assert {:error, _text} = Native.table_check(table)
    assert atomic(fn -> write(other, {1, 1}) end) == :ok
    assert Native.lock_count() == 0
    # It can still be thrown away.
    assert Engine.delete_table(table) == {:atomic, :ok}
    assert Native.lock_count() == 0
  end

  test "a scan that had begun before" do
    table = table(index: [:group])
    fill(table, for(id <- 1..100, do: {id, id, id}))

    assert {:aborted, {:table_damaged, ^table}} =
             Engine.transaction(fn ->
               {_, more} = Engine.select(table, [{:_, [], [:"$_"]}], 10, :read)
               {:"$error", {:panic, _}} = Native.test_panic(nil, table)
               Engine.select(more)
             end)
  end

  test "a commit into a damaged table is refused" do
    [table, sound] = [table(index: [:group]), table()]

    assert {:aborted, {:table_damaged, ^table}} =
             Engine.transaction(fn ->
               write(table, {1, 1})
               write(sound, {1, 1})
               {:"$error", {:panic, _}} = Native.test_panic(nil, table)
             end)

    assert atomic(fn -> value(sound, 1) end) == nil
    assert Native.lock_count() == 0
  end
end
