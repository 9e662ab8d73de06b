defmodule Oracle.Door.Run do
  @moduledoc false

  # Runs a program on one side, and gives what each step answered and the events it sent.
  #
  # Where the order of an answer is not promised it is sorted. Of the events of a step the order is kept for each record: in which
  # order a commit changes its records is not promised. Named exclusions, each in guides/differences.md and differences_test.exs:
  #
  #   * `fold of a bag`: stock visits a key again for each record that the transaction has written of it.
  #   * `fold that adds`: outside of a transaction it may or may not come by what it added, on either side; so only in one.
  #   * `unchanged records of a bag`: where transform_table changes one record of a key, stock loses those that it leaves as they are.
  #   * `what lock answers`: stock answers other things for a lock that the transaction has already, in one form or another.
  #   * `fragments and other tables`: a select through the fragments passes over records whose keys the transaction has deleted in other tables.
  #   * `matches in an ordered_set`: by an index stock may find a record that the transaction has deleted, or the one before that it has written.
  #   * `walk past a deleted key`: stock passes over keys that the transaction has written beyond one that it has deleted.

  alias Oracle.Door.{Backups, Pass, Program}
  alias Remnesia.Door

  @options [attributes: [:k, :a, :b]]

  @doc "Makes the tables; `storage` is where."
  def create(side, storage \\ []) do
    for {table, options} <- [
          door_set: [index: [:a]],
          door_plain: [],
          door_ordered: [type: :ordered_set, index: [:a], record_name: :other],
          door_bag: [type: :bag, index: [:a]],
          door_frag: [index: [:a], frag_properties: [n_fragments: 3, node_pool: [node()]]]
        ],
        do:
          {:atomic, :ok} =
            side.create_table(table, storage ++ storage(side) ++ options ++ @options)

    {:atomic, :ok} = side.create_table(:door_counter, storage ++ storage(side))
  end

  defp storage(:remnesia) do
    case Process.get(:storage, :ram_copies) do
      :ram_copies -> []
      storage -> [{storage, [node()]}]
    end
  end

  defp storage(:mnesia), do: []

  def delete(side) do
    Backups.delete(side)

    for table <- Program.all_tables() do
      side.change_table_access_mode(table, :read_write)
      for level <- [:simple, :detailed], do: side.unsubscribe({:table, table, level})
      side.delete_table(table)
    end

    side.unsubscribe({:table, :schema})
    flush([])
  end

  @doc "Answers and events of a program on fresh tables."
  def run(side, program, storage \\ []) do
    delete(side)
    create(side, storage)

    answers =
      for step <- program do
        if side == :remnesia, do: Remnesia.OnDisc.flush_sometimes()
        answer = answer(side, step)
        {answer, events(step)}
      end

    contents =
      for table <- Program.tables() ++ [:door_counter | fragments(side)] do
        side.dirty_select(table, [{:_, [], [:"$_"]}]) |> Enum.sort()
      end

    {answers, contents}
  end

  defp fragments(side) do
    info = fn -> side.table_info(:door_frag, :frag_names) end
    side.activity(:async_dirty, info, [], :mnesia_frag)
  end

  # --- steps ---

  defp answer(side, step) do
    Door.clean(
      try do
        operation(side, step)
      catch
        kind, reason -> {:caught, kind, reason}
      end
    )
  end

  defp operation(side, {:activity, form, kind, operations, ending}) do
    me = self()
    mark = make_ref()

    fun = fn ->
      answers = Enum.map(operations, &answer(side, &1))
      send(me, {mark, answers})
      finish(side, ending)
    end

    outcome =
      try do
        activity(side, form, kind, fun)
      catch
        class, reason -> {:caught, class, reason}
      end

    {outcome, receive(do: ({^mark, answers} -> answers), after: (0 -> :cut_off))}
  end

  defp operation(_side, {:write, table, record, kind}) when elem(record, 0) == nil,
    do: {table, kind}

  defp operation(side, {:chunks, table, spec, n}),
    do: chunks(side, side.select(table, spec, n, :read), []) |> sorted(table)

  # The exclusion `walk past a deleted key`: the judge is stock's own all_keys. In a cluster it is Mnesia that walks on our side, too.
  defp operation(side, {:walk, table}) do
    if side == :mnesia or Remnesia.Engine.Choice.cluster?() do
      keys = side.all_keys(table)
      {keys, Enum.reverse(keys)}
    else
      {walk(side, table, side.first(table), :next), walk(side, table, side.last(table), :prev)}
    end
  end

  defp operation(side, {:fold, direction, table, change}) do
    fun = fn record, acc ->
      case change do
        _ when table == :door_bag ->
          :ok

        :none ->
          :ok

        :rewrite ->
          side.write(table, put_elem(record, 3, :rewritten), :write)

        {:add, number} ->
          key = {:added, number, elem(record, 1)}
          if side.is_transaction(), do: side.write(table, put_elem(record, 1, key), :write)
      end

      [record | acc]
    end

    folded = apply(side, direction, [fun, [], table])

    cond do
      table == :door_ordered -> folded
      # The exclusion `fold of a bag`.
      table == :door_bag and side == :mnesia -> folded |> Enum.uniq() |> Enum.sort()
      true -> Enum.sort(folded)
    end
  end

  defp operation(side, {:qlc, table, way, value}) do
    handle = side.table(table)
    arguments = if way == :all, do: [handle], else: [handle, value]
    Enum.sort(apply(:door_qlc, way, arguments))
  end

  defp operation(side, :is_transaction), do: side.is_transaction()

  defp operation(side, {:frag_info, table}),
    do: for(item <- [:size, :frag_size, :n_fragments], do: side.table_info(table, item))

  defp operation(side, {:bad, table}), do: side.write(table, {:bad, 1, 2, 3}, :write)

  # The exclusion `what lock answers`.
  defp operation(side, {:lock, item, kind}) do
    side.lock(item, kind)
    :locked
  catch
    # Stock locks all fragments, and then fails; in a cluster the fragments are its own on both sides.
    :error, :badarg when item == {:table, :door_frag} ->
      if side == :mnesia or Remnesia.Engine.Choice.cluster?(),
        do: :locked,
        else: :erlang.raise(:error, :badarg, __STACKTRACE__)
  end

  # The exclusion `matches in an ordered_set`: what stock should have found it finds without the index.
  defp operation(:mnesia, {:index_match_object, :door_ordered = table, pattern, a}) do
    _found = :mnesia.index_match_object(table, pattern, a, :read)
    :mnesia.select(table, [{pattern, [], [:"$_"]}], :read) |> Enum.sort()
  end

  defp operation(:mnesia, {:match_object, :door_ordered = table, pattern, kind}) do
    _found = :mnesia.match_object(table, pattern, kind)
    :mnesia.select(table, [{pattern, [], [:"$_"]}], kind) |> Enum.sort()
  end

  defp operation(side, {:index_match_object, table, pattern, a}),
    do: side.index_match_object(table, pattern, a, :read) |> Enum.sort()

  defp operation(side, step) when elem(step, 0) == :checkpoint, do: Backups.run(side, step)

  defp operation(side, {:schema, :transform_table, [table, how, attributes]}),
    do: transform(side, table, how, attributes)

  defp operation(side, {:schema, function, arguments}), do: apply(side, function, arguments)
  defp operation(side, {:subscribe, table, level}), do: side.subscribe({:table, table, level})
  defp operation(side, {:unsubscribe, table, level}), do: side.unsubscribe({:table, table, level})

  defp operation(side, step) do
    [function, table | rest] = Tuple.to_list(step)

    case apply(side, function, [table | rest]) do
      list when is_list(list) and function in [:read, :dirty_read] -> list
      list when is_list(list) -> sorted(list, table, function)
      other -> other
    end
  end

  # The exclusion `unchanged records of a bag`: here each is changed.
  defp transform(side, :door_bag, :swap, attributes),
    do: side.transform_table(:door_bag, fn {r, k, a, b} -> {r, k, a, {b}} end, attributes)

  defp transform(side, table, :swap, attributes),
    do: side.transform_table(table, fn {r, k, a, b} -> {r, k, b, a} end, attributes)

  defp transform(side, table, :fail, attributes) do
    case side.transform_table(table, fn {r, k, a, _} -> {r, k, a} end, attributes) do
      # Which record is the first to fail is not promised.
      {:aborted, {text, table, _fun, _node, {why, _, _}}} -> {:aborted, {text, table, why}}
      other -> other
    end
  end

  defp activity(side, :call, kind, fun), do: apply(side, kind, [fun])
  defp activity(side, :activity, kind, fun), do: side.activity(kind, fun)
  defp activity(side, :fragments, kind, fun), do: side.activity(kind, fun, [], :mnesia_frag)
  defp activity(side, :module, kind, fun), do: side.activity(kind, fun, [], Pass.module(side))

  defp finish(_side, :ok), do: :done
  defp finish(side, :abort), do: side.abort(:on_purpose)
  defp finish(_side, :throw), do: throw(:on_purpose)
  defp finish(_side, :exit), do: exit(:on_purpose)
  defp finish(_side, :error), do: :erlang.error(:on_purpose)
  defp finish(_side, {:return, value}), do: value

  defp chunks(_side, :"$end_of_table", found), do: found

  defp chunks(side, {chunk, continuation}, found),
    do: chunks(side, side.select(continuation), found ++ chunk)

  defp walk(_side, _table, :"$end_of_table", _direction), do: []

  defp walk(side, table, key, direction),
    do: [key | walk(side, table, apply(side, direction, [table, key]), direction)]

  # Searches by index have no order, also in an ordered_set; those of other kinds have its.
  defp sorted(list, table, function)
       when table == :door_ordered and function in [:select, :all_keys, :dirty_all_keys],
       do: list

  defp sorted(list, _table, _function), do: Enum.sort(list)
  defp sorted(list, table), do: if(table == :door_ordered, do: list, else: Enum.sort(list))

  # --- events ---

  defp events(_step) do
    flush([])
    |> Enum.group_by(&record_of/1, &(&1 |> Door.clean() |> in_memory()))
    |> Enum.sort()
  end

  # Stock's tables are in memory, so ours are said to be, too: it has no ordered_set on disc alone.
  defp in_memory(tuple) when is_tuple(tuple),
    do: tuple |> Tuple.to_list() |> Enum.map(&in_memory/1) |> List.to_tuple()

  defp in_memory([{:name, _table} | _] = definition) do
    nodes = definition[:ram_copies] ++ definition[:disc_only_copies]

    Enum.map(definition, fn
      {:ram_copies, _nodes} -> {:ram_copies, nodes}
      {:disc_only_copies, _nodes} -> {:disc_only_copies, []}
      other -> other
    end)
  end

  # What was there before comes in a list.
  defp in_memory([head | tail]), do: [in_memory(head) | in_memory(tail)]
  defp in_memory(other), do: other

  defp flush(events) do
    receive do
      {:mnesia_table_event, event} -> flush([event | events])
    after
      0 -> Enum.reverse(events)
    end
  end

  # A message by what it is about.
  defp record_of({_, {:schema, table}, _id}), do: {:schema, table}
  defp record_of({_, {:schema, table, _}, _id}), do: {:schema, table}
  defp record_of({_, :schema, {:schema, table}, _, _}), do: {:schema, table}
  defp record_of({_, :schema, {:schema, table, _}, _, _}), do: {:schema, table}
  defp record_of({:delete, {table, key}, _id}), do: {table, key}
  defp record_of({_, record, _id}), do: {elem(record, 0), elem(record, 1)}
  defp record_of({:delete, table, {table, key}, _, _id}), do: {table, key}
  defp record_of({_, table, record, _, _id}), do: {table, elem(record, 1)}
end
