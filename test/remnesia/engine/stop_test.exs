defmodule Remnesia.StopTest do
  use ExUnit.Case

  # Not async: the application is stopped.

  alias Remnesia.{Native, Query, Table, Transaction}

  defmodule Waited do
    use Remnesia.Table, attributes: [:id, :value]
  end

  test "who waits for a lock when the database stops is told so, and nothing stays" do
    Table.create!(Waited)
    test = self()

    holder =
      spawn_link(fn ->
        Transaction.execute(fn ->
          Query.write(%Waited{id: 1})
          send(test, :held)
          receive do: (:go -> :ok)
        end)

        send(test, :holder_done)
      end)

    assert_receive :held
    waiter = Task.async(fn -> Transaction.execute(fn -> Query.read(Waited, 1) end) end)
    assert Task.yield(waiter, 50) == nil
    :ok = Application.stop(:remnesia)
    assert Task.yield(waiter, 2_000) == {:ok, {:error, {:node_not_running, node()}}}
    send(holder, :go)
    assert_receive :holder_done, 2_000
    {:ok, _} = Application.ensure_all_started(:remnesia)
    assert Native.lock_count() == 0
  end
end
