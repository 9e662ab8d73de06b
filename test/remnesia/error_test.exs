defmodule Remnesia.ErrorTest do
  use ExUnit.Case, async: true

  require Remnesia.Error
  require Remnesia.MnesiaException
  require Remnesia.TransactionAborted

  alias Remnesia.Error

  doctest Remnesia.Error
  doctest Remnesia.MnesiaException
  doctest Remnesia.TransactionAborted

  test "default message" do
    assert_raise Error, "Operation Failed", fn -> Error.raise() end
    assert_raise Error, "no", fn -> Error.raise("no") end
    assert_raise Error, "Operation Failed", fn -> raise Error end
  end

  test "each reason becomes its exception" do
    for wrap <- [& &1, &{:error, &1}, &{:aborted, &1}] do
      assert %Remnesia.NoTransactionError{message: "Not inside a Remnesia Transaction"} =
               Error.normalize(wrap.(:no_transaction))

      assert %Remnesia.DoesNotExistError{message: ":t does not exist or is not alive"} =
               Error.normalize(wrap.({:no_exists, :t}))

      assert %Remnesia.AlreadyExistsError{message: ":t already exists"} =
               Error.normalize(wrap.({:already_exists, :t}))

      assert %Remnesia.InvalidOperationError{message: "Autoincrement is odd"} =
               Error.normalize(wrap.({:autoincrement, "is odd"}))

      assert %Remnesia.MnesiaException{data: {:no_exists, :t, :all}} =
               Error.normalize(wrap.({:no_exists, :t, :all}))
    end
  end

  test "three lines for everything else" do
    assert Error.normalize({:no_exists, :t, :all}).message ==
             "Mnesia operation failed\n   Tried to perform op on non-existing (non alive) item\n" <>
               "   Mnesia Error: {:no_exists, :t, :all}"

    assert Error.normalize(:odd).message ==
             "Mnesia operation failed\n   :odd\n   Mnesia Error: :odd"

    assert Error.normalize({1, 2, 3, 4}).message =~ "\n   {1, 2, 3, 4}\n"
  end

  test "descriptions are stock's" do
    reasons =
      [
        :nested_transaction,
        :badarg,
        :no_transaction,
        :combine_error,
        :bad_index,
        :already_exists,
        :index_exists
      ] ++
        [:no_exists, :system_limit, :mnesia_down, :not_a_db_node, :bad_type, :node_not_running] ++
        [
          :truncated_binary_file,
          :active,
          :illegal,
          :other,
          {:no_exists, :t},
          {:error, :badarg},
          {:aborted, {:bad_type, 1}},
          7
        ]

    for reason <- reasons do
      assert Remnesia.Engine.error_description(reason) == :mnesia.error_description(reason)
    end
  end

  test "macros" do
    assert_raise Remnesia.DoesNotExistError, fn ->
      Error.raise_from_code({:error, {:no_exists, :t}})
    end

    assert_raise Remnesia.MnesiaException, ~r/Node not running/, fn ->
      Remnesia.MnesiaException.raise({:node_not_running, :n})
    end

    assert_raise Remnesia.TransactionAborted, "Transaction aborted with: :x", fn ->
      Remnesia.TransactionAborted.raise(:x)
    end
  end
end
