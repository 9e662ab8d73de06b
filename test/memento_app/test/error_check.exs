defmodule ErrorCheck do
  use ExUnit.Case, async: true

  require Memento.Error
  require Memento.Mnesia
  require Memento.MnesiaException
  require Memento.TransactionAborted

  alias Memento.{Error, Mnesia}

  test "reasons that have an exception" do
    for {reason, exception} <- [
          {:no_transaction,
           %Memento.NoTransactionError{message: "Not inside a Memento Transaction"}},
          {{:no_exists, X},
           %Memento.DoesNotExistError{message: "X does not exist or is not alive"}},
          {{:already_exists, X}, %Memento.AlreadyExistsError{message: "X already exists"}},
          {{:autoincrement, "no"}, %Memento.InvalidOperationError{message: "Autoincrement no"}}
        ] do
      assert Error.normalize(reason) == exception
      assert Error.normalize({:error, reason}) == exception
      assert Error.normalize({:aborted, reason}) == exception

      assert_raise exception.__struct__, exception.message, fn ->
        Error.raise_from_code(reason)
      end
    end
  end

  test "all others" do
    exception = Error.normalize({:bad_type, X, :disc_copies})
    assert %Memento.MnesiaException{data: {:bad_type, X, :disc_copies}} = exception

    assert String.split(exception.message, ~r/\n\s*/) == [
             "Mnesia operation failed",
             "Bad type on some provided arguments",
             "Mnesia Error: {:bad_type, X, :disc_copies}"
           ]

    assert %Memento.MnesiaException{} = Error.normalize({:no_exists, X, :item})
    assert %Memento.MnesiaException{} = Error.normalize({:already_exists, X, node()})
    assert_raise Memento.MnesiaException, fn -> Memento.MnesiaException.raise({:bad_type, X}) end
  end

  test "raising" do
    assert_raise Memento.Error, "mine", fn -> Error.raise("mine") end
    assert_raise Memento.Error, "Operation Failed", fn -> raise Memento.Error end

    assert_raise Memento.TransactionAborted, "Transaction aborted with: :enough", fn ->
      Memento.TransactionAborted.raise(:enough)
    end
  end

  test "calls and results" do
    assert Mnesia.call(:system_info, [:is_running]) == :yes
    assert catch_exit(Mnesia.call(:system_info, [:bogus])) == {:aborted, {:badarg, :bogus}}
    assert Mnesia.call_and_catch(:system_info, [:is_running]) == :yes
    assert_raise Memento.MnesiaException, fn -> Mnesia.call_and_catch(:system_info, [:bogus]) end

    assert Mnesia.handle_result(:ok) == :ok
    assert Mnesia.handle_result({:atomic, :ok}) == :ok
    assert Mnesia.handle_result({:atomic, 1}) == {:ok, 1}
    assert Mnesia.handle_result({:error, 1}) == {:error, 1}
    assert Mnesia.handle_result({:aborted, 1}) == {:error, 1}
    assert_raise RuntimeError, fn -> Mnesia.handle_result({:aborted, {%RuntimeError{}, []}}) end
  end
end
