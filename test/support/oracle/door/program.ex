defmodule Oracle.Door.Program do
  @moduledoc false

  # A program of the Mnesia door is a list of steps outside of any activity: an activity with its operations, a dirty operation, or a
  # change of the schema. Operations may be activities again.

  @tables [:door_set, :door_plain, :door_ordered, :door_bag]
  # Fragmented; programs of the access module for that know of no other one (an exclusion, see Run).
  @fragmented :door_frag
  @kinds [:transaction, :sync_transaction, :async_dirty, :sync_dirty]

  def tables, do: @tables

  @doc "Those that programs come to make, too."
  def all_tables, do: @tables ++ [@fragmented, :door_counter, :door_extra]

  @doc "A random program; `:rand` is the only source of chance."
  def random, do: for(_ <- 1..(2 + :rand.uniform(6)), do: step())

  defp step do
    case :rand.uniform(13) do
      n when n <= 6 -> activity(2)
      n when n <= 8 -> dirty(@tables)
      n when n <= 10 -> schema()
      11 -> fragmented(2)
      _ -> Oracle.Door.Backups.random()
    end
  end

  defp activity(depth) do
    kind = pick([:transaction, :transaction, :transaction | @kinds])

    {:activity, pick([:call, :activity, :module]), kind,
     for(_ <- 1..:rand.uniform(7), do: operation(depth, @tables)), ending()}
  end

  defp fragmented(depth) do
    {:activity, :fragments, pick(@kinds),
     for(_ <- 1..:rand.uniform(7), do: operation(depth, [@fragmented])), ending()}
  end

  defp ending,
    do:
      pick([
        :ok,
        :ok,
        :ok,
        :ok,
        :ok,
        :ok,
        :abort,
        :throw,
        :exit,
        :error,
        {:return, {:aborted, :back}},
        {:return, {:EXIT, :back}}
      ])

  defp operation(depth, tables) do
    table = pick(tables)

    case :rand.uniform(if(depth > 0, do: 34, else: 31)) do
      n when n <= 7 ->
        {:write, table, record(table), pick([:write, :sticky_write])}

      n when n <= 9 ->
        {:delete, table, key(), :write}

      10 ->
        with_delete_object(pick(tables -- [:door_plain]))

      n when n <= 13 ->
        {:read, table, key(), pick([:read, :read, :write])}

      14 ->
        {:match_object, table, pattern(table), :read}

      n when n <= 16 ->
        {:select, table, spec(table), :read}

      17 ->
        {:chunks, table, whole(spec(table)), pick([1, 2, 5])}

      n when n <= 19 ->
        {:index_read, pick(tables -- [:door_plain]), value(), pick([:a, 3])}

      20 ->
        {:index_match_object, table, put_elem(pattern(table), 2, value()), :a}

      21 ->
        {:all_keys, table}

      22 ->
        if tables == @tables, do: {:walk, :door_ordered}, else: {:frag_info, table}

      n when n <= 24 ->
        {:fold, pick([:foldl, :foldr]), table,
         pick([:none, :none, :rewrite, {:add, :rand.uniform(1_000_000)}])}

      25 ->
        {:lock, pick([{:table, table}, {:record, table, 99}, {:global, :door, [node()]}]), :read}

      26 ->
        {:qlc, table, pick([:by_key, :by_a, :greater, :all]), value()}

      27 ->
        :is_transaction

      28 ->
        {:bad, table}

      n when n <= 31 ->
        dirty([:door_plain])

      _ ->
        if tables == @tables, do: activity(depth - 1), else: fragmented(depth - 1)
    end
  end

  # Within a transaction another table than that of delete_object: what that does to a record of a set is decided when it is called here, at the
  # commit in stock (a row of guides/differences.md).
  defp with_delete_object(table), do: {:delete_object, table, record(table), :write}

  defp dirty(tables) do
    table = pick(tables)

    case :rand.uniform(11) do
      n when n <= 3 -> {:dirty_write, table, record(table)}
      4 -> {:dirty_delete, table, key()}
      5 -> {:dirty_delete_object, table, record(table)}
      6 -> {:dirty_read, table, key()}
      7 -> {:dirty_match_object, table, pattern(table)}
      8 -> {:dirty_index_read, pick(@tables), value(), :a}
      9 -> {:dirty_update_counter, :door_counter, key(), pick([-3, -1, 1, 2, 10])}
      10 -> {:dirty_all_keys, table}
      11 -> {:dirty_select, table, spec(table)}
    end
  end

  defp schema do
    table = pick(@tables)

    case :rand.uniform(14) do
      n when n > 12 ->
        {:schema, :change_table_frag,
         [@fragmented, pick([{:add_frag, [node()]}, {:add_frag, [node()]}, :del_frag])]}

      10 ->
        {:schema, :create_table,
         [:door_extra, pick([[], [type: :bag, index: [:val]], [load_order: :x]])]}

      11 ->
        {:schema, :delete_table, [:door_extra]}

      12 ->
        {:schema, :change_table_access_mode,
         [pick([:door_extra, :door_plain]), pick([:read_only, :read_write])]}

      1 ->
        {:schema, :clear_table, [table]}

      2 ->
        {:schema, :transform_table, [table, :swap, [:k, :a, :b]]}

      3 ->
        {:schema, :transform_table, [table, :fail, [:k, :a, :b]]}

      4 ->
        {:schema, :add_table_index, [table, pick([:a, :b])]}

      5 ->
        {:schema, :del_table_index, [table, :b]}

      6 ->
        {:schema, :write_table_property, [table, {:p, value()}]}

      7 ->
        {:schema, :change_table_load_order, [table, :rand.uniform(3)]}

      8 ->
        {:subscribe, pick(@tables ++ [@fragmented, :door_counter, :schema]),
         pick([:simple, :detailed])}

      9 ->
        {:unsubscribe, pick(@tables ++ [:door_counter]), pick([:simple, :detailed])}
    end
  end

  defp record(table), do: {name(table), key(), value(), value()}
  defp name(:door_ordered), do: :other
  defp name(table), do: table

  defp pattern(table) do
    pick([
      {name(table), key(), :_, :_},
      {name(table), :_, value(), :_},
      {name(table), :_, :_, value()},
      {name(table), :"$1", :"$1", :_},
      {name(table), :_, :_, :_}
    ])
  end

  # Guards use what the head binds. (The reason for one that does not is stock's own: it shows a spec that it made itself where the
  # transaction has written.)
  defp spec(table) do
    key = pick([:"$1", :"$1", key()])
    guards = [[], [{:==, :"$2", value()}], [{:orelse, {:"=:=", :"$3", 1}, {:is_atom, :"$2"}}]]
    of_key = [[{:>, :"$1", 2}], [{:orelse, {:"=:=", :"$3", 1}, {:<, :"$1", 2}}]]
    guard = pick(if key == :"$1", do: guards ++ of_key, else: guards)
    [{{name(table), key, :"$2", :"$3"}, guard, [pick([:"$_", {{:"$2", :"$3"}}, :"$2"])]}]
  end

  # The exclusion `later chunks`: with pending writes stock answers whole records there, whatever the body.
  defp whole([{head, guards, _body}]), do: [{head, guards, [:"$_"]}]

  def key, do: pick([0, 1, 2, 3, 4, 5])
  defp value, do: pick([0, 1, 2, :x, "y"])
  defp pick(list), do: Enum.at(list, :rand.uniform(length(list)) - 1)

  @doc "Smaller programs, the greatest cuts first."
  def smaller(program) do
    without = for i <- indexes(program), do: List.delete_at(program, i)

    inner =
      for {step, i} <- Enum.with_index(program),
          smaller <- smaller_step(step),
          do: List.replace_at(program, i, smaller)

    without ++ inner
  end

  defp smaller_step({:activity, form, kind, operations, ending}) do
    plain = if ending == :ok, do: [], else: [{:activity, form, kind, operations, :ok}]

    form_plain =
      if form in [:call, :fragments], do: [], else: [{:activity, :call, kind, operations, ending}]

    for(smaller <- smaller(operations), do: {:activity, form, kind, smaller, ending}) ++
      plain ++ form_plain
  end

  defp smaller_step(_step), do: []

  defp indexes([]), do: []
  defp indexes(list), do: Enum.to_list(0..(length(list) - 1))
end
