defmodule Remnesia.Cluster.MergeTest do
  # OTP's merge of schemas knows no storage of plug-ins: a node that comes back to other native copies than it knows could not start any more.
  use Remnesia.PeerCase, async: true

  setup %{names: names, options: options} do
    names = Enum.take(names, 3)
    peers = [a | _] = Peers.start(names, options)
    nodes = for {_, node} <- peers, do: node
    for node <- nodes, do: :pong = Peers.call(a, :net_adm, :ping, [node])
    :ok = Peers.call(a, :remnesia, :create_schema, [nodes])
    for peer <- peers, do: :ok = Peers.call(peer, :remnesia, :start, [])
    {:ok, names: names, peers: peers, nodes: nodes}
  end

  defp back(context, number, others) do
    peer = Peers.start_one(Enum.at(context.names, number), context.options)
    for {_, node} <- others, do: :pong = Peers.call(peer, :net_adm, :ping, [node])
    assert Peers.call(peer, :remnesia, :start, []) == :ok
    tables = Peers.call(peer, :remnesia, :system_info, [:tables])
    assert Peers.call(peer, :remnesia, :wait_for_tables, [tables, 120_000]) == :ok
    peer
  end

  test "copies do not change while a node is down, whatever else does", context do
    %{peers: [a, b, c], nodes: [node_a, node_b, node_c]} = context
    call = fn function, arguments -> Peers.call(a, :remnesia, function, arguments) end

    for {table, options} <- [d: [disc_copies: [node_a]], two: [disc_copies: [node_a, node_b]]],
        do: {:atomic, :ok} = call.(:create_table, [table, options])

    for i <- 1..10, t <- [:d, :two], do: :ok = call.(:dirty_write, [{t, i, i}])
    Peers.kill(c)

    for {function, arguments} <- [
          add_table_copy: [:d, node_b, :disc_copies],
          add_table_copy: [:d, node_b, :disc_only_copies],
          add_table_copy: [:d, node_b, :remnesia_ram],
          move_table_copy: [:d, node_a, node_b],
          change_table_copy_type: [:d, node_a, :disc_only_copies],
          del_table_copy: [:two, node_b]
        ] do
      assert {:aborted, reason} = call.(function, arguments)
      assert inspect(reason) =~ "down"
      assert inspect(reason) =~ to_string(node_c)
    end

    # A node that starts merges schemas, before it knows who runs: no change is to be refused then.
    check = fn ->
      on(a,
        node: node_b,
        do: Remnesia.Backend.check_definition(:remnesia_disc, :d, [node(), node], [])
      )
    end

    status = &on(a, s: &1, do: :ets.insert(:mnesia_gvar, {:mnesia_status, s}))
    assert {:error, text} = check.()
    assert text =~ to_string(node_c)
    status.(:starting)
    assert call.(:system_info, [:is_running]) == :starting
    assert check.() == :ok
    status.(:running)
    assert {:error, ^text} = check.()

    # The other way is Mnesia's, and so is a table that nobody knew.
    assert {:atomic, :ok} = call.(:create_table, [:new, [disc_copies: [node_a, node_b]]])
    assert {:atomic, :ok} = call.(:add_table_copy, [:d, node_b, :ram_copies])
    c = back(context, 2, [a, b])
    assert Peers.call(c, :remnesia, :dirty_read, [:two, 3]) == [{:two, 3, 3}]
    assert {:atomic, :ok} = call.(:add_table_copy, [:new, node_c, :disc_copies])

    # A node that has just heard of it is killed.
    Peers.kill(b)
    b = back(context, 1, [a, c])
    assert Peers.call(b, :remnesia, :dirty_read, [:d, 3]) == [{:d, 3, 3}]

    # One that never comes back is taken out, and all is as before.
    Peers.kill(c)
    assert Peers.call(a, Remnesia.Cluster, :leave, [node_c]) == :ok
    assert {:atomic, :ok} = call.(:change_table_copy_type, [:d, node_b, :disc_copies])
    Peers.kill(b)
    b = back(context, 1, [a])
    assert Peers.call(b, :remnesia, :table_info, [:d, :storage_type]) == :disc_copies
    Enum.each([a, b], &Peers.stop/1)
  end
end
