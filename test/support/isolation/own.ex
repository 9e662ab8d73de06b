defmodule Isolation.Own do
  @moduledoc false

  # What a transaction saw of itself, apart from what it saw of others. The first has to be as if it were alone; what is left is the work of
  # others, as `%{id, writes: %{cell => [{value, group}]}, reads: [..], registers: %{cell => [value]}}`.

  @doc "What a transaction wrote, what it saw of others, and what is wrong with the rest."
  def apart(txn) do
    {mine, reads, wrong} = walk(txn.ops, {%{}, [], []})
    writes = for {{:list, cell}, values} <- mine, into: %{}, do: {cell, Enum.reverse(values)}

    registers =
      for {{:register, cell}, values} <- mine, into: %{}, do: {cell, Enum.reverse(values)}

    wrong = for operation <- wrong, do: {:internal, {txn.id, operation}}

    {%{
       id: txn.id,
       writes: writes,
       registers: registers,
       reads: Enum.reverse(reads),
       ops: txn.ops
     }, wrong}
  end

  defp walk(ops, state), do: Enum.reduce(ops, state, &step/2)

  defp step({:append, cell, value, group}, {mine, reads, wrong}),
    do: {Map.update(mine, {:list, cell}, [{value, group}], &[{value, group} | &1]), reads, wrong}

  defp step({:write, cell, value}, {mine, reads, wrong}),
    do: {Map.update(mine, {:register, cell}, [value], &[value | &1]), reads, wrong}

  # What is written in an inner transaction that fails is not there afterwards.
  defp step({:inner, :aborted, ops}, {mine, reads, wrong}) do
    {_gone, reads, wrong} = walk(ops, {mine, reads, wrong})
    {mine, reads, wrong}
  end

  defp step({:inner, :ok, ops}, state), do: walk(ops, state)

  defp step({:list, cell, values} = operation, {mine, reads, wrong}) do
    own = for {value, _group} <- Enum.reverse(Map.get(mine, {:list, cell}, [])), do: value
    {others, last} = Enum.split(values, max(length(values) - length(own), 0))

    if last == own,
      do: {mine, [{:list, cell, others} | reads], wrong},
      else: {mine, reads, [operation | wrong]}
  end

  defp step({:row, cell, value} = operation, {mine, reads, wrong}) do
    case mine do
      %{{:list, ^cell} => [{last, group} | _]} ->
        expected = if group != :gone, do: last
        {mine, reads, if(value == expected, do: wrong, else: [operation | wrong])}

      _not_mine ->
        {mine, [operation | reads], wrong}
    end
  end

  defp step({:where, groups, cells, found} = operation, {mine, reads, wrong}) do
    {own, others} = Enum.split_with(cells, &is_map_key(mine, {:list, &1}))

    expected =
      for cell <- own,
          {value, group} = hd(mine[{:list, cell}]),
          group in groups,
          do: {cell, value}

    {found_own, found_others} = Enum.split_with(found, fn {cell, _} -> cell in own end)
    strangers = for {cell, _} <- found_others, cell not in others, do: cell
    right? = strangers == [] and Enum.sort(found_own) == Enum.sort(expected)
    wrong = if right?, do: wrong, else: [operation | wrong]
    {mine, [{:where, groups, others, found_others} | reads], wrong}
  end

  defp step({:read, cell, value} = operation, {mine, reads, wrong}) do
    case mine do
      %{{:register, ^cell} => [^value | _]} -> {mine, reads, wrong}
      %{{:register, ^cell} => _} -> {mine, reads, [operation | wrong]}
      _not_mine -> {mine, [operation | reads], wrong}
    end
  end

  @doc "All values in what these transactions read."
  def values_seen(transactions) do
    for txn <- transactions, op <- flat(txn.ops), value <- seen(op), into: MapSet.new(), do: value
  end

  defp seen({:list, _cell, values}), do: values
  defp seen({kind, _cell, value}) when kind in [:row, :read], do: [value]
  defp seen({:where, _groups, _cells, found}), do: for({_cell, value} <- found, do: value)
  defp seen(_write), do: []

  @doc "All values that a transaction wrote, also those that it took back."
  def values_written(txn) do
    Enum.flat_map(flat(txn.ops), fn
      {:append, _cell, value, _group} -> [value]
      {:write, _cell, value} -> [value]
      _read -> []
    end)
  end

  defp flat(ops) do
    Enum.flat_map(ops, fn
      {:inner, _ending, ops} -> flat(ops)
      op -> [op]
    end)
  end
end
