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

  @typedoc "What the receiver knows: sender, expected records, and when it last said how many it has."
  @type state :: {node, non_neg_integer, integer}
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
  def receiver(sender, _table, size), do: {node(sender), size, now()}

  @spec take(data, atom, state) :: state
  def take(data, table, {node, size, told}) do
    put(data, Table.name(table), size)
    {node, size, progress(table, node, size, told)}
  end

  defp put({@parcel, parcel, records}, name, size) do
    unpack(name, parcel, 0, size)
    write(name, records)
  end

  defp put(records, name, _size), do: write(name, records)

  defp unpack(_name, parcel, place, _size) when place == byte_size(parcel), do: :ok

  defp unpack(name, parcel, place, size) do
    case Native.transfer_put(name, parcel, place, size) do
      next when is_integer(next) ->
        unpack(name, parcel, next, size)

      {:"$room", bytes} ->
        Wait.room(bytes)
        unpack(name, parcel, place, size)

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
  def finish(table, _state), do: Table.keep_copy(table)

  defp now, do: System.monotonic_time(:millisecond)
end
