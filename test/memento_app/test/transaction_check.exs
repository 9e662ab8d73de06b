defmodule TransactionCheck do
  use ExUnit.Case

  import Check

  alias Memento.{Query, Transaction}
  alias MementoApp.Movie

  setup :tables

  @execute [&Transaction.execute/1, &Transaction.execute_sync/1, &Memento.transaction/1]
  @execute! [&Transaction.execute!/1, &Transaction.execute_sync!/1, &Memento.transaction!/1]

  test "values" do
    for execute <- @execute do
      assert execute.(fn -> 1 end) == {:ok, 1}
      assert execute.(fn -> :ok end) == :ok
      assert execute.(fn -> {:error, 1} end) == {:ok, {:error, 1}}
    end

    for execute! <- @execute! do
      assert execute!.(fn -> 1 end) == 1
      assert execute!.(fn -> :ok end) == :ok
    end
  end

  test "abort" do
    for execute <- @execute do
      assert execute.(fn -> Transaction.abort(:enough) end) ==
               {:error, {:transaction_aborted, :enough}}

      assert execute.(fn -> Transaction.abort() end) ==
               {:error, {:transaction_aborted, :no_reason_given}}
    end

    for execute! <- @execute! do
      assert_raise Memento.TransactionAborted, "Transaction aborted with: :enough", fn ->
        execute!.(fn -> Transaction.abort(:enough) end)
      end
    end

    message = "Not inside a Memento Transaction"
    assert_raise Memento.NoTransactionError, message, fn -> Transaction.abort() end
    assert_raise Memento.NoTransactionError, message, fn -> Transaction.abort(:enough) end
  end

  test "exits" do
    for execute <- @execute, do: assert(execute.(fn -> exit(:stop) end) == {:error, :stop})

    for execute! <- @execute! do
      assert_raise Memento.Error, "Transaction Failed with: :stop", fn ->
        execute!.(fn -> exit(:stop) end)
      end
    end
  end

  test "errors and throws" do
    for execute <- @execute ++ @execute! do
      assert_raise RuntimeError, "mine", fn -> execute.(fn -> raise "mine" end) end

      assert_raise ArithmeticError, fn ->
        execute.(fn -> :erlang.error(:badarith) end)
      end

      assert_raise BadArityError, fn -> execute.(fn _ -> 1 end) end
      assert catch_throw(execute.(fn -> throw(:ball) end)) == :ball
    end

    for execute <- @execute do
      assert {:error, {:my, [_ | _]}} = execute.(fn -> :erlang.error(:my) end)
    end

    for execute! <- @execute! do
      assert_raise Memento.Error, ~r/^Transaction Failed with: {:my/, fn ->
        execute!.(fn -> :erlang.error(:my) end)
      end
    end
  end

  test "what is no function, or no number of retries" do
    assert {:error, {:badarg, :none, [], _, _}} = Transaction.execute(:none)
    fun = fn -> 1 end
    assert {:error, {:badarg, ^fun, _, _, _}} = Transaction.execute(fun, :often)
    assert {:error, {:badarg, ^fun, _, _, _}} = Transaction.execute_sync(fun, -1)
    assert_raise Memento.Error, fn -> Transaction.execute!(:none) end
    assert_raise Memento.Error, fn -> Transaction.execute_sync!(fun, :often) end
    assert Transaction.execute(fun, 3) == {:ok, 1}
    assert Transaction.execute_sync(fun, :infinity) == {:ok, 1}
    assert Transaction.execute!(fun, 0) == 1
    assert Transaction.execute_sync!(fun, 3) == 1
  end

  test "inside?" do
    refute Transaction.inside?()
    assert Memento.transaction!(&Transaction.inside?/0)
  end

  test "a nested one fails alone" do
    assert Memento.transaction!(fn ->
             Query.write(%Movie{id: 10})

             inner =
               Memento.transaction(fn ->
                 Query.write(%Movie{id: 11})
                 Transaction.abort(:inner)
               end)

             {inner, Query.read(Movie, 10), Query.read(Movie, 11)}
           end) == {{:error, {:transaction_aborted, :inner}}, %Movie{id: 10}, nil}
  end

  test "nothing of a failed one is written" do
    assert {:error, _} =
             Memento.transaction(fn -> Query.delete(Movie, 1) && Transaction.abort() end)

    assert Memento.transaction!(fn -> Query.read(Movie, 1) end) == hd(MementoApp.movies())
  end

  test "many processes count together" do
    MementoApp.write([%Movie{id: :count, year: 0}])

    1..8
    |> Task.async_stream(fn _ ->
      for _ <- 1..50 do
        Memento.transaction!(fn ->
          %Movie{year: year} = movie = Query.read(Movie, :count, lock: :write)
          Query.write(%{movie | year: year + 1})
        end)
      end
    end)
    |> Stream.run()

    assert Memento.transaction!(fn -> Query.read(Movie, :count).year end) == 400
  end
end
