defmodule Remnesia.Backend.FormerTest do
  # A table that no node keeps in our storage any more is one of Mnesia's alone, also for its start.
  use Remnesia.PeerCase, async: true

  test "a table in memory that was native once is loaded after all nodes were down", context do
    names = Enum.take(context.names, 2)
    peers = [a, b] = Peers.cluster(names, context.options)
    [node_a, node_b] = nodes = for {_, node} <- peers, do: node
    change = fn function, arguments -> Peers.mnesia(a, function, arguments) end

    for {table, options} <- [
          changed: [remnesia_disc: nodes],
          deleted: [remnesia_disc_only: [node_a], ram_copies: [node_b]],
          never: [ram_copies: nodes, remnesia_disc: [], remnesia_ram: []]
        ],
        do: {:atomic, :ok} = change.(:create_table, [table, options])

    for node <- nodes do
      {:atomic, :ok} = change.(:change_table_copy_type, [:changed, node, :disc_only_copies])
      {:atomic, :ok} = change.(:change_table_copy_type, [:changed, node, :ram_copies])
    end

    {:atomic, :ok} = change.(:del_table_copy, [:deleted, node_a])
    {:atomic, :ok} = change.(:add_table_copy, [:deleted, node_a, :ram_copies])
    for peer <- peers, do: :dumped = Peers.mnesia(peer, :dump_log, [])

    Enum.each(peers, &Peers.kill/1)
    peers = for name <- names, do: Peers.start_one(name, context.options)
    :pong = Peers.call(hd(peers), :net_adm, :ping, [elem(b, 1)])
    for peer <- peers, do: :ok = Peers.mnesia(peer, :start, [])

    for peer <- peers, table <- [:changed, :deleted, :never] do
      assert Peers.mnesia(peer, :wait_for_tables, [[table], 120_000]) == :ok
      assert Peers.mnesia(peer, :table_info, [table, :external_copies]) == []
      assert Peers.mnesia(peer, :table_info, [table, :storage_type]) == :ram_copies
    end

    Enum.each(peers, &Peers.stop/1)
  end
end
