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

  @doc "Waits until everything below a position of the log is on disc."
  @spec durable(non_neg_integer) :: :ok | {:"$error", term}
  def durable(position) do
    ref = make_ref()

    case Native.log_wait(position, ref) do
      :queued ->
        receive do
          {^ref, :ok} -> :ok
          {^ref, {:error, reason}} -> {:"$error", {:not_durable, reason}}
        end

      answer ->
        answer
    end
  end

  @doc "Waits until the log may have room; the caller tries again then, and is told what is wrong."
  @spec room(non_neg_integer) :: :ok
  def room(bytes) do
    ref = make_ref()

    case Native.log_room(bytes, ref) do
      :queued ->
        receive do
          {^ref, _answer} -> :ok
        end

      _answer ->
        :ok
    end
  end

  @doc "Calls the function until the log has room for what it does."
  @spec with_room((() -> answer)) :: answer when answer: term
  def with_room(fun) do
    case fun.() do
      {:"$room", bytes} ->
        room(bytes)
        with_room(fun)

      answer ->
        answer
    end
  end
end
