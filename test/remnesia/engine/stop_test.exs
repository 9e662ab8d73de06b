defmodule Remnesia.StopTest do
  use ExUnit.Case

  # Not async: the application is stopped.

  alias Remnesia.Native

  test "who waits for a lock when the database stops is told so, and nothing stays" do
    table = :stop_test
    :ok = Native.table_create(table, :set, 3, table, [], [])
    test = self()

    holder =
      spawn_link(fn ->
        Remnesia.Engine.Local.transaction(fn ->
          txn = Process.get(:"$remnesia_transaction")
          :ok = Native.lock_record(txn, table, 1, :write)
          send(test, :held)
          receive do: (:go -> :ok)
        end)

        send(test, :holder_done)
      end)

    assert_receive :held

    waiter =
      Task.async(fn ->
        Remnesia.Transaction.execute(fn ->
          txn = Process.get(:"$remnesia_transaction")
          read(txn, table)
        end)
      end)

    Process.sleep(50)
    assert Task.yield(waiter, 0) == nil
    :ok = Application.stop(:remnesia)
    assert {:ok, answer} = Task.yield(waiter, 2_000)
    assert answer == {:error, {:node_not_running, node()}}
    send(holder, :go)
    assert_receive :holder_done, 2_000
    {:ok, _} = Application.ensure_all_started(:remnesia)
    assert Native.lock_count() == 0
  end

  defp read(_txn, table), do: Remnesia.Engine.read(table, 1, :read)
end
