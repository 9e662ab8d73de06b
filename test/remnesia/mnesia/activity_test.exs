defmodule Remnesia.Mnesia.ActivityTest do
  use ExUnit.Case

  # What an activity answers, however it ends, and all kinds in all kinds: the same as stock.

  alias Remnesia.Door

  @kinds [
    :transaction,
    :sync_transaction,
    {:transaction, 3},
    {:sync_transaction, :infinity},
    :async_dirty,
    :sync_dirty,
    :ets
  ]

  setup do
    Door.delete([:door_a])
    Door.create(:door_a, attributes: [:k, :v])
    on_exit(fn -> Door.delete([:door_a]) end)
  end

  defp endings do
    [
      value: fn _m -> :value end,
      ok: fn _m -> :ok end,
      abort: fn m -> m.abort(:why) end,
      abort_wrapped: fn m -> m.abort({:aborted, :why}) end,
      exit: fn _m -> exit(:why) end,
      exit_aborted: fn _m -> exit({:aborted, :why}) end,
      exit_wrapped_twice: fn _m -> exit({:aborted, {:aborted, :why}}) end,
      throw: fn _m -> throw(:why) end,
      error: fn _m -> :erlang.error(:why) end,
      raise: fn _m -> raise ArgumentError, "why" end,
      returned_aborted: fn _m -> {:aborted, :why} end,
      returned_exit: fn _m -> {:EXIT, :why} end,
      inside: fn m -> {m.is_transaction(), m.get_activity_id()} end,
      unknown_table: fn m -> m.read(:nowhere, 1) end,
      schema: fn m -> m.create_table(:door_other, []) end
    ]
  end

  defp run(m, :call, kind, fun) when is_atom(kind), do: apply(m, kind, [fun])
  defp run(m, _form, kind, fun), do: m.activity(kind, fun)

  test "every ending of every kind" do
    for kind <- @kinds,
        form <- [:call, :activity],
        {name, ending} <- endings(),
        name != :schema or kind not in [:async_dirty, :sync_dirty, :ets] do
      {stock, ours} = Door.both(fn m -> run(m, form, kind, fn -> ending.(m) end) end)
      assert {kind, form, name, stock} == {kind, form, name, ours}
    end
  end

  test "every kind in every kind, every ending of the inner one, caught or not" do
    for outer <- @kinds,
        inner <- @kinds,
        {name, ending} <- endings(),
        caught <- [true, false],
        name != :schema do
      {stock, ours} =
        Door.both(fn m ->
          outcome =
            run(m, :activity, outer, fn ->
              m.write({:door_a, 1, :outer})

              inner_fun = fn ->
                run(m, :activity, inner, fn ->
                  m.write({:door_a, 1, :inner})
                  m.write({:door_a, 2, :inner})
                  ending.(m)
                end)
              end

              result = if caught, do: catching(inner_fun), else: inner_fun.()
              {Door.clean(result), m.read({:door_a, 1}), m.is_transaction()}
            end)

          left = Enum.sort(m.dirty_match_object({:door_a, :_, :_}))
          m.clear_table(:door_a)
          {outcome, left, m.get_activity_id()}
        end)

      for m <- [:mnesia, :remnesia], do: m.clear_table(:door_a)
      assert {outer, inner, name, caught, stock} == {outer, inner, name, caught, ours}
    end
  end

  defp catching(fun) do
    fun.()
  catch
    kind, reason -> {:caught, kind, reason}
  end

  test "an object to be deleted is no pattern, in any activity" do
    for kind <- @kinds do
      {stock, ours} =
        Door.both(fn m -> m.activity(kind, fn -> m.delete_object({:door_a, 1, :_}) end) end)

      assert {kind, stock} == {kind, ours}
      assert {:exit, {:aborted, {:bad_type, :door_a, {:door_a, 1, :_}}}} = ours
    end
  end

  test "what ends the function of a fold, or looks like it" do
    functions = [
      throw: fn _, _ -> throw(:x) end,
      exit: fn _, _ -> exit(:x) end,
      error: fn _, _ -> :erlang.error(:x) end,
      abort: fn _, _ -> exit({:aborted, :x}) end,
      caught_exit: fn _, _ -> {:EXIT, :x} end,
      caught_abort: fn _, _ -> {:EXIT, {:aborted, :x}} end,
      aborted: fn _, _ -> {:aborted, :x} end,
      short: fn _ -> 1 end,
      long: fn _, _, _ -> 1 end
    ]

    for {name, fun} <- functions,
        fold <- [:foldl, :foldr],
        kind <- [:transaction, :async_dirty, :ets],
        caught <- [true, false] do
      {stock, ours} =
        Door.both(fn m ->
          m.dirty_write({:door_a, 1, 1})
          folding = fn -> apply(m, fold, [fun, 0, :door_a]) end
          m.activity(kind, if(caught, do: fn -> catching(folding) end, else: folding))
        end)

      assert {name, fold, kind, stock} == {name, fold, kind, ours}
    end
  end

  test "arguments, retries, and what is neither" do
    calls = [
      transaction: [fn -> 1 end, 0],
      transaction: [fn -> 1 end, 3],
      transaction: [fn -> 1 end, :infinity],
      transaction: [fn -> 1 end, -1],
      transaction: [fn -> 1 end, :often],
      transaction: [fn a -> a end, [7]],
      transaction: [fn a -> a end, [7], 2],
      transaction: [fn a -> a end, 7, 2],
      transaction: [:none],
      transaction: [:none, [], 1],
      sync_transaction: [fn a -> a end, [7]],
      sync_transaction: [fn -> 1 end, 2],
      sync_transaction: [:none],
      async_dirty: [fn a -> a end, [7]],
      async_dirty: [:none],
      async_dirty: [fn -> 1 end, 7],
      sync_dirty: [:none, [1]],
      ets: [fn a -> a end, [7]],
      activity: [:loose, fn -> 1 end],
      activity: [{:transaction, :often}, fn -> 1 end],
      activity: [:transaction, :none],
      activity: [:transaction, fn a -> a end, [7]],
      activity: [:async_dirty, fn a -> a end, [7]],
      activity: [:async_dirty, :none, [7]]
    ]

    for {function, arguments} <- calls do
      {stock, ours} = Door.both(&apply(&1, function, arguments))
      assert {function, arguments, stock} == {function, arguments, ours}
    end
  end

  defmodule Counting do
    @moduledoc false

    # An access module that keeps what goes through it.
    for {name, arity} <-
          [lock: 4, write: 5, delete: 5, delete_object: 5, read: 5, match_object: 5, all_keys: 4] ++
            [
              index_match_object: 6,
              index_read: 6,
              first: 3,
              last: 3,
              next: 4,
              prev: 4,
              foldl: 6,
              foldr: 6
            ] ++
            [select: 5, select: 6, select_cont: 3, table_info: 4] do
      arguments = Macro.generate_arguments(arity, __MODULE__)

      def unquote(name)(unquote_splicing(arguments)) do
        Process.put(:seen, [{unquote(name), unquote(arity)} | Process.get(:seen, [])])
        apply(Process.get(:side), unquote(name), unquote(arguments))
      end
    end
  end

  test "an access module sees every operation, with Mnesia's arities" do
    Door.delete([:door_a])
    Door.create(:door_a, attributes: [:k, :v], index: [:v])

    for kind <- [:transaction, :sync_transaction, :async_dirty, :sync_dirty] do
      {stock, ours} =
        Door.both(fn m ->
          Process.put(:side, m)
          Process.put(:seen, [])

          result =
            m.activity(
              kind,
              fn ->
                m.write({:door_a, 1, :x})
                m.write(:door_a, {:door_a, 2, :x}, :write)
                m.s_write({:door_a, 3, :y})
                m.delete({:door_a, 9})
                m.delete_object({:door_a, 9, 9})
                m.read({:door_a, 1})
                m.wread({:door_a, 1})
                m.match_object({:door_a, :_, :y})
                m.all_keys(:door_a)
                m.index_read(:door_a, :x, :v)
                m.index_match_object({:door_a, :_, :x}, :v)
                key = m.first(:door_a)
                m.last(:door_a)
                m.next(:door_a, key)
                m.prev(:door_a, key)
                m.foldl(fn _, n -> n + 1 end, 0, :door_a)
                m.foldr(fn _, n -> n + 1 end, 0, :door_a)
                m.select(:door_a, [{:_, [], [1]}])
                m.select(:"$end_of_table")
                m.select(:door_a, [{:_, [], [1]}], 10, :read)
                m.lock({:table, :door_a}, :read)
                m.read_lock_table(:door_a)
                m.table_info(:door_a, :type)
                # An inner transaction has no access module, unless it names one.
                m.transaction(fn -> m.read({:door_a, 1}) end)
                m.activity(:transaction, fn -> m.read({:door_a, 1}) end, [], __MODULE__.Counting)
                m.activity(:async_dirty, fn -> m.read({:door_a, 1}) end)
                m.read({:door_a, 1})
              end,
              [],
              __MODULE__.Counting
            )

          m.clear_table(:door_a)
          {result, Enum.reverse(Process.get(:seen))}
        end)

      assert {kind, stock} == {kind, ours}
    end
  end

  test "the Memento side inside an activity" do
    Remnesia.Engine.dirty_activity(
      :async_dirty,
      fn -> Remnesia.Engine.write(:door_a, {:door_a, 1, :dirty}, :write) end,
      [],
      :remnesia
    )

    assert :remnesia.dirty_read(:door_a, 1) == [{:door_a, 1, :dirty}]

    assert :remnesia.activity(:async_dirty, fn ->
             Remnesia.transaction(fn -> Remnesia.Transaction.inside?() end)
           end) == {:ok, true}
  end

  test "a transaction that loses a lock begins again inside any activity" do
    [runs, ready] = for _ <- 1..2, do: :counters.new(1, [])

    for {first, second} <- [{1, 2}, {2, 1}] do
      Task.async(fn ->
        :remnesia.async_dirty(fn ->
          assert :remnesia.activity(
                   :transaction,
                   fn ->
                     :counters.add(runs, 1, 1)
                     :remnesia.write({:door_a, first, self()})
                     :counters.add(ready, 1, 1)
                     wait(fn -> :counters.get(ready, 1) >= 2 end)
                     # The conflict comes inside an inner one.
                     {:atomic, :ok} =
                       :remnesia.transaction(fn -> :remnesia.write({:door_a, second, self()}) end)

                     :done
                   end,
                   [],
                   Oracle.Door.Pass.module(:remnesia)
                 ) == :done

          refute :remnesia.is_transaction()
        end)

        assert :remnesia.get_activity_id() == :undefined
      end)
    end
    |> Task.await_many()

    assert :counters.get(runs, 1) > 2

    assert [[{_, _, winner}], [{_, _, winner}]] =
             for(key <- [1, 2], do: :remnesia.dirty_read(:door_a, key))
  end

  defp wait(fun) do
    if fun.(), do: :ok, else: Process.sleep(1) && wait(fun)
  end

  test "another process may take part" do
    {:atomic, id} =
      :remnesia.transaction(fn ->
        :remnesia.write({:door_a, 1, :mine})
        id = :remnesia.get_activity_id()

        guest =
          Task.async(fn ->
            :remnesia.put_activity_id(id)
            seen = :remnesia.read({:door_a, 1})
            :remnesia.write({:door_a, 2, :guest})
            :remnesia.put_activity_id(:undefined)
            seen
          end)

        assert Task.await(guest) == [{:door_a, 1, :mine}]
        assert :remnesia.read({:door_a, 2}) == [{:door_a, 2, :guest}]
        id
      end)

    assert :remnesia.dirty_read(:door_a, 2) == [{:door_a, 2, :guest}]

    # It is over: nobody can any more.
    late =
      Task.async(fn ->
        try do
          :remnesia.put_activity_id(id)
          :remnesia.read({:door_a, 1})
        catch
          kind, reason -> {kind, reason}
        end
      end)

    assert {:error, :badarg} = Task.await(late)
  end
end
