defmodule Remnesia.Cluster.MemorySchemaTest do
  # Two nodes without a schema on disc, as in calls_test.exs: what needs a disc is refused as stock refuses it, so no table is gone after a restart
  # that was said to be on disc.
  use Remnesia.PeerCase, async: true

  alias Remnesia.Calls

  @program Calls.lines(File.read!(Path.join(__DIR__, "memory/schema.txt")))

  setup %{names: names, spare: spare, dir: dir, options: options} do
    peers = [a, b, c, d] = Peers.start(names ++ [spare], options)
    on_exit(fn -> Enum.each(peers, &Peers.stop/1) end)

    pairs =
      for {side, one, two} <- [{:remnesia, a, b}, {:mnesia, c, d}] do
        :pong = Peers.call(one, :net_adm, :ping, [elem(two, 1)])

        for peer <- [one, two] do
          on(peer, do: Application.put_env(:remnesia, :engine, :cluster))
          :ok = Peers.call(peer, side, :start, [])
        end

        files = Path.join(dir, "files-#{side}")
        File.mkdir_p!(files)
        {side, one, two, String.to_charlist(files)}
      end

    {:ok, pairs: pairs}
  end

  test "what has no disc is not on one", %{pairs: [ours, stock]} do
    for line <- @program, do: assert(Calls.difference(line, ours, stock) == nil)
  end

  test "a table does not move to a node without a disc, which stock does not answer", context do
    %{pairs: [{_, one, two, _} | _]} = context
    [node_a, node_b] = for {_, node} <- [one, two], do: node
    {:ok, _} = Peers.call(one, :remnesia, :change_config, [:extra_db_nodes, [node_b]])
    disc = [:schema, node_b, :disc_copies]
    {:atomic, :ok} = Peers.call(two, :remnesia, :change_table_copy_type, disc)
    {:atomic, :ok} = Peers.call(two, :remnesia, :create_table, [:d, [disc_copies: [node_b]]])
    move = [:d, node_b, node_a]

    assert Peers.call(one, :remnesia, :move_table_copy, move) ==
             {:aborted, {:combine_error, :d, ~c"has no disc", node_a}}

    assert Peers.call(one, Remnesia.Table, :set_storage_type, [:d, node_b, :ram_copies]) == :ok
    assert Peers.call(one, :remnesia, :move_table_copy, move) == {:atomic, :ok}
  end
end
