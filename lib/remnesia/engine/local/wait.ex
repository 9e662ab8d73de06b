defmodule Remnesia.Engine.Local.Wait do
  @moduledoc false

  # Waiting happens here, in the calling process, and nowhere else. The reference is made in the function that receives
  # and is in every clause, so the compiler marks the mailbox at make_ref and the receive starts looking there: a process
  # with 100,000 unread messages waits as cheaply as one with none. test/remnesia/engine/local/wait_test.exs checks the
  # compiled code for that.

  alias Remnesia.Native

  @doc "Waits for the lock that the last operation of this transaction asked for."
  @spec lock(reference) :: :ok | :restart | {:"$error", term}
  def lock(txn) do
    ref = make_ref()

    case Native.txn_wait(txn, ref) do
      :queued ->
        receive do
          {^ref, :granted} -> :ok
          {^ref, :restart} -> :restart
        end

      :ok ->
        :ok

      :"$restart" ->
        :restart

      {:"$error", _reason} = error ->
        error
    end
  end

  @doc "Waits until the large commit that is writing this key has written it."
  @spec commit(term, term) :: :ok
  def commit(table, key) do
    ref = make_ref()

    case Native.commit_wait(table, key, ref) do
      :queued ->
        receive do
          {^ref, :committed} -> :ok
        end

      # It is over already; or the table is gone, which the operation will find itself.
      _over ->
        :ok
    end
  end
end
