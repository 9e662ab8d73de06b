defmodule Remnesia.BackendNodesTest do
  # Replicated tables of the backend over several VMs.
  use Remnesia.PeerCase, async: true

  alias Remnesia.Replicas

  defp nodes(peers), do: for({_peer, node} <- peers, do: node)

  defp create([first | _] = peers, table, storage, more \\ []) do
    options = [{storage, nodes(peers)}, {:attributes, [:k, :v, :w]}, {:index, [:v]} | more]
    {:atomic, :ok} = Peers.mnesia(first, :create_table, [table, options])
  end

  defp fill(peer, table, range),
    do:
      on(peer, t: table, r: range, do: for(i <- r, do: :mnesia.dirty_write({t, i, rem(i, 7), i})))

  defp same!(peers, table), do: Replicas.same!(peers, [table])[table]

  test "what is written on one node is read on all, by key, index and guard", context do
    peers = [a, b, c] = Peers.cluster(context.names, context.options)

    for {table, storage, type} <- [
          {:d, :remnesia_disc, :set},
          {:r, :remnesia_ram, :bag},
          {:o, :remnesia_disc, :ordered_set},
          {:only, :remnesia_disc_only, :ordered_set}
        ] do
      create(peers, table, storage, type: type)

      on a, t: table do
        {:atomic, _} =
          :mnesia.sync_transaction(fn ->
            for i <- 1..100, do: :mnesia.write(t, {t, i, rem(i, 7), i}, :write)
          end)
      end

      on b, t: table do
        {:atomic, :ok} =
          :mnesia.sync_transaction(fn ->
            :mnesia.delete({t, 1})
            :mnesia.write({t, 2, :b, 2})
            :mnesia.delete_object({t, 3, 3, 3})
          end)
      end

      records = same!(peers, table)
      assert length(records) == if(type == :bag, do: 99, else: 98)

      assert on(c, t: table, do: :mnesia.transaction(fn -> :mnesia.index_read(t, :b, :v) end)) ==
               {:atomic, [{table, 2, :b, 2}]}

      found =
        on(c,
          t: table,
          do: :mnesia.dirty_select(t, [{{t, :"$1", :_, :"$2"}, [{:>, :"$2", 98}], [:"$1"]}])
        )

      assert Enum.sort(found) == [99, 100]
      assert {:atomic, :ok} = Peers.mnesia(b, :clear_table, [table])
      assert same!(peers, table) == []
    end

    Enum.each(peers, &Peers.stop/1)
  end

  test "a node that is killed comes back with the copy of the others", context do
    peers = [a, b, c] = Peers.cluster(context.names, context.options)
    create(peers, :d, :remnesia_disc)
    create(peers, :r, :remnesia_ram)
    create(peers, :only, :remnesia_disc_only)
    for table <- [:d, :r, :only], do: fill(a, table, 1..1000)
    same!(peers, :d)
    Peers.kill(b)

    # Rows that the killed node has and the others do not, and the other way round.
    on a do
      for t <- [:d, :r, :only], i <- 1..500, do: :mnesia.dirty_delete(t, i)
      for t <- [:d, :r, :only], i <- 1001..1500, do: :mnesia.dirty_write({t, i, :later, i})
    end

    b = Peers.restart(Enum.at(context.names, 1), [a, c], context.options)
    assert length(same!([a, b, c], :d)) == 1000
    assert length(same!([a, b, c], :r)) == 1000
    assert length(same!([a, b, c], :only)) == 1000

    # The copy is on disc: it is what counts when all are gone and this one was the last.
    for peer <- [a, c], do: Peers.mnesia(peer, :stop, [])
    Peers.kill(b)
    b = Peers.restart(Enum.at(context.names, 1), [], context.options)
    assert length(Peers.content(b, :d)) == 1000
    assert length(Peers.content(b, :only)) == 1000
    Enum.each([a, b, c], &Peers.stop/1)
  end

  test "an empty node joins, gets copies, moves and drops them", context do
    [name_a, name_b | _] = context.names
    [a] = Peers.cluster([name_a], context.options)
    create([a], :d, :remnesia_disc)
    create([a], :stock, :disc_copies)
    fill(a, :d, 1..20_000)
    fill(a, :stock, 1..100)

    # Its schema is in memory, so it has to be told the types.
    types = :io_lib.format("[{backend_types,~w}]", [Remnesia.Backend.types()])

    b =
      Peers.start_one(
        name_b,
        context.options ++ [args: [~c"-mnesia", ~c"schema", List.flatten(types)]]
      )

    {_, node_a} = a
    {_, node_b} = b
    :pong = Peers.call(b, :net_adm, :ping, [node_a])
    :ok = Peers.mnesia(b, :start, [])
    assert {:ok, [^node_b]} = Peers.mnesia(a, :change_config, [:extra_db_nodes, [node_b]])

    assert {:atomic, :ok} =
             Peers.mnesia(b, :change_table_copy_type, [:schema, node_b, :disc_copies])

    assert {:atomic, :ok} = Peers.mnesia(b, :add_table_copy, [:d, node_b, :remnesia_disc])
    # One copy may be stock's and the other ours.
    assert {:atomic, :ok} = Peers.mnesia(b, :add_table_copy, [:stock, node_b, :remnesia_disc])
    assert length(same!([a, b], :d)) == 20_000
    assert length(same!([a, b], :stock)) == 100
    fill(b, :stock, 101..200)
    assert length(same!([a, b], :stock)) == 200

    assert {:atomic, :ok} = Peers.mnesia(a, :del_table_copy, [:d, node_b])
    assert {:atomic, :ok} = Peers.mnesia(a, :move_table_copy, [:d, node_a, node_b])
    assert length(Peers.content(b, :d)) == 20_000

    # A node that has not got the newest schema to disc cannot merge that of another: OTP's merge knows no storage of plug-ins.
    for peer <- [a, b], do: :dumped = Peers.mnesia(peer, :dump_log, [])
    # What has moved is on the disc of the new node by then, or it would be nowhere.
    Enum.each([a, b], &Peers.kill/1)
    b = Peers.start_one(name_b, context.options)
    a = Peers.start_one(name_a, context.options)
    :pong = Peers.call(b, :net_adm, :ping, [node_a])
    for peer <- [a, b], do: :ok = Peers.mnesia(peer, :start, [])
    :ok = Peers.mnesia(b, :wait_for_tables, [[:d, :stock], 120_000])
    assert length(Peers.content(b, :d)) == 20_000
    Enum.each([a, b], &Peers.stop/1)
  end

  test "schema changes reach all copies", context do
    peers = [a, b, c] = Peers.cluster(context.names, context.options)
    create(peers, :d, :remnesia_disc)
    fill(a, :d, 1..500)

    assert {:atomic, :ok} = Peers.mnesia(b, :add_table_index, [:d, :w])
    same!(peers, :d)
    assert {:atomic, :ok} = Peers.mnesia(c, :del_table_index, [:d, :v])
    same!(peers, :d)

    transformed =
      on b do
        :mnesia.transform_table(:d, fn {t, k, v, w} -> {t, k, v, w, :x} end, [:k, :v, :w, :x])
      end

    assert transformed == {:atomic, :ok}
    assert same!(peers, :d) |> hd() |> tuple_size() == 5
    assert {:atomic, :ok} = Peers.mnesia(a, :add_table_index, [:d, :x])
    same!(peers, :d)

    for {peer, type} <- [
          {a, :ram_copies},
          {b, :remnesia_ram},
          {c, :disc_only_copies},
          {a, :remnesia_disc}
        ] do
      assert {:atomic, :ok} =
               Peers.mnesia(peer, :change_table_copy_type, [:d, elem(peer, 1), type])

      fill_five(peer, type)
      assert length(same!(peers, :d)) == 500
    end

    Enum.each(peers, &Peers.stop/1)
  end

  defp fill_five(peer, mark),
    do:
      on(peer,
        m: mark,
        do: for(i <- 1..20, do: :mnesia.sync_dirty(fn -> :mnesia.write({:d, i, i, i, m}) end))
      )

  test "a node without this code does not start, the others go on", context do
    [a, b] = Peers.cluster(Enum.take(context.names, 2), context.options)
    create([a, b], :d, :remnesia_disc)
    fill(a, :d, 1..100)
    Peers.stop(b)
    bare = Peers.start_one(Enum.at(context.names, 1), [code: false] ++ context.options)
    :pong = Peers.call(bare, :net_adm, :ping, [elem(a, 1)])

    refute Peers.mnesia(bare, :start, []) == :ok and
             Peers.mnesia(bare, :wait_for_tables, [[:d], 3_000]) == :ok

    Peers.stop(bare)
    fill(a, :d, 101..200)
    b = Peers.restart(Enum.at(context.names, 1), [a], context.options)
    assert length(same!([a, b], :d)) == 200
    Enum.each([a, b], &Peers.stop/1)
  end
end
