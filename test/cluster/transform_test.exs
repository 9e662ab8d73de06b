defmodule Remnesia.Cluster.TransformTest do
  # transform_table that leaves records as they are: a native table has records of one name and size, so none is left behind.
  use Remnesia.PeerCase, async: true

  setup %{names: names, options: options} do
    peers = [a, b] = Peers.start(Enum.take(names, 2), options)
    nodes = for {_, node} <- peers, do: node
    :pong = Peers.call(a, :net_adm, :ping, [elem(b, 1)])
    :ok = Peers.call(a, :remnesia, :create_schema, [nodes])
    for peer <- peers, do: :ok = Peers.call(peer, :remnesia, :start, [])
    on_exit(fn -> Enum.each(peers, &Peers.stop/1) end)
    {:ok, peers: peers, nodes: nodes}
  end

  test ":ignore, and a function that changes some", %{peers: [a, b] = peers, nodes: nodes} do
    for type <- [:set, :bag], native <- [:both, :one] do
      kept = if native == :both, do: [disc_copies: nodes], else: [disc_copies: [hd(nodes)]]
      kept = if native == :both, do: kept, else: kept ++ [ram_copies: tl(nodes)]

      on a, kept: kept, type: type do
        {:atomic, :ok} = :remnesia.create_table(:t, [type: type, index: [:val]] ++ kept)
        for i <- 1..10, do: :remnesia.sync_dirty(fn -> :remnesia.write({:t, i, rem(i, 3)}) end)
      end

      # The number of attributes: there are records that have not so many.
      for peer <- peers do
        assert {:aborted, {~c"Bad transform function", :t, :ignore, _, {~c"Bad arity", _, _}}} =
                 Peers.call(peer, :remnesia, :transform_table, [:t, :ignore, [:k, :v, :w]])

        assert {:aborted, {~c"Bad transform function", :t, :ignore, _, {~c"Bad arity", _, _}}} =
                 Peers.call(peer, :remnesia, :transform_table, [:t, :ignore, [:k, :v, :w], :r])
      end

      # The name: all get it, also those that were not to be touched.
      assert Peers.call(b, :remnesia, :transform_table, [:t, :ignore, [:k, :v], :r]) ==
               {:atomic, :ok}

      on(a, do: :remnesia.sync_dirty(fn -> :remnesia.write(:t, {:r, 11, 2}, :write) end))
      assert same!(peers) == for(i <- 1..11, do: {:r, i, rem(i, 3)})

      transformed =
        on b do
          change = fn {name, k, v} -> if v == 1, do: {:s, k, :one}, else: {name, k, v} end
          :remnesia.transform_table(:t, change, [:k, :v], :s)
        end

      assert transformed == {:atomic, :ok}

      values = %{0 => 0, 1 => :one, 2 => 2}
      assert same!(peers) == for(i <- 1..11, do: {:s, i, values[rem(i, 3)]})

      # Where nothing is there nothing is left behind.
      on(a, do: {:atomic, :ok} = :remnesia.clear_table(:t))

      assert Peers.call(a, :remnesia, :transform_table, [:t, :ignore, [:k, :v, :w]]) ==
               {:atomic, :ok}

      on(b, do: :remnesia.sync_dirty(fn -> :remnesia.write(:t, {:s, 1, 2, 3}, :write) end))
      assert same!(peers) == [{:s, 1, 2, 3}]
      on(a, do: {:atomic, :ok} = :remnesia.delete_table(:t))
    end
  end

  defp same!(peers), do: Remnesia.Replicas.same!(peers, [:t])[:t]
end
