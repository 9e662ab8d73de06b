defmodule Remnesia.BackendOracle do
  @moduledoc false

  # One random program on a table of stock Mnesia and on one of the backend, in one Mnesia. After each step both must have answered the same.

  # Not 1 and 1.0 in a set with an index: there stock loses one of them.
  @keys [1, 2, 3.5, :a, :b, {1, 2}, "s", [], %{a: 1}, -7, 100_000_000_000_000_000_000]
  @values [0, 1, 1.5, 2, :x, nil, "v", {:t, 1}, [1 | 2]]

  @doc "Runs it here; `:ok` or the first step that differs. `storage` is that of our table."
  def run(type, storage, seed, steps) do
    :rand.seed(:exsss, {seed, seed, seed})
    common = [type: type, record_name: :rec, attributes: [:k, :v, :w], index: [:v]]
    {:atomic, :ok} = :mnesia.create_table(:stock, [{:ram_copies, [node()]} | common])
    {:atomic, :ok} = :mnesia.create_table(:ours, [{storage, [node()]} | common])

    try do
      Enum.find_value(1..steps, :ok, fn number -> step(number, operation(type), type) end)
    after
      :mnesia.delete_table(:stock)
      :mnesia.delete_table(:ours)
    end
  end

  defp step(number, operation, type) do
    stock = answer(operation, :stock, type)
    ours = answer(operation, :ours, type)
    if stock !== ours, do: {:differs, number, operation, stock: stock, ours: ours}
  end

  defp answer(operation, table, type) do
    operation |> perform(table) |> plain(table) |> sorted(operation, type)
  catch
    kind, reason -> {kind, plain(without_stack(reason), table)}
  end

  # Which table it was, and how deep in which module.
  defp without_stack({:aborted, {reason, [{m, _, _, _} | _]}}) when is_atom(m),
    do: {:aborted, reason}

  defp without_stack(reason), do: reason

  defp plain(table, table), do: :table
  defp plain(list, table) when is_list(list), do: plain_list(list, table)

  defp plain(tuple, table) when is_tuple(tuple),
    do: tuple |> Tuple.to_list() |> plain(table) |> List.to_tuple()

  defp plain(other, _table), do: other

  defp plain_list([head | tail], table), do: [plain(head, table) | plain_list(tail, table)]
  defp plain_list([], _table), do: []
  defp plain_list(other, table), do: plain(other, table)

  defp sorted(answer, {kind, _, _, _}, _type) when kind in [:read, :transaction], do: answer
  defp sorted(answer, _operation, :ordered_set), do: answer
  defp sorted(list, _operation, _type) when is_list(list), do: sort(list)
  defp sorted(answer, _operation, _type), do: answer

  # 1 and 1.0 have an order here.
  defp sort(list), do: Enum.sort_by(list, &:erlang.term_to_binary/1)

  # --- steps ---

  defp operation(type) do
    keys = if type == :ordered_set, do: [1.0, {1.0, 2} | @keys], else: @keys
    # Two such values of one key of a bag are one to stock's index.
    values = if type == :bag, do: @values, else: [1.0 | @values]
    {kind(type), pick(keys), pick(values), pick(values)}
  end

  defp pick(list), do: Enum.random(list)

  @kinds [:write, :write, :write, :write, :write, :delete, :delete_object, :read, :index_read] ++
           [:match_key, :match_index, :match_all, :index_match, :select_key, :select_index] ++
           [:select_range, :select_limit, :walk, :next, :all_keys, :size, :foldl, :transaction] ++
           [:bad_select, :bad_spec, :first_last, :slots, :select_all, :transaction]

  defp kind(_type), do: if(:rand.uniform(60) == 1, do: :clear, else: pick(@kinds))

  defp perform({:write, k, v, w}, t), do: :mnesia.dirty_write(t, {:rec, k, v, w})
  defp perform({:delete, k, _, _}, t), do: :mnesia.dirty_delete(t, k)
  defp perform({:delete_object, k, v, w}, t), do: :mnesia.dirty_delete_object(t, {:rec, k, v, w})
  defp perform({:read, k, _, _}, t), do: :mnesia.dirty_read(t, k)
  defp perform({:index_read, _, v, _}, t), do: :mnesia.dirty_index_read(t, v, :v)
  defp perform({:match_key, k, _, _}, t), do: :mnesia.dirty_match_object(t, {:rec, k, :_, :_})
  defp perform({:match_index, _, v, _}, t), do: :mnesia.dirty_match_object(t, {:rec, :_, v, :_})
  defp perform({:match_all, _, _, _}, t), do: :mnesia.dirty_match_object(t, {:rec, :_, :_, :_})

  defp perform({:index_match, _, v, w}, t),
    do: :mnesia.dirty_index_match_object(t, {:rec, :_, v, w}, :v)

  defp perform({:select_key, k, _, _}, t),
    do: :mnesia.dirty_select(t, [{{:rec, k, :"$1", :_}, [], [:"$1"]}])

  defp perform({:select_index, _, v, _}, t),
    do:
      :mnesia.dirty_select(t, [{{:rec, :"$1", :"$2", :_}, [{:==, :"$2", {:const, v}}], [:"$_"]}])

  defp perform({:select_range, k, _, _}, t),
    do: :mnesia.dirty_select(t, [{{:rec, :"$1", :_, :_}, [{:<, :"$1", {:const, k}}], [:"$1"]}])

  defp perform({:select_all, _, v, _}, t),
    do: :mnesia.dirty_select(t, [{{:rec, :"$1", :_, v}, [], [:"$$"]}, {:_, [], [:"$_"]}])

  defp perform({:select_limit, _, v, _}, t) do
    :mnesia.async_dirty(fn ->
      t
      |> :mnesia.select(
        [{{:rec, :"$1", :"$2", :_}, [{:>, :"$2", {:const, v}}], [:"$_"]}],
        2,
        :read
      )
      |> chunks()
    end)
  end

  defp perform({:walk, _, _, _}, t), do: walk(t, :mnesia.dirty_first(t))
  defp perform({:next, k, _, _}, t), do: next(t, k)
  defp perform({:all_keys, _, _, _}, t), do: :mnesia.dirty_all_keys(t)
  defp perform({:size, _, _, _}, t), do: :mnesia.table_info(t, :size)
  defp perform({:slots, _, _, _}, t), do: slots(t, 0)
  defp perform({:clear, _, _, _}, t), do: :mnesia.clear_table(t)

  defp perform({:bad_select, k, _, _}, t),
    do: :mnesia.dirty_select(t, [{{:rec, k}, [:no], [:"$9"]}])

  defp perform({:bad_spec, _, _, _}, t), do: :mnesia.dirty_select(t, [:none])

  # A hash table has no first key that could be compared.
  defp perform({:first_last, _, _, _}, t) do
    if :mnesia.table_info(t, :type) == :ordered_set,
      do: {:mnesia.dirty_first(t), :mnesia.dirty_last(t)},
      else: {:mnesia.dirty_first(t) == :mnesia.dirty_last(t)}
  end

  defp perform({:foldl, _, _, _}, t) do
    {:atomic, found} = :mnesia.transaction(fn -> :mnesia.foldl(&[&1 | &2], [], t) end)
    if :mnesia.table_info(t, :type) == :ordered_set, do: Enum.reverse(found), else: found
  end

  defp perform({:transaction, k, v, w}, t) do
    :mnesia.transaction(fn ->
      before = :mnesia.read(t, k, :read)
      :mnesia.write(t, {:rec, k, v, w}, :write)
      written = :mnesia.read(t, k, :write)
      found = t |> :mnesia.index_read(v, :v) |> sort()
      matched = t |> :mnesia.match_object({:rec, :_, v, :_}, :read) |> sort()
      selected = t |> :mnesia.select([{{:rec, :"$1", v, :_}, [], [:"$1"]}]) |> sort()
      if w == nil, do: :mnesia.delete(t, k, :write)
      if w == :x, do: :mnesia.delete_object(t, {:rec, k, v, w}, :write)
      if v == w, do: :mnesia.abort({:seen, before})
      {before, written, found, matched, selected, t |> :mnesia.all_keys() |> sort()}
    end)
  end

  defp chunks(:"$end_of_table"), do: []

  defp chunks({list, continuation}),
    do: list ++ (continuation |> :mnesia.select() |> chunks())

  defp walk(_table, :"$end_of_table"), do: []
  defp walk(table, key), do: [key | walk(table, :mnesia.dirty_next(table, key))]

  # Which key is next in a hash table is its own affair; whether there may be one is not.
  defp next(table, key) do
    next = :mnesia.dirty_next(table, key)
    if :mnesia.table_info(table, :type) == :ordered_set, do: next, else: :some
  end

  defp slots(table, slot) do
    case :mnesia.dirty_slot(table, slot) do
      :"$end_of_table" -> []
      records -> records ++ slots(table, slot + 1)
    end
  end
end
