defmodule Remnesia.Cluster.JoinTest do
  # Nodes that come and go by Remnesia.Cluster.
  use Remnesia.PeerCase, async: true

  # A node that was local and has three tables.
  defp converted(context) do
    [peer] = Peers.start([hd(context.names)], context.options)
    :ok = Peers.call(peer, Remnesia, :start, [])

    on peer do
      {:atomic, :ok} = :remnesia.change_table_copy_type(:schema, node(), :disc_copies)

      for {table, kind} <- [d: :disc_copies, only: :disc_only_copies, r: :ram_copies] do
        {:atomic, :ok} = :remnesia.create_table(table, [{kind, [node()]}, index: [:val]])
        for i <- 1..2_000, do: :remnesia.dirty_write({table, i, rem(i, 10)})
      end
    end

    :ok = Peers.call(peer, Remnesia.Cluster, :convert, [])
    peer
  end

  defp empty(context, number) do
    [peer] = Peers.start([Enum.at(context.names, number)], context.options)
    :ok = Peers.call(peer, Remnesia, :start, [])
    peer
  end

  defp again(context, number, others) do
    [peer] = Peers.start([Enum.at(context.names, number)], context.options)
    for {_, node} <- others, do: :pong = Peers.call(peer, :net_adm, :ping, [node])
    :ok = Peers.call(peer, Remnesia, :start, [])
    tables = Peers.mnesia(peer, :system_info, [:local_tables])
    :ok = Peers.mnesia(peer, :wait_for_tables, [tables, 120_000])
    peer
  end

  defp join(peer, {_, node}, options \\ []),
    do: Peers.call(peer, Remnesia.Cluster, :join, [node, options])

  defp same!(a, b, table) do
    records = Peers.content(a, table)
    assert Peers.content(b, table) == records
    length(records)
  end

  test "a new node gets the tables, in their storage, and is one of the cluster after a restart",
       context do
    a = converted(context)
    b = empty(context, 1)
    {_, node_a} = a
    {_, node_b} = b

    lines =
      on b, node: node_a do
        {:ok, said} = Agent.start(fn -> [] end)
        progress = fn line -> Agent.update(said, &[line | &1]) end
        :ok = Remnesia.Cluster.join(node, progress: progress)
        Agent.get(said, & &1)
      end

    assert Enum.any?(lines, &(&1 =~ ":d (" and &1 =~ "2000 records"))
    for table <- [:d, :only, :r], do: assert(same!(a, b, table) == 2_000)

    kinds =
      for t <- [:d, :only, :r], do: Peers.call(b, :remnesia, :table_info, [t, :storage_type])

    assert kinds == [:disc_copies, :disc_only_copies, :ram_copies]

    assert Peers.call(a, Remnesia.Cluster, :nodes, []).running |> Enum.sort() ==
             Enum.sort([node_a, node_b])

    # At every boot.
    assert join(b, a) == :ok
    on(b, do: {:atomic, :ok} = :remnesia.sync_transaction(fn -> :remnesia.write({:d, 0, :b}) end))
    assert on(a, do: :remnesia.dirty_read(:d, 0)) == [{:d, 0, :b}]

    # A table of later comes with the next call.
    {:atomic, :ok} = Peers.call(a, :remnesia, :create_table, [:late, [disc_copies: [node_a]]])
    assert join(b, a) == :ok

    assert Enum.sort(Peers.call(b, :remnesia, :table_info, [:late, :disc_copies])) ==
             Enum.sort([node_a, node_b])

    Peers.kill(b)
    b = again(context, 1, [a])
    assert join(b, a) == :ok
    for table <- [:d, :only, :r], do: same!(a, b, table)
    Enum.each([a, b], &Peers.stop/1)
  end

  test "some tables, another storage, nothing on disc", context do
    a = converted(context)
    b = empty(context, 1)
    {_, node_b} = b

    assert join(b, a, tables: [:d, r: :remnesia_ram], schema: :ram_copies) ==
             {:error, {:d, {:bad_type, :d, :remnesia_disc, node_b}}} or
             match?({:error, {:d, _}}, join(b, a, tables: [:d], schema: :ram_copies))

    assert join(b, a, tables: [d: :ram_copies], schema: :ram_copies) == :ok
    assert same!(a, b, :d) == 2_000
    assert Peers.mnesia(b, :system_info, [:local_tables]) |> Enum.sort() == [:d, :schema]

    refute File.exists?(
             Path.join([context.dir, to_string(Enum.at(context.names, 1)), "schema.DAT"])
           )

    Enum.each([a, b], &Peers.stop/1)
  end

  test "a node that is killed while it joins joins when it is called again", context do
    a = converted(context)

    for kill <- [1, 2, 1, 1] do
      [{pid, _} = b] = Peers.start([Enum.at(context.names, 1)], context.options)
      :pong = Peers.call(b, :net_adm, :ping, [elem(a, 1)])
      :ok = Peers.call(b, Remnesia, :start, [])
      Process.unlink(pid)

      # Each line is what was still to do.
      catch_exit(
        on b, node: elem(a, 1), kill: kill do
          {:ok, said} = Agent.start(fn -> 1 end)

          progress = fn _line ->
            if Agent.get_and_update(said, &{&1, &1 + 1}) == kill,
              do: :erlang.halt(137, flush: false)
          end

          result = Remnesia.Cluster.join(node, progress: progress)
          raise "not killed: #{inspect(result)}"
        end
      )

      Peers.stop(b)
    end

    b = again(context, 1, [a])
    assert join(b, a) == :ok
    for table <- [:d, :only, :r], do: assert(same!(a, b, table) == 2_000)
    Enum.each([a, b], &Peers.stop/1)
  end

  test "a node leaves: itself, asked by another, or when it is down", context do
    a = converted(context)
    b = empty(context, 1)
    c = empty(context, 2)
    {_, node_a} = a
    {_, node_b} = b
    {_, node_c} = c
    leave = &Peers.call(&1, Remnesia.Cluster, :leave, &2)
    assert {:error, {:not_available, _}} = leave.(a, [node_a, [force: true]])
    assert {:error, {:last_copy, _}} = leave.(a, [node_a])
    for peer <- [b, c], do: assert(join(peer, a) == :ok)

    # Itself.
    assert leave.(b, [node_b]) == :ok

    assert on(b, do: {Remnesia.Engine.Choice.cluster?(), :remnesia.system_info(:tables)}) ==
             {false, [:schema]}

    assert Peers.call(a, Remnesia.Cluster, :nodes, []).known |> Enum.sort() ==
             Enum.sort([node_a, node_c])

    refute File.exists?(
             Path.join([context.dir, to_string(Enum.at(context.names, 1)), "schema.DAT"])
           )

    # And comes back.
    assert join(b, a) == :ok
    assert same!(a, b, :d) == 2_000

    # Asked by another.
    assert leave.(a, [node_c]) == :ok
    assert leave.(a, [node_c]) == :ok
    refute on(c, do: Remnesia.Engine.Choice.cluster?())

    # Down.
    {:atomic, :ok} = Peers.call(b, :remnesia, :create_table, [:own, [disc_copies: [node_b]]])
    Peers.kill(b)
    assert leave.(a, [node_b]) == {:error, {:last_copy, [:own]}}
    assert leave.(a, [node_b, [force: true]]) == :ok
    assert Peers.call(a, Remnesia.Cluster, :nodes, []).known == [node_a]
    assert length(Peers.content(a, :d)) == 2_000
    Enum.each([a, c], &Peers.stop/1)
  end

  test "a node that is killed while it leaves begins anew, wherever its directory is said",
       context do
    a = converted(context)
    b = empty(context, 1)
    {_, node_a} = a
    {_, node_b} = b

    # Before the others have taken it out, and after.
    for taken_out? <- [false, true] do
      b = if taken_out?, do: empty(context, 1), else: b
      assert join(b, a) == :ok
      assert on(b, do: Remnesia.Engine.Cluster.Mark.put(:leave)) == :ok
      Peers.kill(b)
      if taken_out?, do: :ok = Peers.call(a, Remnesia.Cluster, :leave, [node_b])
      b = empty(context, 1)
      refute on(b, do: Remnesia.Engine.Choice.cluster?())
      assert on(b, do: :remnesia.system_info(:tables)) == [:schema]
      # The others may still have it as one that is down.
      known = Peers.call(a, Remnesia.Cluster, :nodes, []).known
      assert Enum.sort(known) == Enum.sort(if taken_out?, do: [node_a], else: [node_a, node_b])
      assert join(b, a) == :ok
      assert same!(a, b, :d) == 2_000
      assert Peers.call(b, Remnesia.Cluster, :leave, [node_b]) == :ok
      Peers.stop(b)
    end

    Peers.stop(a)
  end

  test "a node is told why it cannot join", context do
    a = converted(context)
    b = empty(context, 1)
    {_, node_a} = a
    {_, node_b} = b

    refused = fn ->
      {:error, {:not_available, text}} = join(b, a)
      text
    end

    on(b, do: {:atomic, :ok} = :remnesia.create_table(:mine, []))
    assert refused.() =~ "tables of its own: :mine"
    on(b, do: {:atomic, :ok} = :remnesia.delete_table(:mine))

    assert {:error, {:not_reachable, :nobody@nowhere}} =
             Peers.call(b, Remnesia.Cluster, :join, [:nobody@nowhere])

    # The other way round: it is no cluster.
    :pong = Peers.call(b, :net_adm, :ping, [node_a])
    c = empty(context, 2)
    assert {:error, {:not_available, text}} = join(c, b)
    assert text =~ "#{node_b} does not run as a cluster"

    # Another version: what it says of itself is what this one asks.
    describe = fn what ->
      on a, what: Macro.escape(what) do
        :code.unstick_mod(Remnesia.Engine.Cluster.Nodes)
        Code.compiler_options(ignore_module_conflict: true)

        Code.compile_quoted(
          quote do
            defmodule Remnesia.Engine.Cluster.Nodes do
              def describe, do: unquote(what)
            end
          end
        )

        :ok
      end
    end

    types = Remnesia.Backend.types()
    describe.(%{protocol: 99, version: "9.9.9", types: types, cluster?: true})
    assert refused.() =~ "runs Remnesia 9.9.9, protocol 99"
    describe.(%{protocol: 1, version: "9.9.9", types: tl(types), cluster?: true})
    assert refused.() =~ "storage types"
    # One with another version and the same protocol joins.
    describe.(%{protocol: 1, version: "9.9.9", types: types, cluster?: true})
    assert join(b, a) == :ok

    # The same when it starts later.
    :ok = Peers.call(b, Remnesia, :stop, [])
    describe.(%{protocol: 99, version: "9.9.9", types: types, cluster?: true})
    assert {:error, {{:not_available, text}, _}} = Peers.call(b, Remnesia, :start, [])
    assert text =~ "runs Remnesia 9.9.9, protocol 99"
    refute on(b, do: :mnesia.system_info(:is_running)) == :yes
    describe.(%{protocol: 1, version: "9.9.9", types: types, cluster?: true})
    assert Peers.call(b, Remnesia, :start, []) == :ok

    # Without the code.
    bare = Peers.start_one(context.spare, [code: false] ++ context.options)
    c_join = Peers.call(c, Remnesia.Cluster, :join, [elem(bare, 1)])
    assert {:error, {:not_available, text}} = c_join
    assert text =~ "does not have the code"
    Enum.each([a, b, c, bare], &Peers.stop/1)
  end
end
