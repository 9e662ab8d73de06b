defmodule Oracle.Program do
  @moduledoc false

  # A program is a list of transactions, a transaction `{operations, ending}`; an operation may be a nested transaction.

  alias Oracle.Tables

  @doc "A random program; `:rand` is the only source of chance."
  def random do
    keys = pick([:integers, :floats])
    walks = {for(table <- Tables.all(), do: {:walk, table}), :ok}
    for(_ <- 1..:rand.uniform(6), do: transaction(2, keys)) ++ [walks]
  end

  defp transaction(depth, keys) do
    {for(_ <- 1..:rand.uniform(8), do: operation(depth, keys)),
     pick([:ok, :ok, :ok, :ok, :ok, :abort, :raise, :throw, :exit, :error])}
  end

  defp operation(depth, keys) do
    table = pick(Tables.all())
    key = pick(Tables.keys(keys))
    {a, b} = {pick(Tables.values()), pick(Tables.values())}

    case :rand.uniform(if(depth > 0, do: 21, else: 20)) do
      n when n <= 6 ->
        {:write, table, key, a, b}

      7 ->
        {:delete, table, key}

      8 ->
        {:delete_record, table, key, a, b}

      n when n <= 10 ->
        {:read, table, key}

      11 ->
        {:read_all, table, key}

      12 ->
        {:all, table}

      13 ->
        {:match, table, {key, :_, :_}}

      14 ->
        {:match, table,
         pick([{:_, a, :_}, {:_, :_, b}, {:_, a, b}, {:_, :"$1", :"$1"}, {:"$1", :_, :_}])}

      n when n <= 16 ->
        {:select, table, guards(2)}

      17 ->
        {:select_raw, table,
         [
           {{table, :"$1", :"$2", pick([:_, :"$3", b])}, guard_list(),
            [pick([:"$_", :"$$", :"$1", {{:"$2", :"$1"}}])]}
         ]}

      18 ->
        {:all_keys, table}

      19 ->
        # Stock loses keys on the way through a set or bag that the transaction has written to.
        if Tables.type(table) == :ordered_set, do: {:walk, table}, else: {:all_keys, table}

      20 ->
        # Autoincrement makes integers.
        if table == Tables.Ordered and keys == :integers,
          do: {:autoincrement, a, b},
          else: {:read, table, key}

      21 ->
        {:nested, transaction(depth - 1, keys)}
    end
  end

  defp guard_list,
    do:
      pick([
        [],
        [{:>, :"$1", 0}],
        [{:==, :"$2", 1}],
        [{:is_atom, :"$2"}],
        [{:orelse, {:is_map, :"$1"}, {:"=:=", :"$2", 1}}]
      ])

  defp guards(0), do: comparison()

  defp guards(depth) do
    case :rand.uniform(5) do
      1 ->
        {pick([:and, :or, :xor]), guards(depth - 1), guards(depth - 1)}

      2 ->
        [comparison(), comparison()]

      3 ->
        {pick([:>, :==]),
         {pick([:+, :-, :*, :div, :rem]), pick([:id, :a, :b]), pick([1, 2, 0, 2.5])},
         pick([0, 1, 2])}

      _ ->
        comparison()
    end
  end

  defp comparison do
    {pick([:==, :===, :!=, :!==, :<, :<=, :>, :>=]), pick([:id, :a, :b]),
     literal(pick(Tables.values() ++ [:b, -3]))}
  end

  defp literal(tuple) when is_tuple(tuple), do: {:const, tuple}
  defp literal(other), do: other

  defp pick(list), do: Enum.at(list, :rand.uniform(length(list)) - 1)

  @doc "Smaller programs, the greatest cuts first."
  def smaller(program) do
    without = for i <- indexes(program), do: List.delete_at(program, i)

    cut =
      for {{operations, ending}, i} <- Enum.with_index(program), j <- indexes(operations) do
        List.replace_at(program, i, {List.delete_at(operations, j), ending})
      end

    opened =
      for {{operations, ending}, i} <- Enum.with_index(program),
          {{:nested, {inner, _}}, j} <- Enum.with_index(operations) do
        {before, [_ | rest]} = Enum.split(operations, j)
        List.replace_at(program, i, {before ++ inner ++ rest, ending})
      end

    without ++ cut ++ opened
  end

  defp indexes([]), do: []
  defp indexes(list), do: Enum.to_list(0..(length(list) - 1))
end
