defmodule Remnesia.Mnesia.DifferencesTest do
  use ExUnit.Case

  # What is deliberately different in the Mnesia door: both sides, one test for each row of guides/differences.md.

  alias Remnesia.Door

  @tables [:door_d, :door_o, :door_b]

  setup do
    Door.delete(@tables)
    Door.create(:door_d, attributes: [:k, :v], index: [:v])
    Door.create(:door_o, attributes: [:k, :v], type: :ordered_set)
    Door.create(:door_b, attributes: [:k, :v], type: :bag)
    on_exit(fn -> Door.delete(@tables) end)
  end

  defp both(fun) do
    {{:value, stock}, {:value, ours}} = Door.both(fun)
    {stock, ours}
  end

  test "walk past a deleted key" do
    walk = fn m ->
      for k <- [1, 3, 4], do: m.dirty_write({:door_o, k, k})

      m.transaction(fn ->
        m.delete({:door_o, 3})
        m.write({:door_o, 2, 2})
        {m.next(:door_o, 1), m.all_keys(:door_o)}
      end)
    end

    assert both(walk) == {{:atomic, {4, [1, 2, 4]}}, {:atomic, {2, [1, 2, 4]}}}
  end

  test "later chunks of a select after writes" do
    chunks = fn m ->
      m.dirty_write({:door_o, 3, :c})
      m.dirty_write({:door_o, 4, :d})

      m.transaction(fn ->
        m.write({:door_o, 2, :b})
        {first, continuation} = m.select(:door_o, [{{:door_o, :_, :"$1"}, [], [:"$1"]}], 1, :read)
        first ++ rest(m, continuation)
      end)
    end

    assert both(chunks) == {{:atomic, [:b, :c, {:door_o, 4, :d}]}, {:atomic, [:b, :c, :d]}}
  end

  defp rest(m, continuation) do
    case m.select(continuation) do
      {found, continuation} -> found ++ rest(m, continuation)
      :"$end_of_table" -> []
    end
  end

  test "fold of a bag after writes" do
    fold = fn m ->
      m.transaction(fn ->
        m.write({:door_b, 1, :a})
        m.write({:door_b, 1, :b})
        m.foldl(fn {_, _, v}, all -> [v | all] end, [], :door_b) |> Enum.sort()
      end)
    end

    assert both(fold) == {{:atomic, [:a, :a, :b, :b]}, {:atomic, [:a, :b]}}
  end

  test "transform_table of a bag that leaves some records as they are" do
    transform = fn m ->
      for v <- [1, 2], do: m.dirty_write({:door_b, :k, v})

      m.transform_table(
        :door_b,
        fn {t, k, v} -> if v == 1, do: {t, k, v}, else: {t, k, :changed} end,
        [:k, :v]
      )

      Enum.sort(m.dirty_read(:door_b, :k))
    end

    assert both(transform) ==
             {[{:door_b, :k, :changed}], [{:door_b, :k, 1}, {:door_b, :k, :changed}]}
  end

  test "transform_table with :ignore and another number of attributes" do
    for m <- [:mnesia, :remnesia], do: m.dirty_write({:door_o, 1, 1})
    assert :mnesia.transform_table(:door_o, :ignore, [:k, :v, :w]) == {:atomic, :ok}

    assert :remnesia.transform_table(:door_o, :ignore, [:k, :v, :w]) ==
             {:aborted,
              {~c"Bad transform function", :door_o, :ignore, node(),
               {~c"Bad arity", {:door_o, 1, 1}, {:door_o, 1, 1}}}}

    renamed = fn m, fun ->
      m.transform_table(:door_d, &put_elem(&1, 0, :door_d), [:k, :v], :door_d)
      m.clear_table(:door_d)
      m.dirty_write({:door_d, 1, 1})
      {:atomic, :ok} = m.transform_table(:door_d, fun, [:k, :v], :other)
      m.dirty_read(:door_d, 1)
    end

    for fun <- [:ignore, &Function.identity/1],
        do: assert(both(&renamed.(&1, fun)) == {[{:door_d, 1, 1}], [{:other, 1, 1}]})

    # The new number is no difference where nothing is there.
    :remnesia.clear_table(:door_o)
    assert :remnesia.transform_table(:door_o, :ignore, [:k, :v, :w]) == {:atomic, :ok}
  end

  test "delete_object of a record that comes by a dirty write in the same transaction" do
    late = fn m ->
      m.transaction(fn ->
        m.delete_object({:door_d, 1, :late})
        m.dirty_write({:door_d, 1, :late})
      end)

      m.dirty_read(:door_d, 1)
    end

    assert both(late) == {[], [{:door_d, 1, :late}]}
  end

  test "a subscription made while a transaction is under way" do
    told = fn m ->
      m.transaction(fn ->
        m.write({:door_d, 1, 1})
        m.subscribe({:table, :door_d})
        m.write({:door_d, 2, 2})
      end)

      m.unsubscribe({:table, :door_d})
      told([])
    end

    assert both(told) == {[1, 2], [2]}
  end

  defp told(keys) do
    receive do
      {:mnesia_table_event, {:write, {_, key, _}, _}} -> told([key | keys])
    after
      0 -> Enum.sort(keys)
    end
  end

  test "a write within ets, and the index" do
    write = fn m ->
      m.ets(fn -> m.write({:door_d, 1, :x}) end)
      m.dirty_index_read(:door_d, :x, :v)
    end

    assert both(write) == {[], [{:door_d, 1, :x}]}
  end

  test "a write within ets that does not fit" do
    write = fn m ->
      try do
        m.ets(fn -> m.write(:door_d, {:door_d, 1, 2, 3}, :write) end)
      catch
        :exit, {:aborted, reason} -> reason
      end
    end

    assert both(write) == {:ok, {:bad_type, {:door_d, 1, 2, 3}}}
    :mnesia.clear_table(:door_d)
  end

  test "what lock/2 answers for a lock that is held already" do
    twice = fn m ->
      {:atomic, answers} =
        m.transaction(fn -> for _ <- 1..2, do: m.lock({:record, :door_d, 1}, :write) end)

      answers
    end

    assert both(twice) == {[[node()], []], [[node()], [node()]]}
  end

  test "the key of a lock where there is no record" do
    held = fn m ->
      m.transaction(fn -> m.read({:door_d, :absent}) && m.system_info(:held_locks) end)
    end

    {{:atomic, [{{:door_d, :absent}, :read, _}]}, {:atomic, [{{:door_d, {:hash, _}}, :read, _}]}} =
      both(held)

    twice = fn m ->
      m.dirty_write({:door_d, 1, 1})

      m.transaction(fn ->
        m.read({:door_d, 1})
        m.write({:door_d, 1, 2})
        Enum.sort(for {_item, kind, _tid} <- m.system_info(:held_locks), do: kind)
      end)
    end

    assert both(twice) == {{:atomic, [:read, :write]}, {:atomic, [:write]}}
  end

  test "the schema cannot be cleared or made read-only" do
    assert :remnesia.clear_table(:schema) == {:aborted, {:bad_type, :schema}}
    assert :remnesia.change_table_access_mode(:schema, :read_only) == {:atomic, :ok}
    assert :remnesia.create_table(:door_new, []) == {:atomic, :ok}
    :remnesia.delete_table(:door_new)
    assert :remnesia.change_table_access_mode(:schema, :read_write) == {:atomic, :ok}
  end

  describe "fragments" do
    setup do
      properties = [n_fragments: 3, node_pool: [node()]]
      Door.create(:door_frag, attributes: [:k, :v], frag_properties: properties)
      on_exit(fn -> Door.delete([:door_frag]) end)

      for m <- [:mnesia, :remnesia],
          do: through(m, fn -> for k <- 1..9, do: m.write({:door_frag, k, k}) end)

      :ok
    end

    defp through(m, kind \\ :transaction, fun), do: m.activity(kind, fun, [], :mnesia_frag)

    test "a select after a key of another table was deleted" do
      select = fn m ->
        through(m, fn ->
          m.delete({:door_d, 3})
          m.select(:door_frag, [{{:door_frag, :"$1", :_}, [], [:"$1"]}]) |> Enum.sort()
        end)
      end

      assert both(select) == {[1, 2, 4, 5, 6, 7, 8, 9], Enum.to_list(1..9)}
    end

    test "a read lock on all of them" do
      lock = fn m -> m.lock({:table, :door_frag}, :read) end

      {:aborted, reason} =
        :mnesia.transaction(fn -> through(:mnesia, fn -> lock.(:mnesia) end) end)

      assert {:badarg, [{:erlang, :++, _, _} | _]} = reason
      assert through(:remnesia, fn -> lock.(:remnesia) end) == []
    end

    test "a select within ets" do
      select = fn m ->
        through(m, :ets, fn -> length(m.select(:door_frag, [{:_, [], [1]}])) end)
      end

      {stock, ours} = both(select)
      assert stock == :mnesia.table_info(:door_frag, :size) and stock < 9
      assert ours == 9
    end
  end

  test "types and options of our own" do
    for options <- [[type: :duplicate_bag], [storage_type: :ram_copies]] do
      assert :remnesia.create_table(:door_new, options) == {:atomic, :ok}
      :remnesia.delete_table(:door_new)
      assert {:aborted, _} = :mnesia.create_table(:door_new, options)
    end
  end
end
