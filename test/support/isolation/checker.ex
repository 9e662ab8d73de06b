defmodule Isolation.Checker do
  @moduledoc false

  # Was what the transactions of a history saw and wrote possible one after the other, in an order that agrees with their times?
  #
  # The idea is that of Elle (Kingsbury and Alvaro, "Elle: Inferring Isolation Anomalies from Experimental Observations", 2020): where a value is a list
  # that transactions append unique elements to, each read shows all versions before it and their order. So who overwrote whom, who read whose
  # version and who missed whose is known, and the history is serializable if these dependencies (Adya) have no cycle.
  #
  # A history is a list of transactions `%{id, status: :ok | :aborted | :unknown, begun, ended, ops}`; of an unknown one, whose process was killed,
  # it is not known whether it committed, unless somebody has seen it. Times are integers. Operations:
  #
  #   * `{:append, cell, value, group}` - appends to the list of the cell, and moves its row to a group (`:gone`: there is no row)
  #   * `{:list, cell, values}` - a read of the list
  #   * `{:row, cell, value | nil}` - a read of the row, which holds the last value; nil where there is none
  #   * `{:where, groups, cells, [{cell, value}]}` - a search: of these cells, the rows that are in one of these groups. What it does not find is
  #     a read as well, of some version that is in none of them: so phantoms are dependencies like all others.
  #   * `{:write, cell, value}`, `{:read, cell, value | nil}` - a register, see Isolation.Registers
  #   * `{:inner, :ok | :aborted, operations}` - an inner transaction
  #
  # The last transaction is expected to read everything.

  alias Isolation.{Graph, Own, Registers, Versions}

  @type anomaly :: {atom, term}

  @doc "What is wrong with a history; nothing if it is strictly serializable."
  @spec check([map]) :: [anomaly]
  def check(history) do
    {certain, open} =
      history |> Enum.reject(&(&1.status == :aborted)) |> Enum.split_with(&(&1.status == :ok))

    committed = committed(certain, open)
    {own, internal} = committed |> Enum.map(&Own.apart/1) |> Enum.unzip()
    {edges, wrong} = Versions.dependencies(own)
    {more_edges, more_wrong} = Registers.dependencies(own)
    edges = edges ++ more_edges ++ times(committed)

    cycle =
      case Graph.cycle(edges) do
        nil -> []
        {class, cycle} -> [{class, explain(cycle)}]
      end

    Enum.uniq(List.flatten(internal) ++ wrong ++ more_wrong ++ cycle)
  end

  # What a committed one has seen of a process that was killed has happened, and so has what that one had seen.
  defp committed(certain, open) do
    seen = Own.values_seen(certain)
    happened? = fn txn -> Enum.any?(Own.values_written(txn), &MapSet.member?(seen, &1)) end

    case Enum.split_with(open, happened?) do
      {[], _open} -> certain
      {happened, open} -> committed(happened ++ certain, open)
    end
  end

  # Who had ended before who began: all that ended lead to a moment, moments lead to the next one and to all that begin.
  defp times(committed) do
    starts = for txn <- committed, do: {txn.begun, 0, txn.id}
    ends = for %{ended: ended, id: id} when is_integer(ended) <- committed, do: {ended, 1, id}

    {edges, _moment} =
      (starts ++ ends)
      |> Enum.sort()
      |> Enum.reduce({[], 0}, fn
        {_, 0, id}, {edges, moment} ->
          {[{{:moment, moment}, :rt, id, nil} | edges], moment}

        {_, 1, id}, {edges, moment} ->
          next = {:moment, moment + 1}
          {[{id, :rt, next, nil}, {{:moment, moment}, :rt, next, nil} | edges], moment + 1}
      end)

    edges
  end

  defp explain(cycle), do: for({from, kind, _to, why} <- cycle, do: {from, kind, why})
end
