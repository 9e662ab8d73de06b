defmodule Remnesia.Engine.Local.Slot do
  @moduledoc false

  # dirty_slot, which programs call with 0, 1, 2 .. to walk a table. Slots are no thing of the engine: here a slot is the next so many
  # records of a scan, and the process remembers where its last call ended, so that a walk costs what one scan costs. Slots that are
  # asked for in another order are counted from the beginning.

  alias Remnesia.Engine.Local.{Dirty, Signal}
  alias Remnesia.Native

  @everything [{:_, [], [:"$_"]}]
  @size 8
  @key :"$remnesia_slot"

  @doc "The records of a slot; the end of the table just after the last one."
  @spec read(atom, non_neg_integer) :: [tuple] | :"$end_of_table" | no_return
  def read(table, slot) when is_atom(table) and table != :schema and is_integer(slot) do
    cond do
      slot < 0 -> bad(table, slot)
      slot == 0 -> first(table, 0)
      true -> next(table, slot)
    end
  end

  def read(table, slot), do: Signal.abort({:bad_type, table, slot})

  defp first(table, asked) do
    case Native.select(nil, table, @everything, :read, @size) do
      {:"$error", reason} -> Dirty.refuse(table, [table, asked], reason)
      answer -> answer(answer, table, 0, [])
    end
  end

  defp next(table, slot) do
    before = slot - 1

    case :erlang.get(@key) do
      {^table, ^before, :done} ->
        :erlang.put(@key, {table, slot, :over})
        :"$end_of_table"

      {^table, ^before, :over} ->
        bad(table, slot)

      {^table, ^before, continuation} ->
        nil |> Native.select_next(continuation) |> answer(table, slot, [])

      _other ->
        walk(table, slot)
    end
  end

  # From the beginning, slot by slot; the end of the table is a slot that is asked for after the last one only.
  defp walk(table, slot) do
    Enum.reduce_while(0..(slot - 1), [], fn at, _ ->
      records = if at == 0, do: first(table, slot), else: next(table, at)
      if records == :"$end_of_table", do: {:halt, :over}, else: {:cont, records}
    end)
    |> case do
      :over -> bad(table, slot)
      _records -> next(table, slot)
    end
  end

  defp answer({:slice, records, continuation}, table, slot, before),
    do: nil |> Native.select_next(continuation) |> answer(table, slot, before ++ records)

  defp answer({:limit, records, continuation}, table, slot, before) do
    :erlang.put(@key, {table, slot, continuation})
    before ++ records
  end

  defp answer({:done, records}, table, slot, before) do
    case before ++ records do
      [] when slot > 0 ->
        :erlang.put(@key, {table, slot, :over})
        :"$end_of_table"

      records ->
        :erlang.put(@key, {table, slot, :done})
        records
    end
  end

  defp answer({:"$error", reason}, table, slot, _before),
    do: Dirty.refuse(table, [table, slot], reason)

  @spec bad(atom, integer) :: no_return
  defp bad(table, slot) do
    if Native.table_props(table) == :error,
      do: Signal.abort({:no_exists, [table, slot]}),
      else: Signal.abort({:badarg, [table, slot]})
  end
end
