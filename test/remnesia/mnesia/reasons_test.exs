defmodule Remnesia.Mnesia.ReasonsTest do
  use ExUnit.Case

  # Each call, right or wrong, is answered as stock Mnesia answers it: inside a transaction, in each dirty activity, and outside.

  alias Remnesia.Door

  @tables [:door_set, :door_bag, :door_ordered, :door_only]

  setup do
    Door.delete(@tables)
    Door.create(:door_set, attributes: [:k, :a, :b], index: [:a])
    Door.create(:door_bag, type: :bag)

    Door.create(:door_ordered,
      type: :ordered_set,
      record_name: :r,
      attributes: [:k, :a, :b],
      index: [:b]
    )

    Door.create(:door_only, access_mode: :read_only)

    for side <- [:mnesia, :remnesia] do
      side.dirty_write({:door_set, 1, :x, 2})
      for n <- 1..3, do: side.dirty_write({:door_bag, n, n})
      for n <- 1..3, do: side.dirty_write(:door_ordered, {:r, n, n, :y})
    end

    on_exit(fn -> Door.delete(@tables) end)
  end

  @names [:door_set, :door_bag, :door_ordered, :door_only, :nowhere, :schema, 1, "x"]
  @records [
    {:door_set, 1, :x, 3},
    {:door_set, 1, :_, 3},
    {:door_set, 1, 2},
    {:r, 1, 2, 3},
    {:nowhere, 1, 2},
    {:schema, 1, 2},
    {:door_only, 1, 2},
    {:door_bag, 2, 2},
    {:x, 1},
    :x,
    {}
  ]
  @locks [:read, :write, :sticky_write, :load, :none, :loose]
  @oids [{:door_set, 1}, {:door_only, 1}, {:nowhere, 1}, {:schema, 1}, :x, {1, 2, 3}, {1, 2}]

  def calls do
    locks = for lock <- @locks, do: lock

    for(name <- @names, lock <- locks, do: {:read, [name, 1, lock]}) ++
      for(name <- @names, do: {:read, [name, 1]}) ++
      for(f <- [:read, :wread, :delete, :s_delete], oid <- @oids, do: {f, [oid]}) ++
      for(f <- [:write, :s_write, :delete_object, :s_delete_object], r <- @records, do: {f, [r]}) ++
      for(
        f <- [:write, :delete_object],
        name <- @names,
        r <- Enum.take(@records, 7) ++ [:x, {:x, 1}],
        lock <- [:write, :sticky_write, :read, :loose],
        do: {f, [name, r, lock]}
      ) ++
      for(name <- @names, lock <- locks, do: {:delete, [name, 1, lock]}) ++
      for(r <- @records, do: {:match_object, [r]}) ++
      for(
        name <- @names,
        r <- [{:door_set, :_, :_, :_}, {:r, 1, :_, :_}, {:r, :_}, :x],
        lock <- [:read, :write, :loose],
        do: {:match_object, [name, r, lock]}
      ) ++
      for(
        name <- @names,
        spec <- [[], [{:_, [], [:"$_"]}], :x, [:x]],
        do: {:select, [name, spec]}
      ) ++
      for(name <- @names, lock <- locks, do: {:select, [name, [{:_, [], [1]}], lock]}) ++
      for(name <- @names, do: {:select, [name, [{:_, [], [1]}], :x, :read]}) ++
      for(c <- [:"$end_of_table", :x, {:x}], do: {:select, [c]}) ++
      for(
        f <- [:all_keys, :first],
        name <- @names,
        f != :first or name != :door_bag,
        do: {f, [name]}
      ) ++
      for(
        f <- [:next, :prev],
        name <- @names,
        key <- [1, 7, 2, :"$end_of_table"],
        name != :door_bag or key not in [1, 2],
        do: {f, [name, key]}
      ) ++
      for(
        name <- @names,
        value <- [:x, :_, {:a, :"$1"}],
        attribute <- [:a, :k, :nope, 2, 3, 4, 9, "x"],
        do: {:index_read, [name, value, attribute]}
      ) ++
      for(
        name <- @names,
        pattern <- [
          {:door_set, :_, :x, :_},
          {:r, 1, :_, :_},
          {:r, :_, :_, :y},
          {:r, :_, 1},
          {:r},
          :x
        ],
        attribute <- [:a, :b, :k, :nope, 2, 3, 4, 9, "x"],
        lock <- [:read, :write],
        do: {:index_match_object, [name, pattern, attribute, lock]}
      ) ++
      for(p <- [{:door_set, :_, :x, :_}, :x], do: {:index_match_object, [p, :a]}) ++
      for(
        item <-
          [{:table, :door_set}, {:table, :nowhere}, {:table, 1}, {:record, :door_set, 1}] ++
            [
              {:record, :nowhere, 1},
              {:record, 1, 1},
              {:global, :g, [node()]},
              {:global, :g, []},
              {:global, :g, :x},
              :x
            ],
        lock <- locks,
        do: {:lock, [item, lock]}
      ) ++
      for(f <- [:read_lock_table, :write_lock_table], name <- @names, do: {f, [name]}) ++
      for(name <- @names, lock <- [:read, :loose], do: {:foldl, [&count/2, 0, name, lock]}) ++
      for(name <- @names, do: {:foldr, [&count/2, 0, name]})
  end

  def count(_record, n), do: n + 1

  def dirty_calls do
    for(oid <- @oids, f <- [:dirty_read, :dirty_delete], do: {f, [oid]}) ++
      for(oid <- @oids, n <- [1, :x], do: {:dirty_update_counter, [oid, n]}) ++
      for(name <- @names, n <- [1, :x], do: {:dirty_update_counter, [name, 1, n]}) ++
      for(name <- @names, f <- [:dirty_read, :dirty_delete], do: {f, [name, 1]}) ++
      for(
        r <- @records,
        f <- [:dirty_write, :dirty_delete_object, :dirty_match_object],
        do: {f, [r]}
      ) ++
      for(
        name <- @names,
        r <- @records,
        f <- [:dirty_write, :dirty_delete_object, :dirty_match_object],
        do: {f, [name, r]}
      ) ++
      for(
        name <- @names,
        spec <- [[], [{:_, [], [1]}], :x, [:x]],
        do: {:dirty_select, [name, spec]}
      ) ++
      for(
        name <- @names,
        f <- [:dirty_all_keys, :dirty_first],
        name != :door_bag,
        do: {f, [name]}
      ) ++
      for(
        name <- @names,
        key <- [1, 7, 2, :"$end_of_table"],
        f <- [:dirty_next, :dirty_prev],
        name != :door_bag or key not in [1, 2],
        do: {f, [name, key]}
      ) ++
      for(name <- @names, slot <- [:x, -1, 1_000_000], do: {:dirty_slot, [name, slot]}) ++
      for(
        name <- @names,
        value <- [:x, :_],
        attribute <- [:a, :k, :nope, 2, 3, 4, 9, "x"],
        do: {:dirty_index_read, [name, value, attribute]}
      ) ++
      for(
        name <- @names,
        pattern <- [{:door_set, :_, :x, :_}, {:r, 1, :_, :_}, {:r, :_, :_, :y}, {:r, :_, 1}, :x],
        attribute <- [:a, :b, :k, :nope, 2, 3, 4, 9, "x"],
        do: {:dirty_index_match_object, [name, pattern, attribute]}
      )
  end

  # Where the order of an answer is not promised it is sorted.
  defp sorted({kind, {tag, {:result, list}}}) when is_list(list),
    do: {kind, {tag, {:result, Enum.sort(list)}}}

  defp sorted({:value, {:atomic, list}}) when is_list(list),
    do: {:value, {:atomic, Enum.sort(list)}}

  defp sorted({:value, list}) when is_list(list), do: {:value, Enum.sort(list)}
  defp sorted(other), do: other

  defp compare(calls, run) do
    differing =
      for {function, arguments} <- calls,
          {stock, ours} = Door.both(fn m -> run.(m, fn -> apply(m, function, arguments) end) end),
          sorted(stock) != sorted(ours),
          do: "#{function}#{inspect(arguments)} stock: #{inspect(stock)} ours: #{inspect(ours)}"

    assert differing == [], Enum.join(differing, "\n")
  end

  test "in a transaction" do
    compare(calls(), fn m, call -> m.transaction(fn -> with_result(m, call) end) end)
  end

  # What was changed is undone.
  defp with_result(m, call) do
    result = call.()
    m.abort({:result, result})
  end

  test "in a transaction of an activity" do
    compare(calls(), fn m, call -> m.activity(:transaction, fn -> with_result(m, call) end) end)
  end

  test "outside of an activity" do
    compare(calls(), fn _m, call -> call.() end)
  end

  test "in dirty activities" do
    for kind <- [:async_dirty, :sync_dirty] do
      compare(calls(), fn m, call -> m.activity(kind, fn -> call.() end) end)
    end
  end

  test "dirty functions" do
    compare(dirty_calls(), fn _m, call -> call.() end)
  end

  test "dirty functions in a transaction" do
    compare(dirty_calls(), fn m, call -> m.transaction(call) end)
  end
end
