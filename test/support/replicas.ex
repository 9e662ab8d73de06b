defmodule Remnesia.Replicas do
  @moduledoc false

  # Copies of a table on several nodes, compared by hashes of the records and of what each index finds.

  alias Remnesia.Peers

  @doc "Raises where the copies of a table are not the same; the records of the first by table."
  def same!(peers, tables) do
    # What was written without waiting for others has arrived.
    for peer <- peers, do: Peers.call(peer, __MODULE__, :barrier, [tables])

    for table <- tables, into: %{} do
      [{_, first} | others] = for {_, node} = peer <- peers, do: {node, hash(peer, table)}

      for {node, hash} <- others, hash != first do
        [ours, theirs] =
          for peer <- [hd(peers), List.keyfind(peers, node, 1)], do: Peers.content(peer, table)

        raise "#{table} on #{node} differs: #{inspect({hash, first, ours -- theirs, theirs -- ours}, limit: 30)}"
      end

      {table, Peers.content(hd(peers), table)}
    end
  end

  defp hash(peer, table), do: Peers.call(peer, __MODULE__, :of, [table])

  @doc false
  def of(table) do
    records = Remnesia.Peers.Content.of(table)

    indexes =
      for position <- :mnesia.table_info(table, :index), is_integer(position), into: %{} do
        found =
          for value <- records |> Enum.map(&elem(&1, position - 1)) |> Enum.uniq(),
              do: {value, Enum.sort(:mnesia.dirty_index_read(table, value, position))}

        {position, digest(found)}
      end

    {digest(records), indexes, native(table)}
  end

  # The native table says the same of itself, where it is one.
  defp native(table) do
    case Remnesia.Native.table_check({:mnesia, table}) do
      {:"$error", {:no_exists, _stock}} -> :ok
      other -> other
    end
  end

  defp digest(term),
    do: term |> :erlang.term_to_binary([:deterministic]) |> :erlang.md5() |> Base.encode16()

  # Messages of one node to another keep their order.
  @doc false
  def barrier(tables) do
    for table <- tables,
        do: :mnesia.sync_dirty(fn -> :mnesia.delete({table, :no_such_key_of_a_test}) end)

    :ok
  end
end
