defmodule Remnesia.ClusterTest do
  # Both doors on several nodes: Mnesia's protocol, native tables, the usual names.
  use Remnesia.PeerCase, async: true

  defp meet([first | others]),
    do: for({_peer, node} <- others, do: :pong = Peers.call(first, :net_adm, :ping, [node]))

  defp nodes(peers), do: for({_peer, node} <- peers, do: node)

  # Two nodes with a schema on disc, as the API of Memento makes one; nothing is configured.
  defp cluster(context, count \\ 2) do
    peers = [first | _] = Peers.start(Enum.take(context.names, count), context.options)
    meet(peers)
    :ok = Peers.call(first, Remnesia.Schema, :create, [nodes(peers)])
    for peer <- peers, do: :ok = Peers.call(peer, Remnesia, :start, [])
    peers
  end

  # The steps of the lesson that teaches Mnesia, with nothing but another name.
  test "the lesson's distributed table, from a cold start", context do
    peers = [one, two] = Peers.start(Enum.take(context.names, 2), context.options)
    meet(peers)
    [node1, node2] = nodes(peers)
    assert Peers.call(one, :remnesia, :create_schema, [[node1, node2]]) == :ok
    for peer <- peers, do: assert(Peers.call(peer, :remnesia, :start, []) == :ok)

    options = [attributes: [:id, :name, :email], disc_copies: [node1, node2]]

    assert Peers.call(one, :remnesia, :create_table, [:distributed_users, options]) ==
             {:atomic, :ok}

    written =
      on one do
        :remnesia.transaction(fn ->
          :remnesia.write({:distributed_users, 1, "Alice", "alice@example.com"})
        end)
      end

    assert written == {:atomic, :ok}

    read = fn peer ->
      on(peer, do: :remnesia.transaction(fn -> :remnesia.read(:distributed_users, 1) end))
    end

    assert read.(two) == {:atomic, [{:distributed_users, 1, "Alice", "alice@example.com"}]}

    assert Enum.sort(on(two, do: :remnesia.system_info(:running_db_nodes))) ==
             Enum.sort([node1, node2])

    # Both are stopped and started: the schema tells the engine.
    for peer <- peers, do: :stopped = Peers.call(peer, :remnesia, :stop, [])
    for peer <- peers, do: Peers.stop(peer)
    peers = [one, two] = Peers.start(Enum.take(context.names, 2), context.options)
    meet(peers)
    for peer <- peers, do: :ok = Peers.call(peer, :remnesia, :start, [])

    for peer <- peers,
        do: :ok = Peers.call(peer, :remnesia, :wait_for_tables, [[:distributed_users], 120_000])

    assert read.(one) == read.(two)
    assert {:atomic, [_alice]} = read.(one)

    for peer <- peers, do: assert(Peers.call(peer, :remnesia, :stop, []) == :stopped)
    assert Peers.call(one, :remnesia, :delete_schema, [[node1, node2]]) == :ok
    for peer <- peers, do: :ok = Peers.call(peer, :remnesia, :start, [])
    assert on(two, do: :remnesia.system_info(:tables)) == [:schema]
    Enum.each(peers, &Peers.stop/1)
  end

  test "Memento's functions for copies, and the storage types by their usual names", context do
    peers = [a, b] = cluster(context)
    [node_a, node_b] = nodes(peers)
    table = Example.Movie
    info = fn peer, item -> Peers.call(peer, Remnesia.Table, :info, [table, item]) end

    call = fn peer, function, arguments ->
      Peers.call(peer, Remnesia.Table, function, arguments)
    end

    assert call.(a, :create, [table, [disc_copies: [node_a]]]) == :ok
    assert info.(a, :storage_type) == :disc_copies
    assert info.(a, :disc_copies) == [node_a]
    assert {info.(a, :ram_copies), info.(a, :external_copies)} == {[], []}
    assert on(a, t: table, do: elem(:mnesia.table_info(t, :storage_type), 1)) == :remnesia_disc

    write = fn peer, id ->
      on(peer,
        id: id,
        do:
          Remnesia.transaction!(fn ->
            Remnesia.Query.write(struct!(Example.Movie, id: id, year: 1975))
          end)
      )
    end

    for id <- 1..20, do: write.(a, id)
    assert call.(b, :create_copy, [table, node_b, :disc_copies]) == :ok

    assert call.(b, :create_copy, [table, node_b, :disc_copies]) ==
             {:error, {:already_exists, table, node_b}}

    assert Enum.sort(info.(a, :disc_copies)) == Enum.sort([node_a, node_b])

    for {type, native} <- [
          ram_copies: :ram_copies,
          remnesia_ram: :ram_copies,
          disc_copies: :disc_copies
        ] do
      assert call.(b, :set_storage_type, [table, node_b, type]) == :ok
      assert info.(b, :storage_type) == native
      write.(b, 21)
      assert Peers.content(a, table) == Peers.content(b, table)
    end

    # The reason has the user's word.
    assert call.(b, :set_storage_type, [table, node_b, :disc_copies]) ==
             {:error, {:already_exists, table, node_b, :disc_copies}}

    assert call.(a, :delete_copy, [table, node_b]) == :ok
    assert call.(a, :move_copy, [table, node_a, node_b]) == :ok
    assert info.(a, :storage_type) == :unknown
    assert length(Peers.content(b, table)) == 21
    # From a node without a copy.
    assert on(a, do: Remnesia.transaction!(fn -> length(Remnesia.Query.all(Example.Movie)) end)) ==
             21

    assert on(a, do: length(:remnesia.dirty_read(Example.Movie, 1))) == 1
    Enum.each(peers, &Peers.stop/1)
  end

  test "what only Remnesia has, and what a cluster does not have", context do
    peers = [a, b] = cluster(context)
    n = nodes(peers)
    :ok = Peers.call(a, Remnesia.Table, :create, [Example.Movie, [disc_copies: n]])

    on a do
      Remnesia.transaction!(fn ->
        for i <- 1..30,
            do:
              Remnesia.Query.write(
                struct!(Example.Movie, id: i, title: "t#{rem(i, 4)}", year: 1970 + rem(i, 10))
              )
      end)
    end

    count =
      on(b,
        do:
          Remnesia.transaction!(fn -> Remnesia.Query.count(Example.Movie, {:>=, :year, 1975}) end)
      )

    assert count == 15

    ordered =
      on b do
        Remnesia.transaction!(fn ->
          Remnesia.Query.select(Example.Movie, {:>, :id, 5},
            order_by: [desc: :year, asc: :id],
            limit: 4
          )
        end)
        |> Enum.map(&{&1.year, &1.id})
      end

    assert ordered == [{1979, 9}, {1979, 19}, {1979, 29}, {1978, 8}]

    assert on(a,
             do:
               Remnesia.transaction!(fn ->
                 Remnesia.Query.delete_all(Example.Movie, {:==, :year, 1970})
               end)
           ) == 3

    assert on(a, do: Remnesia.transaction!(fn -> Remnesia.Query.count(Example.Movie) end)) == 27
    plan = on(b, do: Remnesia.Query.explain(Example.Movie, {:==, :id, 1}))
    assert {plan.plan, plan.locks} == {:key, :table}

    assert {:aborted, {:not_available, text}} =
             on(a, do: :remnesia.create_table(:u, unique: [:val]))

    assert text =~ "unique"

    # An index on several attributes is kept by each native copy, and is no property that a program sees.
    on(a,
      n: n,
      do:
        {:atomic, :ok} =
          :remnesia.create_table(:pair,
            disc_copies: n,
            attributes: [:k, :a, :b, :c],
            index: [[:a, :b], :c],
            user_properties: [{:mine, 1}]
          )
    )

    plan = fn peer, spec ->
      on(peer,
        spec: spec,
        do: hd(Tuple.to_list(Remnesia.Native.select_plan({:mnesia, :pair}, spec)))
      )
    end

    info = &Peers.call(b, :remnesia, :table_info, [:pair, &1])
    by = fn head -> [{head, [], [:"$_"]}] end
    on(a, do: for(i <- 1..50, do: :remnesia.dirty_write({:pair, i, rem(i, 5), rem(i, 3), i})))
    for peer <- peers, do: assert(plan.(peer, by.({:pair, :_, 1, 2, :_})) == {:index, [3, 4]})
    for peer <- peers, do: assert(elem(plan.(peer, by.({:pair, :_, 1, :_, :_})), 1) == [3, 4])
    assert {Enum.sort(info.(:index)), info.(:user_properties)} == {[5, [3, 4]], [{:mine, 1}]}

    assert Peers.call(b, :remnesia, :add_table_index, [:pair, [:a, :b]]) ==
             {:aborted, {:already_exists, :pair, [3, 4]}}

    assert Peers.call(b, :remnesia, :add_table_index, [:pair, [:b, :c]]) == {:atomic, :ok}
    assert Peers.call(a, :remnesia, :del_table_index, [:pair, [:a, :b]]) == {:atomic, :ok}
    for peer <- peers, do: assert(plan.(peer, by.({:pair, :_, 1, :_, :_})) == :scan)
    for peer <- peers, do: assert(plan.(peer, by.({:pair, :_, :_, 2, 7})) == {:index, [4, 5]})

    assert Peers.call(a, :remnesia, :del_table_index, [:pair, [:a, :b]]) ==
             {:aborted, {:no_exists, :pair, [3, 4]}}

    # A copy of later has it, and one that is loaded.
    :ok = Peers.call(a, Remnesia.Table, :delete_copy, [:pair, elem(b, 1)])
    :ok = Peers.call(a, Remnesia.Table, :create_copy, [:pair, elem(b, 1), :disc_copies])
    assert plan.(b, by.({:pair, :_, :_, 2, 7})) == {:index, [4, 5]}
    Enum.each(peers, &Peers.stop/1)
  end

  test "a node without tables joins by add_nodes, one with tables is told what to do", context do
    [a, b] = Peers.start(Enum.take(context.names, 2), context.options)
    meet([a, b])
    [node_a, node_b] = nodes([a, b])
    for peer <- [a, b], do: :ok = Peers.call(peer, Remnesia, :start, [])
    :ok = Peers.call(a, Remnesia.Table, :create, [Example.Movie])
    assert {:error, {:not_available, text}} = Peers.call(a, Remnesia, :add_nodes, [node_b])
    assert text =~ "with tables of its own"
    assert on(a, do: Remnesia.Engine.Choice.cluster?()) == false
    :ok = Peers.call(a, Remnesia.Table, :delete, [Example.Movie])

    # The other one runs the local engine, and is no node of Mnesia: nothing happens.
    assert {:ok, []} = Peers.call(a, Remnesia, :add_nodes, [node_b])
    assert on(a, do: Remnesia.Engine.Choice.cluster?()) == false
    assert Peers.call(a, Remnesia.Table, :create, [Example.Movie]) == :ok
    :ok = Peers.call(a, Remnesia.Table, :delete, [Example.Movie])

    :ok = Peers.call(b, Remnesia, :stop, [])
    on(b, do: Application.put_env(:remnesia, :engine, :cluster))
    :ok = Peers.call(b, Remnesia, :start, [])
    assert {:ok, [^node_b]} = Peers.call(a, Remnesia, :add_nodes, [node_b])

    assert Peers.call(a, Remnesia.Table, :create, [Example.Movie, [ram_copies: [node_a, node_b]]]) ==
             :ok

    on(b, do: Remnesia.transaction!(fn -> Remnesia.Query.write(struct!(Example.Movie, id: 1)) end))

    assert on(a, do: Remnesia.transaction!(fn -> Remnesia.Query.read(Example.Movie, 1).id end)) ==
             1

    Enum.each([a, b], &Peers.stop/1)
  end

  test "backups: Mnesia's own by the door, ours are for one node", context do
    [one] = Peers.start(Enum.take(context.names, 1), context.options)
    {_, node} = one
    on(one, do: Application.put_env(:remnesia, :engine, :cluster))
    :ok = Peers.mnesia(one, :create_schema, [[node], [backend_types: Remnesia.Backend.types()]])
    :ok = Peers.call(one, Remnesia, :start, [])
    {:atomic, :ok} = Peers.call(one, :remnesia, :create_table, [:kept, [disc_copies: [node]]])
    :ok = Peers.call(one, :remnesia, :dirty_write, [{:kept, 1, :then}])
    file = String.to_charlist(Path.join(context.dir, "kept.bup"))
    assert Peers.call(one, :remnesia, :backup, [file]) == :ok
    :ok = Peers.call(one, :remnesia, :dirty_write, [{:kept, 1, :now}])
    assert Peers.call(one, :remnesia, :restore, [file, []]) == {:atomic, [:kept]}
    assert Peers.call(one, :remnesia, :dirty_read, [:kept, 1]) == [{:kept, 1, :then}]

    for {function, arguments} <- [backup: ["/tmp/x"], dump: ["/tmp/x"]] do
      assert {:error, {:not_available, text}} = Peers.call(one, Remnesia, function, arguments)
      assert text =~ "several nodes"
    end

    Peers.stop(one)
  end

  test "random programs of the Mnesia door answer as stock Mnesia", context do
    [ours, stock] = Peers.start(Enum.take(context.names, 2), context.options)
    {_, node} = ours
    {_, stock_node} = stock
    on(ours, do: Application.put_env(:remnesia, :engine, :cluster))
    :ok = Peers.mnesia(ours, :create_schema, [[node], [backend_types: Remnesia.Backend.types()]])
    :ok = Peers.mnesia(stock, :create_schema, [[stock_node]])
    :ok = Peers.call(ours, Remnesia, :start, [])
    :ok = Peers.mnesia(stock, :start, [])
    seed = System.unique_integer([:positive]) + :os.system_time(:second)
    IO.puts("\ncluster oracle: seed #{seed}")

    for round <- 1..20 do
      :rand.seed(:exsss, {seed, round, 1})
      program = Oracle.Door.Program.random()

      run = &Peers.call(&1, Oracle.Door.Run, :run, [&2, program, [disc_copies: [&3]]])
      {ours, contents} = ours |> run.(:remnesia, node) |> nameless(node)
      {wanted, wanted_contents} = stock |> run.(:mnesia, stock_node) |> nameless(stock_node)

      for {{step, got}, want} <- program |> Enum.zip(ours) |> Enum.zip(wanted) do
        assert got == want,
               "seed #{seed}, round #{round}: #{inspect({step, got, want}, limit: :infinity)}"
      end

      assert contents == wanted_contents
    end

    Enum.each([ours, stock], &Peers.stop/1)
  end

  # Answers that name the node.
  defp nameless(node, node), do: :node
  defp nameless([head | tail], node), do: [nameless(head, node) | nameless(tail, node)]

  defp nameless(tuple, node) when is_tuple(tuple),
    do: tuple |> Tuple.to_list() |> nameless(node) |> List.to_tuple()

  defp nameless(other, _node), do: other
end
