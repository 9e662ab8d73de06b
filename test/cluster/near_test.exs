defmodule Remnesia.Cluster.NearTest do
  # A read outside of transactions asks Mnesia once where its table is read, and goes to the native table from then on, until that may have changed.
  use Remnesia.PeerCase, async: true

  alias Remnesia.Links

  @reads [
    {:dirty_read, [:near, 1]},
    {:dirty_select, [:near, [{{:near, 1, :_}, [], [:"$_"]}]]},
    {:dirty_select, [:near, [{{:near, :"$1", :_}, [{:<, :"$1", 2}], [:"$_"]}]]},
    {:dirty_match_object, [{:near, 1, :_}]},
    {:dirty_index_read, [:near, :value, :value]}
  ]

  defp answers(peer) do
    for {function, arguments} <- @reads do
      ours = Peers.call(peer, :remnesia, function, arguments)
      assert ours == Peers.mnesia(peer, function, arguments)
      ours
    end
    |> Enum.uniq()
  end

  defp proved?(peer) do
    match?([_], on(peer, do: Remnesia.Native.read(:"$near", :near, 1, :read)))
  end

  test "what was proved is asked for again when it may have changed", context do
    [a, b | _] = peers = Peers.start(context.names, context.options)
    nodes = for {_, node} <- peers, do: node
    for node <- tl(nodes), do: :pong = Peers.call(a, :net_adm, :ping, [node])
    :ok = Peers.call(a, Remnesia.Schema, :create, [nodes])
    for peer <- peers, do: :ok = Peers.call(peer, Remnesia, :start, [])
    options = [attributes: [:id, :value], index: [:value], disc_copies: nodes]
    {:atomic, :ok} = Peers.call(a, :remnesia, :create_table, [:near, options])
    :ok = Peers.call(a, :remnesia, :dirty_write, [{:near, 1, :value}])
    refute proved?(a)
    assert answers(a) == [[{:near, 1, :value}]]
    assert proved?(a)

    # No copy here any more: it is read where there is one.
    {_, node_a} = a
    {:atomic, :ok} = Peers.call(b, :remnesia, :del_table_copy, [:near, node_a])
    refute proved?(a)
    :ok = Peers.call(b, :remnesia, :dirty_write, [{:near, 1, :value}])
    assert answers(a) == [[{:near, 1, :value}]]
    refute proved?(a)

    # A copy again, and what is written elsewhere from then on.
    {:atomic, :ok} = Peers.call(b, :remnesia, :add_table_copy, [:near, node_a, :disc_copies])
    refute proved?(a)
    assert answers(a) == [[{:near, 1, :value}]]
    assert proved?(a)
    delete(b)
    assert answers(a) == [[]]
    refute proved?(a)

    # A run that has ended; the tables are still in memory.
    :ok = Peers.call(b, :remnesia, :dirty_write, [{:near, 1, :value}])
    Links.wait(fn -> Peers.call(a, :remnesia, :dirty_read, [:near, 1]) != [] end)
    assert proved?(a)
    :stopped = Peers.mnesia(a, :stop, [])

    for {function, arguments} <- @reads do
      [ours, stock] =
        for door <- [:remnesia, :mnesia],
            do: Peers.call(b, :rpc, :call, [node_a, door, function, arguments])

      assert {:badrpc, {:EXIT, {:aborted, _reason}}} = ours
      assert ours == stock
    end

    refute proved?(a)
    delete(b)
    :ok = Peers.mnesia(a, :start, [])
    :ok = Peers.call(a, :remnesia, :wait_for_tables, [[:near], 30_000])
    assert answers(a) == [[]]
    Enum.each(peers, &Peers.stop/1)
  end

  defp delete(peer) do
    on peer do
      {:atomic, :ok} = :remnesia.sync_transaction(fn -> :remnesia.delete({:near, 1}) end)
    end
  end
end
