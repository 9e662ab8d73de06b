defmodule Remnesia.Backend.Transfer do
  @moduledoc false

  # A table on its way to another node, in Mnesia's own protocol: lists of records, so that either side may be stock Mnesia. The sender
  # scans natively; Mnesia sends what changes meanwhile itself.

  alias Remnesia.Backend.{Fatal, Search, Table}
  alias Remnesia.Engine.Local.Wait
  alias Remnesia.Native

  require Logger

  @everything [{:_, [], [:"$_"]}]
  # Records of one message: about this many bytes.
  @message 256_000
  @most 5_000
  # A transfer that takes longer than this says how far it is.
  @progress_every 5_000

  @typedoc "What the receiver knows: sender, expected and received records, and when it last said so."
  @type state :: {node, non_neg_integer, non_neg_integer, integer}

  # --- sending ---

  @spec sender(atom) :: {:standard, (() -> term), (term -> term)}
  def sender(table),
    do:
      {:standard, fn -> Search.select(Table.name(table), @everything, records(table)) end,
       &chunk/1}

  @spec chunk(term) :: {[tuple], term} | :"$end_of_table"
  def chunk(continuation), do: Search.continue(continuation)

  defp records(table) do
    size = Table.info(table, :size)
    words = Table.info(table, :memory)
    if size == 0, do: @most, else: div(@message, div(words * 8, size) + 1) |> max(1) |> min(@most)
  end

  # --- receiving ---

  @spec receiver(pid, atom, non_neg_integer) :: state
  def receiver(sender, _table, size), do: {node(sender), size, 0, now()}

  @spec take([tuple], atom, state) :: state
  def take(records, table, {node, size, taken, told}) do
    write(Table.name(table), records)
    taken = taken + length(records)
    {node, size, taken, progress(table, node, size, taken, told)}
  end

  defp write(_name, []), do: :ok

  defp write(name, records) do
    case Native.write_all(name, records) do
      rest when is_list(rest) ->
        write(name, rest)

      {:"$room", bytes} ->
        Wait.room(bytes)
        write(name, records)

      {:"$error", reason} ->
        {:mnesia, table} = name
        Fatal.halt(:receive_data, table, reason)
    end
  end

  defp progress(table, node, size, taken, told) do
    if now() - told < @progress_every do
      told
    else
      Logger.info("remnesia: #{inspect(table)} from #{node}: #{taken} of #{size} records so far")
      now()
    end
  end

  @spec finish(atom, state) :: :ok
  def finish(table, _state), do: Table.keep_copy(table)

  defp now, do: System.monotonic_time(:millisecond)
end
