defmodule Remnesia.PartitionCableTest do
  # A cable is cut: no side is told, the nodes find out by silence, and connect again by themselves.
  use Remnesia.PeerCase, async: true

  alias Remnesia.{Links, Load, Namespaces, Replicas}

  @moduletag :namespaces

  test "keep_majority, when the cable is whole again", %{dir: dir, names: names} do
    network = Namespaces.network(3)
    on_exit(fn -> Namespaces.delete(network) end)

    env = [{:remnesia, :on_partition, {:heal, :keep_majority}}]

    peers =
      for {name, n} <- names |> Enum.take(3) |> Enum.with_index(1),
          do: Peers.start_one(name, [dir: dir, env: env] ++ Namespaces.options(network, n))

    [a, b, c] = Peers.form(peers)
    nodes = for {_, node} <- peers, do: node
    node_c = elem(c, 1)
    options = [remnesia_disc: nodes, attributes: [:k, :v, :w], index: [:v]]

    for table <- [:d, :m],
        do:
          {:atomic, :ok} =
            Peers.mnesia(a, :create_table, [table, [majority: table == :m] ++ options])

    for {peer, tag} <- [{a, :on_a}, {c, :on_c}], do: Load.start(peer, [:d, :m], tag)
    for {peer, tag} <- [{a, :on_a}, {c, :on_c}], do: Load.wait(peer, tag, 20)
    Namespaces.cut(network, 3)
    running = fn peer -> length(Peers.mnesia(peer, :system_info, [:running_db_nodes])) end
    Links.wait(fn -> running.(a) == 2 and running.(b) == 2 and running.(c) == 1 end)
    # Both sides go on.
    Load.wait(a, :on_a, 20)
    Load.wait(c, :on_c, 40, :no_majority)
    Namespaces.join(network, 3)
    Links.wait(fn -> Enum.all?([a, b, c], &(running.(&1) == 3)) end)
    Links.wait(fn -> on(c, do: Remnesia.Partition.Files.noted()) == nil end)
    {done_a, _} = Load.stop(a, :on_a)
    {done_c, reasons} = Load.stop(c, :on_c)
    assert :no_majority in reasons
    tables = Replicas.same!(peers, [:d, :m])

    files = Path.wildcard(Path.join([dir, "c*", "partitions", "*#{node_c}"]))
    assert [file] = files
    {:ok, versions} = Peers.call(c, Remnesia.Partition, :fold, [file, %{}, &Load.add/4])
    kept = fn table, key -> List.keymember?(tables[table], key, 1) end
    assert for({table, n} <- done_a, not kept.(table, {:on_a, n}), do: n) == []
    lost = for {table, n} <- done_c, not kept.(table, {:on_c, n}), do: {table, {:on_c, n}}
    assert lost != []
    assert Enum.reject(lost, &Map.has_key?(versions, &1)) == []
    Enum.each(peers, &Peers.stop/1)
  end
end
