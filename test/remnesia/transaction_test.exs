defmodule Remnesia.TransactionTest do
  use ExUnit.Case

  import Example, only: [elsewhere: 1, tables: 1]

  alias Example.User
  alias Remnesia.{Query, Transaction}

  doctest Remnesia.Transaction

  setup :tables

  defp write(id, name \\ nil), do: Query.write(%User{id: id, name: name})

  defp ids,
    do: Remnesia.transaction!(fn -> User |> Query.all() |> Enum.map(& &1.id) |> Enum.sort() end)

  for execute <- [:execute, :execute_sync] do
    describe "#{execute}" do
      @execute execute
      @execute! :"#{execute}!"

      test "returns" do
        assert apply(Transaction, @execute, [fn -> 1 end]) == {:ok, 1}
        assert apply(Transaction, @execute, [fn -> nil end]) == {:ok, nil}
        assert apply(Transaction, @execute, [fn -> :ok end]) == :ok
        assert apply(Transaction, @execute, [fn -> {:error, :x} end]) == {:ok, {:error, :x}}
        assert apply(Transaction, @execute!, [fn -> 1 end]) == 1
        assert apply(Transaction, @execute!, [fn -> :ok end]) == :ok
      end

      test "abort" do
        abort = fn ->
          write(1)
          Transaction.abort({:r, 1})
        end

        assert apply(Transaction, @execute, [abort]) == {:error, {:transaction_aborted, {:r, 1}}}

        assert_raise Remnesia.TransactionAborted, "Transaction aborted with: {:r, 1}", fn ->
          apply(Transaction, @execute!, [abort])
        end

        assert ids() == []
      end

      test "exit" do
        for {reason, seen} <- [
              {:r, :r},
              {{:aborted, :r}, :r},
              {{:abort, :r}, :r},
              {{:aborted, {:aborted, :r}}, {:aborted, :r}},
              {{:noproc, {GenServer, :call, []}}, {:noproc, {GenServer, :call, []}}}
            ] do
          stop = fn ->
            write(1)
            exit(reason)
          end

          assert apply(Transaction, @execute, [stop]) == {:error, seen}

          assert_raise Remnesia.Error, "Transaction Failed with: #{inspect(seen)}", fn ->
            apply(Transaction, @execute!, [stop])
          end
        end

        assert ids() == []
      end

      test "refused by the database" do
        refused = fn -> Query.read(NoTable, 1) end
        assert apply(Transaction, @execute, [refused]) == {:error, {:no_exists, NoTable}}

        assert_raise Remnesia.Error, "Transaction Failed with: {:no_exists, NoTable}", fn ->
          apply(Transaction, @execute!, [refused])
        end
      end

      test "raise, with the stacktrace of the function" do
        for function <- [@execute, @execute!] do
          broken = fn ->
            write(1)
            raise_here()
          end

          try do
            apply(Transaction, function, [broken])
            flunk("not raised")
          rescue
            error in RuntimeError ->
              assert error.message == "broken"
              assert [{__MODULE__, :raise_here, 0, _} | _] = __STACKTRACE__
          end
        end

        assert ids() == []
      end

      test "errors of Erlang" do
        for function <- [@execute, @execute!] do
          assert_raise ArithmeticError, fn ->
            apply(Transaction, function, [fn -> 1 / zero() end])
          end

          assert_raise UndefinedFunctionError, fn ->
            apply(Transaction, function, [fn -> apply(NoModule, :f, []) end])
          end

          assert_raise MatchError, fn -> apply(Transaction, function, [fn -> 1 = zero() end]) end
          assert_raise BadArityError, fn -> apply(Transaction, function, [fn x -> x end]) end
        end

        assert {:error, {:my, [{_, _, _, _} | _]}} =
                 apply(Transaction, @execute, [fn -> :erlang.error(:my) end])

        assert_raise Remnesia.Error, fn ->
          apply(Transaction, @execute!, [fn -> :erlang.error(:my) end])
        end
      end

      test "throw" do
        for function <- [@execute, @execute!] do
          assert catch_throw(apply(Transaction, function, [fn -> throw({:ball, write(1)}) end])) ==
                   {:ball, %User{id: 1}}
        end

        assert ids() == []
      end

      test "bad arguments" do
        fun = fn -> 1 end

        assert apply(Transaction, @execute, [:foo]) ==
                 {:error, {:badarg, :foo, [], :infinity, :remnesia}}

        assert apply(Transaction, @execute, [fun, -1]) ==
                 {:error, {:badarg, fun, -1, :infinity, :remnesia}}

        assert apply(Transaction, @execute, [fun, :foo]) ==
                 {:error, {:badarg, fun, :foo, :infinity, :remnesia}}

        assert apply(Transaction, @execute, [fun, 1.5]) ==
                 {:error, {:badarg, fun, 1.5, :infinity, :remnesia}}

        assert_raise Remnesia.Error, ~r/Transaction Failed with: {:badarg/, fn ->
          apply(Transaction, @execute!, [:foo])
        end

        assert apply(Transaction, @execute, [fun, 0]) == {:ok, 1}
        # Mnesia takes a list for the function's arguments.
        assert apply(Transaction, @execute, [fn x -> x end, [7]]) == {:ok, 7}
      end

      test "a stopped database" do
        Remnesia.stop()

        assert apply(Transaction, @execute, [fn -> 1 end]) ==
                 {:error, {:node_not_running, node()}}

        assert_raise Remnesia.Error, ~r/node_not_running/, fn ->
          apply(Transaction, @execute!, [fn -> 1 end])
        end
      end
    end
  end

  # The arguments of Mnesia, one by one, on both: what ends a function and what the transaction answers.
  test "outcomes are stock's" do
    for fun <- [
          fn -> 1 end,
          fn -> {:aborted, 1} end,
          fn -> exit(:r) end,
          fn -> exit({:aborted, 1}) end,
          fn -> exit({:abort, 1}) end,
          fn -> throw({:aborted, 1}) end,
          fn -> throw(1) end,
          fn -> exit({1, 2}) end
        ] do
      assert Remnesia.Engine.transaction(fun) == :mnesia.transaction(fun)
    end

    for reason <- [:my, {:aborted, 1}, :badarith, {:badmatch, 1}] do
      fun = fn -> :erlang.error(reason) end
      {:aborted, {stock, [_ | _]}} = :mnesia.transaction(fun)
      assert {:aborted, {^stock, [_ | _]}} = Remnesia.Engine.transaction(fun)
    end

    fun = fn -> :erlang.error(:aborted) end
    assert {:aborted, [_ | _]} = :mnesia.transaction(fun)
    assert {:aborted, [_ | _]} = Remnesia.Engine.transaction(fun)
  end

  describe "nested" do
    test "the inner one returns its own result" do
      assert Remnesia.transaction(fn ->
               write(1)
               assert Remnesia.transaction(fn -> write(2) end) == {:ok, %User{id: 2}}
               assert Remnesia.transaction(fn -> :ok end) == :ok
               assert Query.read(User, 2) == %User{id: 2}
               :done
             end) == {:ok, :done}

      assert ids() == [1, 2]
    end

    test "its failure undoes its own writes" do
      failures = [
        {fn -> Transaction.abort(:r) end, {:error, {:transaction_aborted, :r}}},
        {fn -> exit(:r) end, {:error, :r}},
        {fn -> Query.read(NoTable, 1) end, {:error, {:no_exists, NoTable}}}
      ]

      for {failure, result} <- failures do
        assert Remnesia.transaction(fn ->
                 write(1, :outer)

                 assert Remnesia.transaction(fn ->
                          write(1, :inner)
                          write(2)
                          assert Remnesia.transaction(fn -> write(3).id end) == {:ok, 3}
                          failure.()
                        end) == result

                 assert Transaction.inside?()

                 assert {Query.read(User, 1).name, Query.read(User, 2), Query.read(User, 3)} ==
                          {:outer, nil, nil}
               end) == {:ok, true}

        assert ids() == [1]
      end
    end

    test "what it raises or throws goes on outwards, and can be caught there" do
      assert Remnesia.transaction(fn ->
               write(1)

               assert_raise RuntimeError, fn ->
                 Remnesia.transaction(fn ->
                   write(2)
                   raise "x"
                 end)
               end

               catch_throw(Remnesia.transaction(fn -> throw(write(3)) end))
             end) == {:ok, %User{id: 3}}

      assert ids() == [1]
    end

    test "the outer one's failure undoes all" do
      Remnesia.transaction(fn ->
        Remnesia.transaction(fn -> write(1) end)
        exit(:r)
      end)

      assert ids() == []
    end
  end

  describe "outside" do
    test "inside? and abort" do
      refute Transaction.inside?()

      assert_raise Remnesia.NoTransactionError, "Not inside a Remnesia Transaction", fn ->
        Transaction.abort()
      end

      assert Remnesia.transaction(fn ->
               assert Transaction.inside?()
               Remnesia.transaction(fn -> assert Transaction.inside?() end)
               assert Transaction.inside?()
             end) == {:ok, true}

      refute Transaction.inside?()
      Remnesia.transaction(fn -> exit(:r) end)
      refute Transaction.inside?()
      assert_raise Remnesia.NoTransactionError, fn -> Transaction.abort() end
    end

    test "a process spawned inside a transaction" do
      Remnesia.transaction!(fn ->
        write(1)

        elsewhere(fn ->
          refute Transaction.inside?()
          assert catch_exit(Query.read(User, 1)) == {:aborted, :no_transaction}
          assert_raise Remnesia.NoTransactionError, fn -> Transaction.abort() end
        end)
      end)
    end
  end

  describe "locks" do
    test "helpers" do
      assert Remnesia.transaction(fn ->
               for kind <- [:read, :write, :sticky_write] do
                 assert Transaction.lock_table(User, kind) == :ok
                 assert Transaction.lock_record(User, 1, kind) == :ok
                 assert Transaction.lock_global(:name, kind) == :ok
               end

               :ok
             end) == :ok
    end

    test "refused" do
      assert Remnesia.transaction(fn -> Transaction.lock_table(NoTable, :read) end) ==
               {:error, {:no_exists, NoTable}}

      assert Remnesia.transaction(fn -> Transaction.lock_record(NoTable, 1, :write) end) ==
               {:error, {:no_exists, NoTable}}

      assert Remnesia.transaction(fn -> Transaction.lock_table(User, :foo) end) ==
               {:error, {:bad_type, User, :foo}}

      assert Remnesia.transaction(fn -> Transaction.lock_record(User, 1, :foo) end) ==
               {:error, {:bad_type, User, :foo}}

      for lock <- [
            &Transaction.lock_table(User, &1),
            &Transaction.lock_record(User, 1, &1),
            &Transaction.lock_global(1, &1)
          ] do
        assert catch_exit(lock.(:read)) == {:aborted, :no_transaction}
        assert catch_exit(lock.(:foo)) == {:aborted, :no_transaction}
      end
    end

    test "are waited for" do
      parent = self()

      writer =
        Task.async(fn ->
          Remnesia.transaction!(fn ->
            write(1, "slow")
            send(parent, :written)
            Process.sleep(50)
            :done
          end)
        end)

      assert_receive :written
      assert Remnesia.transaction!(fn -> Query.read(User, 1).name end) == "slow"
      assert Task.await(writer) == :done
    end

    test "of a killed process are free, and its writes are gone" do
      parent = self()

      pid =
        spawn(fn ->
          Remnesia.transaction(fn ->
            write(1)
            send(parent, :written)
            Process.sleep(:infinity)
          end)
        end)

      assert_receive :written
      Process.exit(pid, :kill)
      assert Remnesia.transaction!(fn -> Query.read(User, 1, lock: :write) end) == nil
    end
  end

  describe "a conflict" do
    # Two processes take two records in opposite order, once each holds its first one: one of them must run again.
    defp crossing(wrap, retries \\ :infinity) do
      parent = self()

      tasks =
        for {mine, theirs} <- [{1, 2}, {2, 1}] do
          Task.async(fn ->
            Transaction.execute(
              fn ->
                Process.put(:runs, Process.get(:runs, 0) + 1)
                write(mine)

                if Process.get(:runs) == 1 do
                  send(parent, {:holding, self()})
                  receive do: (:go -> :ok)
                end

                wrap.(fn -> write(theirs) end)
                Process.get(:runs)
              end,
              retries
            )
          end)
        end

      for %{pid: pid} <- tasks, do: assert_receive({:holding, ^pid})
      for %{pid: pid} <- tasks, do: send(pid, :go)
      tasks |> Enum.map(&Task.await/1) |> Enum.sort()
    end

    test "runs one of them again" do
      assert crossing(& &1.()) == [ok: 1, ok: 2]
    end

    test "also when the function catches the exit" do
      assert crossing(fn write ->
               try do
                 write.()
               catch
                 _kind, _reason -> :swallowed
               end
             end) == [ok: 1, ok: 2]
    end

    test "also when it then raises, throws or aborts" do
      for escape <- [fn -> raise "x" end, fn -> throw(:x) end, fn -> Transaction.abort(:x) end] do
        assert crossing(fn write ->
                 try do
                   write.()
                 catch
                   _kind, _reason -> escape.()
                 end
               end) == [ok: 1, ok: 2]
      end
    end

    test "in a nested one runs the outermost one again" do
      assert crossing(fn write -> Remnesia.transaction(fn -> Remnesia.transaction(write) end) end) ==
               [ok: 1, ok: 2]
    end

    test "in a nested one that swallows it" do
      assert crossing(fn write ->
               Remnesia.transaction(fn ->
                 try do
                   write.()
                 catch
                   _kind, _reason -> :swallowed
                 end
               end)
             end) == [ok: 1, ok: 2]
    end

    test "ends with :nomore when there are no runs left, and there is always one" do
      for retries <- [0, 1], do: assert(crossing(& &1.(), retries) == [error: :nomore, ok: 1])
      assert crossing(& &1.(), 2) == [ok: 1, ok: 2]
    end
  end

  defp raise_here, do: raise("broken")
  defp zero, do: Process.get(:no_such_key, 0)
end
