defmodule Remnesia.PartitionHealTest do
  # Three nodes, the third one cut off under load; each strategy does what the guide says, and nothing is lost without a trace.
  use Remnesia.PeerCase, async: true

  alias Remnesia.{Links, Listener, Load, Replicas}

  setup context do
    env = [{:remnesia, :on_partition, context[:policy]}]
    {:ok, names: Enum.take(context.names, 3), options: [dir: context.dir, env: env]}
  end

  @tables [:d, :s, :m]

  defp cluster(context) do
    peers = [a, b, c] = Peers.cluster(context.names, context.options)
    nodes = for {_, node} <- peers, do: node
    attributes = [attributes: [:k, :v, :w], index: [:v]]

    for {table, options} <- [
          d: [remnesia_disc: nodes],
          s: [ram_copies: nodes],
          m: [remnesia_disc: nodes, majority: true],
          bag: [remnesia_disc: nodes, type: :bag],
          own: [remnesia_disc: [elem(c, 1)]],
          two: [remnesia_ram: [elem(a, 1), elem(b, 1)]]
        ] do
      assert Peers.mnesia(a, :create_table, [table, options ++ attributes]) == {:atomic, :ok}
    end

    Enum.each(peers, &Listener.start/1)
    {a, b, c}
  end

  # Cut, both sides write, joined; what was acknowledged on the sides.
  defp partition({a, b, c}, during) do
    for {peer, tag} <- [{a, :on_a}, {c, :on_c}], do: Load.start(peer, @tables, tag)
    for {peer, tag} <- [{a, :on_a}, {c, :on_c}], do: Load.wait(peer, tag, 20)
    Links.cut([a, b], [c])
    Load.wait(a, :on_a, 20)
    Load.wait(c, :on_c, 40, :no_majority)
    during.()
    Links.join([a, b], [c])
  end

  defp stop_load({a, _b, c}), do: {Load.stop(a, :on_a), Load.stop(c, :on_c)}

  defp all_running!(peers) do
    for peer <- peers do
      Links.wait(fn -> length(Peers.mnesia(peer, :system_info, [:running_db_nodes])) == 3 end)
      assert Peers.mnesia(peer, :table_info, [:d, :master_nodes]) == []
      assert Peers.mnesia(peer, :table_info, [:schema, :master_nodes]) == []
      assert on(peer, do: Remnesia.Partition.Files.noted()) == nil
    end
  end

  # Keys that the files have, of each table.
  defp in_files(peers, files) do
    for {node, path} <- files, {_, ^node} = peer <- peers, reduce: %{} do
      versions ->
        {:ok, found} = Peers.call(peer, Remnesia.Partition, :fold, [path, versions, &Load.add/4])

        found
    end
  end

  defp missing(done, tag, tables, versions) do
    for {table, n} <- done,
        key = {tag, n},
        not List.keymember?(tables[table], key, 1),
        not Map.has_key?(versions, {table, key}),
        do: {table, key}
  end

  @tag policy: {:heal, :keep_majority}
  test "keep_majority: the minority reloads, what it had is in a file", context do
    {a, b, c} = peers = cluster(context)
    [node_a, node_b, node_c] = for {_, node} <- [a, b, c], do: node
    before = on(c, do: for(i <- 1..3, do: :mnesia.dirty_write({:own, i, i, i})))
    assert before == [:ok, :ok, :ok]

    partition(peers, fn ->
      on(c, do: for(i <- 1..50, do: :mnesia.dirty_write({:bag, i, :theirs, i})))
      on(a, do: for(i <- 25..60, do: :mnesia.dirty_write({:bag, i, :ours, i})))
      on(c, do: :mnesia.dirty_delete(:d, {:on_a, 1}))
      # What reached only one of the winners before its link broke, too.
      on(b, do: Remnesia.Backend.insert(:remnesia_disc, :bag, {:bag, 99, :half, 1}))
    end)

    about = Listener.wait(a, :healed)
    assert Listener.wait(b, :healed) == about
    {{done_a, []}, {done_c, reasons}} = stop_load(peers)
    assert {about.kept, about.reloaded} == {[node_a, node_b], [node_c]}
    assert {about.strategy, about.failed, about.merged} == {:keep_majority, [], %{}}
    assert about.repaired.bag >= 1
    assert :no_majority in reasons
    assert reasons -- [:no_majority, :node_not_running, :no_exists, :shutdown] == []
    all_running!([a, b, c])

    tables = Replicas.same!([a, b, c], [:d, :s, :m, :bag])
    assert %{^node_c => path, ^node_b => half} = Map.new(about.files)
    versions = in_files([a, b, c], [{node_c, path}])
    assert in_files([a, b, c], [{node_b, half}])[{:bag, 99}] == [{:bag, 99, :half, 1}]
    # Each acknowledged write is there, or in the file; those of the kept side are all there.
    assert missing(done_a, :on_a, tables, %{}) == []
    assert missing(done_c, :on_c, tables, versions) == []
    assert missing(done_c, :on_c, tables, %{}) != []
    assert versions[{:bag, 1}] == [{:bag, 1, :theirs, 1}]
    assert versions[{:bag, 60}] == []
    assert versions[{:d, {:on_a, 1}}] == []
    assert Enum.sort(tables.bag) == for(i <- 25..60, do: {:bag, i, :ours, i})
    # Nothing to lose where a majority is asked for, but what was under way.
    assert Map.get(about.losing, :m, 0) < about.losing.d
    # What the others do not have stays.
    assert length(Peers.content(c, :own)) == 3
    assert File.stat!(path).mode |> Bitwise.band(0o077) == 0

    # Nothing is left to do.
    assert on(c, do: Remnesia.Partition.Heal.run({:heal, :keep_majority})) == :whole
    Enum.each([a, b, c], &Peers.stop/1)
  end

  @tag policy: {:heal, :keep_oldest}
  test "keep_oldest: the node that has run longest keeps its data, though it is alone", context do
    peers = {a, b, c} = cluster(context)
    [node_a, node_b, node_c] = for {_, node} <- [a, b, c], do: node
    # The first two are younger.
    for peer <- [a, b] do
      :stopped = Peers.mnesia(peer, :stop, [])
      :ok = Peers.mnesia(peer, :start, [])
      :ok = Peers.mnesia(peer, :wait_for_tables, [@tables, 120_000])
      Listener.start(peer)
      # Its watcher has seen that, too.
      age = fn peer -> peer |> Peers.call(Remnesia.Partition.Watch, :status, []) |> elem(1) end
      Links.wait(fn -> age.(peer) < age.(c) end)
    end

    partition(peers, fn ->
      on(a, do: :mnesia.dirty_write({:two, 1, :kept, 1}))
      on(b, do: for(i <- 1..10, do: :mnesia.dirty_write({:bag, i, :dropped, i})))
    end)

    about = Listener.wait(c, :healed)
    {{done_a, _}, {done_c, _}} = stop_load(peers)
    assert {about.kept, about.reloaded} == {[node_c], [node_a, node_b]}
    assert about.failed == []
    all_running!([a, b, c])
    tables = Replicas.same!([a, b, c], [:d, :s, :m, :bag])
    versions = in_files([a, b, c], about.files)
    assert missing(done_c, :on_c, tables, %{}) == []
    assert missing(done_a, :on_a, tables, versions) == []
    assert tables.bag == []
    assert versions[{:bag, 7}] == [{:bag, 7, :dropped, 7}]
    assert List.keymember?(about.files, node_a, 0)

    # The winner has no copy of this one, and it is in memory: it is as after any stop of all its nodes.
    assert Replicas.same!([a, b], [:two]) == %{two: []}
    Enum.each([a, b, c], &Peers.stop/1)
  end

  @tag policy: {:heal, {:merge, {Remnesia.Load, :merge}}}
  test "merge: a function makes one record of two versions", context do
    peers = {a, b, c} = cluster(context)

    on(a,
      do: for(t <- [:d, :bag], do: :mnesia.sync_dirty(fn -> :mnesia.write({t, :gone, 1, 1}) end))
    )

    partition(peers, fn ->
      on(a, do: for(t <- [:d, :s], do: :mnesia.dirty_write({t, :n, 5, :ours})))
      on(c, do: for(t <- [:d, :s], do: :mnesia.dirty_write({t, :n, 7, :theirs})))
      on(a, do: for(i <- 1..20, do: :mnesia.dirty_write({:bag, i, :ours, i})))
      on(c, do: for(i <- 11..30, do: :mnesia.dirty_write({:bag, i, :theirs, i})))
      on(c, do: for(k <- [:bad, :raises], do: :mnesia.dirty_write({:m, k, 1, 1})))
      on(c, do: :mnesia.dirty_delete(:d, :gone))
    end)

    about = Listener.wait(a, :healed)
    {{done_a, _}, {done_c, _}} = stop_load(peers)
    assert about.refused == %{m: 2}
    assert about.merged.d > 1
    assert about.failed == []
    all_running!([a, b, c])
    tables = Replicas.same!([a, b, c], [:d, :s, :m, :bag])
    # Nothing that either side acknowledged is missing.
    assert missing(done_a, :on_a, tables, %{}) == []
    assert missing(done_c, :on_c, tables, %{}) == []
    assert List.keyfind(tables.d, :n, 1) == {:d, :n, 7, :ours}
    assert List.keyfind(tables.s, :n, 1) == {:s, :n, 7, :ours}
    refute List.keymember?(tables.d, :gone, 1)
    refute List.keymember?(tables.m, :bad, 1)
    assert Enum.sort(for {:bag, 15, v, _} <- tables.bag, do: v) == [:ours, :theirs]
    assert length(tables.bag) == 20 + 20 + 1
    versions = in_files([a, b, c], about.files)
    assert versions[{:m, :raises}] == [{:m, :raises, 1, 1}]
    Enum.each([a, b, c], &Peers.stop/1)
  end

  @tag policy: :report
  test "report: the islands are told, once, and nothing is done", context do
    {a, b, c} = cluster(context)
    [node_a, node_b, node_c] = for {_, node} <- [a, b, c], do: node
    Links.cut([a, b], [c])
    on(a, do: :mnesia.dirty_write({:d, 1, :a, 1}))
    on(c, do: :mnesia.dirty_write({:d, 1, :c, 1}))
    Links.join([a, b], [c])

    reported = &match?(%{reason: :report}, &1)
    islands = [[node_a, node_b], [node_c]]
    for peer <- [a, b, c], do: assert(Listener.wait(peer, :found, reported).islands == islands)

    # It looks again, and has nothing new to tell.
    count = fn -> Enum.count(Listener.told(a), fn {_, about} -> reported.(about) end) end
    before = count.()

    on(a,
      do: send(Remnesia.Partition.Watch, {:mnesia_system_event, {:inconsistent_database, 1, 2}})
    )

    looks = fn -> Peers.call(a, :sys, :get_state, [Remnesia.Partition.Watch, 120_000]).look end
    Links.wait(fn -> looks.() == nil end)
    assert count.() == before
    assert on(a, do: :mnesia.dirty_read(:d, 1)) == [{:d, 1, :a, 1}]
    assert on(c, do: :mnesia.dirty_read(:d, 1)) == [{:d, 1, :c, 1}]
    Enum.each([a, b, c], &Peers.stop/1)
  end

  @tag policy: {:heal, :keep_majority}
  test "both doors, with a schema in memory: the node joins again", context do
    env = [{:remnesia, :engine, :cluster} | context.options[:env]]
    peers = [a, b, c] = Peers.start(context.names, Keyword.put(context.options, :env, env))
    nodes = for {_, node} <- peers, do: node
    for one <- peers, {_, node} <- peers, do: :pong = Peers.call(one, :net_adm, :ping, [node])
    for peer <- peers, do: :ok = Peers.call(peer, Remnesia, :start, [])

    for node <- tl(nodes),
        do: assert({:ok, [^node]} = Peers.call(a, Remnesia, :add_nodes, [node]))

    options = [ram_copies: nodes]
    assert Peers.call(a, Remnesia.Table, :create, [Example.Movie, options]) == :ok
    # What the policy needs, unless one says otherwise.
    assert Peers.call(a, :remnesia, :table_info, [Example.Movie, :majority])

    assert {:atomic, :ok} =
             Peers.call(a, :remnesia, :create_table, [:plain, [majority: false] ++ options])

    refute Peers.call(a, :remnesia, :table_info, [:plain, :majority])
    for i <- 1..10, do: Peers.call(a, :remnesia, :dirty_write, [{:plain, i, :first}])

    Links.cut([a, b], [c])

    write = fn ->
      on(c,
        do:
          Remnesia.Transaction.execute(fn ->
            Remnesia.Query.write(struct!(Example.Movie, id: 1))
          end)
      )
    end

    assert {:error, {:no_majority, Example.Movie}} = write.()
    on(c, do: :remnesia.dirty_write({:plain, 1, :theirs}))
    Links.join([a, b], [c])
    Links.wait(fn -> length(Peers.call(c, :remnesia, :system_info, [:running_db_nodes])) == 3 end)
    Links.wait(fn -> on(c, do: Remnesia.Partition.Files.noted()) == nil end)
    assert :ok = Peers.call(c, Remnesia, :wait, [[Example.Movie, :plain], 120_000])
    assert List.keyfind(Replicas.same!(peers, [:plain]).plain, 1, 1) == {:plain, 1, :first}
    [path] = Path.wildcard(Path.join([context.options[:dir], "c*", "partitions", "*"]))
    fold = [path, %{}, &Load.add/4]

    assert Peers.call(c, Remnesia.Partition, :fold, fold) ==
             {:ok, %{{:plain, 1} => [{:plain, 1, :theirs}]}}

    Enum.each(peers, &Peers.stop/1)
  end
end
