defmodule Remnesia.Backend.Transfer do
  @moduledoc false

  # A table on its way to another node, in Mnesia's own protocol, where twenty messages may be under way. The sender scans natively; Mnesia
  # sends what changes meanwhile itself.
  #
  # What a message holds is up to the two: between two nodes of Remnesia it is a parcel, bytes that one native side makes and the other one takes, with
  # those records beside it that mean something else elsewhere (pids and the like); else it is a list of records, as either may be stock Mnesia.

  alias Remnesia.Backend
  alias Remnesia.Backend.{Fatal, Search, Table}
  alias Remnesia.Engine.Local.Wait
  alias Remnesia.Native

  require Logger

  # The form of a parcel: a node says which it takes.
  @form 1
  @parcel :"$remnesia_parcel"
  @everything [{:_, [], [:"$_"]}]
  # Records of one list: about this many bytes.
  @message 256_000
  @most 5_000
  # A transfer that takes longer than this says how far it is.
  @progress_every 5_000

  @typedoc "What the receiver knows: sender, expected records, when it last said how many it has, and who makes rows of the parcel that came last."
  @type state :: {node, non_neg_integer, integer, {pid, reference} | nil}
  @typedoc "What one message holds."
  @type data :: [tuple] | {atom, binary, [tuple]}

  @doc "The forms of parcels that this node takes."
  @spec forms() :: [pos_integer]
  def forms, do: [@form]

  # --- sending ---

  @spec sender(atom, storage :: term, pid) :: {:standard, (() -> term), (term -> term)}
  def sender(table, storage, receiver) do
    if parcels?(storage, node(receiver)) do
      {:standard, fn -> chunk({:parcels, Table.name(table), nil}) end, &chunk/1}
    else
      {:standard, fn -> Search.select(Table.name(table), @everything, records(table)) end,
       &chunk/1}
    end
  end

  # One that has never heard of forms takes lists.
  defp parcels?({:ext, _alias, Backend}, node) do
    case :rpc.call(node, __MODULE__, :forms, [], 5_000) do
      [_ | _] = forms -> @form in forms
      _other -> false
    end
  end

  defp parcels?(_stock, _node), do: false

  @spec chunk(term) :: {data, term} | :"$end_of_table"
  def chunk({:parcels, _name, :done}), do: :"$end_of_table"

  def chunk({:parcels, name, place}) do
    case Native.transfer_take(name, place) do
      {"", [], next} -> chunk({:parcels, name, next})
      {parcel, records, next} -> {{@parcel, parcel, records}, {:parcels, name, next}}
      _refused -> :erlang.error(:badarg)
    end
  end

  def chunk(continuation), do: Search.continue(continuation)

  defp records(table) do
    size = Table.info(table, :size)
    words = Table.info(table, :memory)
    if size == 0, do: @most, else: div(@message, div(words * 8, size) + 1) |> max(1) |> min(@most)
  end

  # --- receiving ---

  @spec receiver(pid, atom, non_neg_integer) :: state
  def receiver(sender, _table, size), do: {node(sender), size, now(), nil}

  # To make rows of a parcel takes as long as to put them into the table, so one process does the former while this one does the latter with the
  # parcel before.
  @spec take(data, atom, state) :: state
  def take({@parcel, parcel, records}, table, state) do
    opening = if parcel != "", do: open(parcel)
    {node, size, told, nil} = put_last(table, state)
    write(Table.name(table), records)
    {node, size, progress(table, node, size, told), opening}
  end

  def take(records, table, {node, size, told, nil}) do
    write(Table.name(table), records)
    {node, size, progress(table, node, size, told), nil}
  end

  # Not linked: Mnesia's process takes the end of one for its own. It ends by itself, with the rows or without.
  defp open(parcel), do: spawn_monitor(fn -> exit({:rows, Native.transfer_open(parcel)}) end)

  defp put_last(_table, {_node, _size, _told, nil} = state), do: state

  defp put_last(table, {node, size, told, {pid, monitor}}) do
    receive do
      {:DOWN, ^monitor, :process, ^pid, {:rows, {rows, number}}} when is_integer(number) ->
        put(Table.name(table), rows, 0, number, size)

      {:DOWN, ^monitor, :process, ^pid, {:rows, {:"$error", reason}}} ->
        failed(Table.name(table), reason)

      {:DOWN, ^monitor, :process, ^pid, reason} ->
        exit(reason)
    end

    {node, size, told, nil}
  end

  defp put(_name, _rows, number, number, _size), do: :ok

  defp put(name, rows, place, number, size) do
    case Native.transfer_put(name, rows, place, size) do
      next when is_integer(next) ->
        put(name, rows, next, number, size)

      {:"$room", bytes} ->
        Wait.room(bytes)
        put(name, rows, place, number, size)

      {:"$error", reason} ->
        failed(name, reason)
    end
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
        failed(name, reason)
    end
  end

  defp failed({:mnesia, table}, reason), do: Fatal.halt(:receive_data, table, reason)

  defp progress(table, node, size, told) do
    if now() - told < @progress_every do
      told
    else
      taken = Table.info(table, :size)
      Logger.info("remnesia: #{inspect(table)} from #{node}: #{taken} of #{size} records so far")
      now()
    end
  end

  @spec finish(atom, state) :: :ok
  def finish(table, state) do
    put_last(table, state)
    Table.keep_copy(table)
  end

  defp now, do: System.monotonic_time(:millisecond)
end
