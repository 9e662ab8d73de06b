defmodule Oracle.Run do
  @moduledoc false

  # Runs a program on one side and gives what every operation and transaction answered. Where the order of an answer is not
  # promised it is sorted: in sets and bags, but for the records of one key of a bag.

  alias Oracle.Tables

  @doc "Answers of a program on empty tables; `side` is `:ours` or `:stock`."
  def run(side, program) do
    for table <- Tables.all(), do: :ok = clear(side, table)
    Enum.map(program, &flushed(side, &1)) ++ [contents(side)]
  end

  defp flushed(side, step) do
    if side == :ours, do: Remnesia.OnDisc.flush_sometimes()
    transaction(side, step)
  end

  defp contents(side),
    do: execute(side, fn -> for(t <- Tables.all(), do: sorted(t, all(side, t))) end)

  defp transaction(side, {operations, ending}) do
    # Whatever the transaction does, what was read in it before is part of the answer.
    me = self()
    mark = make_ref()

    outcome =
      try do
        execute(side, fn ->
          answers = for operation <- operations, do: operation(side, operation)
          send(me, {mark, answers})
          finish(side, ending)
          answers
        end)
      catch
        kind, reason -> {:caught, kind, clean(reason)}
      end

    {clean(outcome), receive(do: ({^mark, answers} -> answers), after: (0 -> :cut_off))}
  end

  # Stack traces are not compared.
  defp clean({:error, {%{__exception__: true} = e, _stack}}), do: {:error, e.__struct__}
  defp clean({:error, {reason, [{_, _, _, _} | _]}}), do: {:error, reason}
  defp clean(%{__exception__: true} = e), do: e.__struct__
  defp clean(other), do: other

  defp finish(_side, :ok), do: :ok
  defp finish(side, :abort), do: abort(side, :on_purpose)
  defp finish(_side, :raise), do: raise(ArgumentError, "on purpose")
  defp finish(_side, :throw), do: throw(:on_purpose)
  defp finish(_side, :exit), do: exit(:on_purpose)
  defp finish(_side, :error), do: :erlang.error(:on_purpose)

  defp operation(side, {:nested, inner}), do: {:nested, transaction(side, inner)}

  defp operation(side, {:write, t, id, a, b}), do: api(side).write(struct(t, id: id, a: a, b: b))

  defp operation(side, {:autoincrement, a, b}),
    do: api(side).write(struct(Tables.Ordered, a: a, b: b))

  defp operation(side, {:delete, t, key}), do: api(side).delete(t, key)

  defp operation(side, {:delete_record, t, id, a, b}),
    do: api(side).delete_record(struct(t, id: id, a: a, b: b))

  defp operation(side, {:read, t, key}), do: api(side).read(t, key)
  defp operation(side, {:read_all, t, key}), do: api(side).read_all(t, key)
  defp operation(side, {:all, t}), do: sorted(t, all(side, t))
  defp operation(side, {:match, t, pattern}), do: sorted(t, api(side).match(t, pattern))
  defp operation(side, {:select, t, guards}), do: sorted(t, api(side).select(t, guards))

  defp operation(side, {:select_raw, t, spec}),
    do: sorted(t, api(side).select_raw(t, spec, coerce: false))

  defp operation(side, {:all_keys, t}), do: sorted(t, all_keys(side, t))

  # Stock passes over keys that the transaction has written beyond one that it has deleted, and its `last` may find nothing: see
  # differences_test.exs. The judge is its all_keys then.
  defp operation(:stock, {:walk, t}) do
    case Tables.type(t) do
      :ordered_set ->
        keys = all_keys(:stock, t)
        {keys, Enum.reverse(keys)}

      _unordered ->
        {Enum.sort(walk(:stock, t, :next)), Enum.sort(walk(:stock, t, :prev))}
    end
  end

  defp operation(side, {:walk, t}),
    do: {sorted(t, walk(side, t, :next)), sorted(t, walk(side, t, :prev))}

  defp walk(side, t, direction) do
    first = if direction == :next, do: key(side, :first, [t]), else: key(side, :last, [t])

    first
    |> Stream.iterate(fn key -> key(side, direction, [t, key]) end)
    |> Enum.take_while(&(&1 != :"$end_of_table"))
  end

  defp key(:ours, function, arguments), do: apply(Remnesia.Query, function, arguments)
  defp key(:stock, function, arguments), do: apply(:mnesia, function, arguments)
  defp all_keys(:ours, t), do: Remnesia.Query.all_keys(t)
  defp all_keys(:stock, t), do: :mnesia.all_keys(t)
  defp all(side, t), do: api(side).all(t)

  defp sorted(table, list) when is_list(list),
    do: if(Tables.type(table) == :ordered_set, do: list, else: Enum.sort(list))

  defp sorted(_table, other), do: other

  defp api(:ours), do: Remnesia.Query
  defp api(:stock), do: Remnesia.Reference
  defp execute(:ours, fun), do: Remnesia.Transaction.execute(fun)
  defp execute(:stock, fun), do: Remnesia.Reference.transaction(fun)
  defp abort(:ours, reason), do: Remnesia.Transaction.abort(reason)
  defp abort(:stock, reason), do: Remnesia.Reference.abort(reason)
  defp clear(:ours, t), do: Remnesia.Table.clear(t)
  defp clear(:stock, t), do: Remnesia.Reference.clear(t)
end
