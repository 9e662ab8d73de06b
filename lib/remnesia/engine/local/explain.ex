defmodule Remnesia.Engine.Local.Explain do
  @moduledoc false

  # What a search would do and what it did. It needs no transaction; within one, running the search takes its locks and
  # sees what was written.

  import Remnesia.Engine.Local.Transaction, only: [current: 0]

  alias Remnesia.Engine.Local.{Scan, Signal}
  alias Remnesia.Native

  @doc "What the native planner answers, see select_plan in docs/design.md; `{:bad_spec, reason}` for a spec that is none."
  @spec plan(term, list) :: tuple | {:bad_spec, String.t()} | no_return
  def plan(table, spec) do
    case Native.select_plan(table, spec) do
      {:"$error", {:badarg, _}} -> {:bad_spec, refusal(table, spec)}
      {:"$error", reason} -> Signal.abort(Signal.reason(reason))
      plan -> plan
    end
  end

  defp refusal(table, spec) do
    {:ok, %{attributes: attributes, record_name: name}} = Native.table_props(table)

    case Native.spec_test(List.to_tuple([name | attributes]), spec) do
      {:error, reason} -> reason
      {:ok, _result} -> "It is refused."
    end
  end

  @doc "Runs the search without making its results: rows looked at, rows that match, microseconds."
  @spec run(term, list) :: {non_neg_integer, non_neg_integer, non_neg_integer} | no_return
  def run(table, spec) do
    arguments = [context(), table, spec, :read]
    begun = System.monotonic_time()

    [{visited, matched}] =
      Scan.all(apply(Native, :select_count, arguments), :select_count, arguments)

    elapsed = System.monotonic_time() - begun
    {visited, matched, System.convert_time_unit(elapsed, :native, :microsecond)}
  end

  @spec test(tuple, list) :: {:ok, term} | {:error, String.t()}
  def test(record, spec), do: Native.spec_test(record, spec)

  defp context do
    case current() do
      :undefined -> nil
      txn -> if Native.txn_depth(txn) > 0, do: txn
    end
  end
end
