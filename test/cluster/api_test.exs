defmodule Remnesia.Cluster.ApiTest do
  # What the `Remnesia.*` API has beside Mnesia's functions, in a cluster.
  use Remnesia.PeerCase, async: true

  setup %{names: names, options: options} do
    peers = [a, b] = Peers.start(Enum.take(names, 2), options)
    nodes = for {_, node} <- peers, do: node
    :pong = Peers.call(a, :net_adm, :ping, [elem(b, 1)])
    :ok = Peers.call(a, Remnesia.Schema, :create, [nodes])
    for peer <- peers, do: :ok = Peers.call(peer, Remnesia, :start, [])
    on_exit(fn -> Enum.each(peers, &Peers.stop/1) end)
    {:ok, a: a, b: b, nodes: nodes}
  end

  test "explain says what is done where the table is read, also of stock's storage", context do
    %{a: a, b: b, nodes: [node_a, _]} = context

    for storage <- [:ram_copies, :disc_copies] do
      :ok = Peers.call(a, Remnesia.Table, :create, [Example.Movie, [{storage, [node_a]}]])
      on(a, do: for(i <- 1..50, do: :remnesia.dirty_write({Example.Movie, i, "t", 1970, "d"})))

      for peer <- [a, b] do
        explain = &Peers.call(peer, Remnesia.Query, :explain, [Example.Movie | &1])
        by_key = [{{Example.Movie, 7, :_, :_, :_}, [], [:"$_"]}]
        plan = explain.([by_key, [analyze: true]])
        assert {plan.plan, plan.rows, plan.locks} == {:key, {:exact, 1}, :records}
        assert {plan.visited, plan.matched, plan.size} == {1, 1, 50}
        assert to_string(plan) =~ "id == 7"
        plan = explain.([{:==, :title, "t"}, [analyze: true]])
        assert {plan.plan, plan.locks, plan.visited, plan.matched} == {:scan, :table, 50, 50}
        guard = if storage == :ram_copies, do: :scan, else: :key_range
        assert explain.([[{:>, :id, 3}, {:<, :id, 9}]]).plan == guard
        assert_raise ArgumentError, ~r/not a match specification/, fn -> explain.([[{:x}]]) end
      end

      :ok = Peers.call(a, Remnesia.Table, :delete, [Example.Movie])
    end

    for peer <- [a, b] do
      assert catch_exit(Peers.call(peer, Remnesia.Engine, :explain, [:none, []])) ==
               {:aborted, {:no_exists, :none}}
    end
  end

  test "a global lock is one of all nodes", %{a: a, b: b} do
    for kind <- [:write, :sticky_write] do
      on a, kind: kind do
        me = self()

        spawn(fn ->
          Process.register(self(), :holder)

          Remnesia.transaction!(fn ->
            :ok = Remnesia.Transaction.lock_global(:report, kind)
            send(me, :locked)
            receive(do: (:release -> :ok))
          end)
        end)

        receive(do: (:locked -> :ok))
      end

      waiting =
        on b do
          pid =
            spawn(fn ->
              Remnesia.transaction!(fn -> Remnesia.Transaction.lock_global(:report, :read) end)
            end)

          # Another one is free.
          :ok = Remnesia.transaction!(fn -> Remnesia.Transaction.lock_global(:other, :write) end)
          pid
        end

      assert Peers.call(b, Process, :alive?, [waiting])
      on(a, do: send(:holder, :release))
      Remnesia.Links.wait(fn -> not Peers.call(b, Process, :alive?, [waiting]) end)
    end
  end

  test "indexes that are not unique may say so", %{a: a, nodes: nodes} do
    :ok = Peers.call(a, Remnesia.Table, :create, [Example.Movie, [disc_copies: nodes]])
    add = &Peers.call(a, Remnesia.Table, :add_index, [Example.Movie | &1])
    assert {:error, {:badarg, Example.Movie, uniq: true}} = add.([:title, [uniq: true]])
    assert {:error, {:not_available, _}} = add.([:title, [unique: true]])
    assert add.([:title, [unique: false]]) == :ok
    assert add.([[:year, :title], [unique: false]]) == :ok
    assert Peers.call(a, Remnesia.Table, :info, [Example.Movie, :index]) == [3, [4, 3]]
  end

  test "all records that a condition finds are changed, also those that could be patterns",
       %{a: a, b: b, nodes: nodes} do
    for type <- [:set, :bag] do
      options = [disc_copies: nodes, type: type]
      :ok = Peers.call(a, Remnesia.Table, :create, [Example.Movie, options])

      counts =
        on b do
          Remnesia.transaction!(fn ->
            for i <- 1..3,
                title <- [:_, :"$1", "t"],
                do: Remnesia.Query.write(struct!(Example.Movie, id: i, title: title))
          end)

          updated =
            Remnesia.transaction!(fn ->
              Remnesia.Query.update_all(Example.Movie, {:==, :id, 1}, year: {:_, 1})
            end)

          deleted =
            Remnesia.transaction!(fn ->
              Remnesia.Query.delete_all(Example.Movie, {:==, :id, 2})
            end)

          {updated, deleted}
        end

      each = if type == :bag, do: 3, else: 1
      assert counts == {each, each}
      records = Remnesia.Replicas.same!([a, b], [Example.Movie])[Example.Movie]
      assert length(for {_, 1, _, {:_, 1}, _} = record <- records, do: record) == each
      assert length(records) == 2 * each
      :ok = Peers.call(a, Remnesia.Table, :delete, [Example.Movie])
    end
  end

  test "numbers are given beside what the transaction has written, and other keys", context do
    %{a: a, b: b, nodes: nodes} = context

    for options <- [[disc_copies: nodes], [ram_copies: nodes], [disc_copies: tl(nodes)]] do
      :ok = Peers.call(a, Remnesia.Table, :create, [Example.Movie, options])

      ids =
        on a do
          new = fn -> Remnesia.Query.write(struct!(Example.Movie, title: "t")).id end
          first = Remnesia.transaction!(fn -> [new.(), new.()] end)

          second =
            Remnesia.transaction!(fn ->
              Remnesia.Query.write(struct!(Example.Movie, id: 7, title: "t"))
              Remnesia.Query.delete(Example.Movie, 2)
              [new.(), new.()]
            end)

          # The greatest of all keys is no number.
          :remnesia.dirty_write({Example.Movie, "x", "t", 1, 1})
          first ++ second ++ Remnesia.transaction!(fn -> [new.(), new.()] end)
        end

      assert ids == [1, 2, 8, 9, 10, 11]

      assert on(b, do: Remnesia.transaction!(fn -> Remnesia.Query.all_keys(Example.Movie) end)) ==
               [1, 7, 8, 9, 10, 11, "x"]

      :ok = Peers.call(a, Remnesia.Table, :delete, [Example.Movie])
    end
  end

  test "Mnesia that was stopped by its own name is started by either door", %{a: a, b: b} do
    node = elem(a, 1)
    {:atomic, :ok} = Peers.call(a, :remnesia, :create_table, [:t, [disc_copies: [node]]])
    :ok = Peers.call(a, :remnesia, :dirty_write, [{:t, 1, 1}])

    for {module, again} <- [
          {:remnesia, :ok},
          {Remnesia, {:error, {:already_started, :remnesia}}}
        ] do
      :stopped = Peers.mnesia(a, :stop, [])
      assert Peers.call(a, :remnesia, :system_info, [:is_running]) == :no
      assert Peers.call(a, module, :start, []) == :ok
      assert Peers.call(a, :remnesia, :wait_for_tables, [[:t], 60_000]) == :ok
      assert Peers.call(a, :remnesia, :dirty_read, [:t, 1]) == [{:t, 1, 1}]
      assert Peers.call(a, module, :start, []) == again
      assert length(Peers.call(b, :remnesia, :system_info, [:running_db_nodes])) == 2
    end
  end

  test "a schema of one node is the cluster's where the engine is, before anything has started",
       context do
    dir = Path.join(context.dir, "alone")
    options = [dir: dir, env: [{:remnesia, :engine, :cluster}]]
    start = fn -> Peers.start_one(context.spare, options) end
    one = start.()
    node = elem(one, 1)
    assert Peers.call(one, Remnesia.Schema, :create, [[node]]) == :ok

    assert {:error, {^node, {:already_exists, ^node}}} =
             Peers.call(one, Remnesia.Schema, :create, [[node]])

    assert Peers.call(one, Remnesia, :start, []) == :ok
    kept = [Example.Movie, [disc_copies: [node]]]
    assert Peers.call(one, Remnesia.Table, :create, kept) == :ok
    assert :ok = Peers.call(one, :remnesia, :dirty_write, [{Example.Movie, 1, "t", 1, 1}])
    Peers.kill(one)
    one = start.()
    assert Peers.call(one, Remnesia, :start, []) == :ok
    assert Peers.call(one, Remnesia, :wait, [[Example.Movie], 60_000]) == :ok
    assert [_record] = Peers.call(one, :remnesia, :dirty_read, [Example.Movie, 1])
    Peers.kill(one)

    # Nothing is left of it, Mnesia's part included.
    one = start.()
    assert Peers.call(one, :remnesia, :delete_schema, [[node]]) == :ok
    assert Peers.call(one, Remnesia, :start, []) == :ok
    assert Peers.call(one, :remnesia, :system_info, [:tables]) == [:schema]
    assert Peers.call(one, :remnesia, :system_info, [:use_dir]) == false
    Peers.stop(one)
  end
end
