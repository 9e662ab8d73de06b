defmodule Remnesia.ClusterSchemaTest do
  # Changes of tables on three nodes: every conversion of one copy while others keep theirs, backups, restores, a fallback.
  use Remnesia.PeerCase, async: true

  alias Remnesia.Replicas

  setup %{names: names, options: options} do
    names = Enum.take(names, 3)
    {:ok, names: names, peers: Peers.cluster(names, options)}
  end

  defp nodes(peers), do: for({_, node} <- peers, do: node)

  defp create([first | _] = peers, table, storage, more \\ []) do
    options = [{storage, nodes(peers)}, {:attributes, [:k, :v, :w]}, {:index, [:v]} | more]
    {:atomic, :ok} = Peers.mnesia(first, :create_table, [table, options])
  end

  defp write(peer, table, range, mark) do
    on peer, t: table, r: range, m: mark do
      {:atomic, _} =
        :mnesia.sync_transaction(fn ->
          for i <- r, do: :mnesia.write(t, {t, i, rem(i, 7), m}, :write)
        end)
    end
  end

  defp restart_all(context, peers) do
    for peer <- peers, do: :stopped = Peers.mnesia(peer, :stop, [])
    Enum.each(peers, &Peers.stop/1)
    peers = for name <- context.names, do: Peers.start_one(name, context.options)
    for a <- peers, {_, node} <- peers, do: :pong = Peers.call(a, :net_adm, :ping, [node])
    # Together: each waits for the others where it was not the last.
    peers
    |> Enum.map(&Task.async(fn -> :ok = Peers.mnesia(&1, :start, []) end))
    |> Task.await_many(240_000)

    for peer <- peers do
      tables = Peers.mnesia(peer, :system_info, [:local_tables])
      assert Peers.mnesia(peer, :wait_for_tables, [tables, 120_000]) == :ok
    end

    peers
  end

  @own [:remnesia_ram, :remnesia_disc, :remnesia_disc_only]
  @types [:ram_copies, :disc_copies, :disc_only_copies | @own]

  # Every pair once: a walk through all connections of the six types, both ways.
  defp ways do
    pairs = for from <- @types, to <- @types, from != to, do: {from, to}
    walk(hd(@types), pairs, [])
  end

  defp walk(_at, [], way), do: Enum.reverse(way)

  defp walk(at, pairs, way) do
    Enum.find_value(pairs, fn
      {^at, to} = pair -> walk(to, List.delete(pairs, pair), [pair | way])
      _other -> nil
    end)
  end

  for type <- [:set, :bag] do
    test "a copy of a #{type} goes from each storage to each other, and stays equal to the others",
         context do
      [a, b, c] = peers = context.peers
      {_, node_b} = b
      more = [type: unquote(type)]
      create(peers, :t, :remnesia_disc, more)
      assert {:atomic, :ok} = Peers.mnesia(b, :change_table_copy_type, [:t, node_b, :ram_copies])
      write(a, :t, 1..50, :first)

      for {{from, to}, n} <- Enum.with_index(ways()) do
        change = &Peers.mnesia(b, :change_table_copy_type, [:t, node_b, &1])

        # OTP before 27 forgets to write the records: refused with a way that works.
        if to == :disc_copies and from in @own and
             :erlang.system_info(:otp_release) < ~c"27" do
          assert {:aborted, {text, :t, _}} = change.(:disc_copies)
          assert text =~ "disc_only_copies first"
          assert change.(:disc_only_copies) == {:atomic, :ok}
        end

        assert change.(to) == {:atomic, :ok}, "#{from} to #{to}"
        write(Enum.at(peers, rem(n, 3)), :t, 40..(52 + n), {to, n})
        Replicas.same!(peers, [:t])
      end

      # And as every type after a restart of all.
      for to <- [:remnesia_ram, :disc_only_copies] do
        assert {:atomic, :ok} = Peers.mnesia(c, :change_table_copy_type, [:t, elem(c, 1), to])
      end

      before = Replicas.same!(peers, [:t])
      peers = restart_all(context, peers)
      assert Replicas.same!(peers, [:t]) == before
      Enum.each(peers, &Peers.stop/1)
    end
  end

  test "a backup of one node is restored by another; a fallback brings all nodes back", context do
    [a, b, c] = peers = context.peers
    tables = [:d, :r, :only, :bag, :stock]
    create(peers, :d, :remnesia_disc)
    create(peers, :r, :remnesia_ram, type: :ordered_set)
    create(peers, :only, :remnesia_disc_only)
    create(peers, :bag, :remnesia_disc, type: :bag)
    create(peers, :stock, :disc_copies)
    for table <- tables, do: write(a, table, 1..200, :then)
    before = Replicas.same!(peers, tables)
    file = String.to_charlist(Path.join(context.dir, "backup"))
    assert Peers.mnesia(c, :backup, [file]) == :ok

    spoil = fn ->
      for {table, n} <- Enum.with_index(tables),
          do: write(Enum.at([a, b, c, a, b], n), table, 150..300, :later)

      on(b,
        do:
          for(
            t <- [:d, :r, :only, :bag, :stock],
            i <- 1..50,
            do: :mnesia.sync_dirty(fn -> :mnesia.delete({t, i}) end)
          )
      )

      refute Replicas.same!(peers, tables) == before
    end

    for options <- [[], [default_op: :recreate_tables]] do
      spoil.()
      assert {:atomic, _tables} = Peers.mnesia(b, :restore, [file, options])
      assert Replicas.same!(peers, tables) == before, inspect(options)
    end

    spoil.()
    # An index and an attribute that the backup does not know of.
    assert Peers.mnesia(c, :add_table_index, [:d, :w]) == {:atomic, :ok}

    grow = fn ->
      on b do
        with_x = fn {:d, k, v, w} -> {:d, k, v, w, :new} end
        :mnesia.transform_table(:d, with_x, [:k, :v, :w, :x])
      end
    end

    assert grow.() == {:atomic, :ok}
    assert Peers.mnesia(a, :install_fallback, [file]) == :ok
    peers = restart_all(context, peers)
    # Mnesia puts records of external tables in memory where nobody reads them.
    assert Replicas.same!(peers, tables) == %{before | r: []}
    assert Peers.mnesia(hd(peers), :table_info, [:d, :index]) == [3]
    write(Enum.at(peers, 1), :d, 500..510, :after)
    before = Replicas.same!(peers, tables)
    peers = restart_all(context, peers)
    # It is used up.
    assert Replicas.same!(peers, [:d, :only, :bag, :stock]) == Map.delete(before, :r)
    Enum.each(peers, &Peers.stop/1)
  end

  test "indexes and transformations while another node is written to", context do
    [a, b, c] = peers = context.peers
    create(peers, :t, :remnesia_disc)
    write(a, :t, 1..300, :first)
    Remnesia.Load.start(c, [:t], :load)
    assert Peers.mnesia(b, :add_table_index, [:t, :w]) == {:atomic, :ok}
    assert Peers.mnesia(a, :del_table_index, [:t, :v]) == {:atomic, :ok}
    assert Peers.mnesia(c, :add_table_index, [:t, :v]) == {:atomic, :ok}

    same =
      on(b, do: :mnesia.transform_table(:t, fn {t, k, v, w} -> {t, k, {v}, w} end, [:k, :v, :w]))

    assert same == {:atomic, :ok}
    {done, reasons} = Remnesia.Load.stop(c, :load)
    assert reasons == []
    %{t: records} = Replicas.same!(peers, [:t])
    assert length(done) > 0
    assert for({:t, n} <- done, not List.keymember?(records, {:load, n}, 1), do: n) == []

    assert Enum.any?(records, &match?({:t, 1, {_}, _}, &1)) or
             Enum.any?(records, &match?({:t, 50, {_}, _}, &1))

    Enum.each(peers, &Peers.stop/1)
  end
end
