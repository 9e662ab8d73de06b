defmodule Remnesia.PartitionCrashTest do
  # Whoever goes down in the middle of a healing: nothing has happened, or it is finished.
  use Remnesia.PeerCase, async: true

  alias Remnesia.Partition.{Files, Finish, Side}
  alias Remnesia.{Links, Listener, Replicas}

  test "of the healer, of a losing node, and of its disc", %{dir: dir, names: names} do
    policy = {:heal, {:merge, {Remnesia.Load, :merge}}}
    options = [dir: dir, env: [{:remnesia, :on_partition, policy}]]
    names = Enum.take(names, 3)
    [a, b, c] = peers = Peers.cluster(names, options)
    nodes = [node_a, node_b, _] = for {_, node} <- peers, do: node
    own = Path.join([dir, to_string(List.last(names)), "partitions"])
    table = [remnesia_disc: nodes, attributes: [:k, :v, :w], index: [:v]]
    {:atomic, :ok} = Peers.mnesia(a, :create_table, [:d, table])
    for {k, v} <- [n: 1, m: 1], do: Peers.mnesia(a, :dirty_write, [{:d, k, v, :first}])

    work = %{
      compare: [{:d, [node_a], nil}],
      load: [d: [node_a, node_b]],
      winners: [node_a, node_b]
    }

    begin = fn ->
      healer =
        on a do
          spawn(fn ->
            Process.register(self(), :healer)
            receive(do: ({:compared, side} -> Process.put(:side, side)))
            receive(do: (:never -> :ok))
          end)
        end

      {:ok, side} = Peers.call(c, Side, :begin, [healer, work, policy])

      compared? = fn ->
        on(a, h: healer, do: Process.info(h, :dictionary)) |> elem(1) |> Keyword.get(:side)
      end

      assert Links.wait(compared?) == side
      {healer, side}
    end

    state = fn ->
      {Peers.call(c, Side, :busy?, []), Peers.mnesia(c, :system_info, [:is_running]),
       Peers.call(c, Files, :noted, []), Peers.mnesia(c, :table_info, [:d, :master_nodes])}
    end

    healthy = {false, :yes, nil, []}

    # Before the commit: given up, after a look whether others know more.
    {healer, _side} = begin.()
    assert Peers.call(c, Side, :begin, [healer, work, policy]) == {:error, :busy}
    on(a, h: healer, do: Process.exit(h, :kill))
    Links.wait(fn -> not Peers.call(c, Side, :busy?, []) end)
    assert state.() == healthy
    assert File.ls!(own) == []
    # Its locks are gone.
    assert {:atomic, :ok} =
             on(c, do: :mnesia.transaction(fn -> :mnesia.write({:d, :x, 1, 1}) end))

    # After the commit: it needs nobody.
    {healer, side} = begin.()
    on(a, h: healer, s: side, do: send(s, {:commit, [s]}) && Process.exit(h, :kill))
    Links.wait(fn -> state.() == healthy end)
    assert Replicas.same!(peers, [:d]).d |> length() == 3

    # The link is cut again before the losing node is back: it waits for the others, and is healed with all that is still to do.
    {_healer, side} = begin.()
    Links.cut([a, b], [c])
    on(c, do: :mnesia.dirty_write({:d, :n, 3, :theirs}))
    on(c, s: side, do: send(s, {:commit, [s]}))
    Links.wait(fn -> Peers.call(c, Finish, :busy?, []) end)

    assert {[_path], :nowhere} =
             {Peers.call(c, Files, :noted, []).merge,
              Peers.mnesia(c, :table_info, [:d, :where_to_read])}

    Links.join([a, b], [c])
    Links.wait(fn -> length(Peers.mnesia(c, :system_info, [:running_db_nodes])) == 3 end)
    Links.wait(fn -> state.() == healthy end)
    assert {:d, :n, 3, :first} in Replicas.same!(peers, [:d]).d

    # A losing node that is killed when its file is complete: what is noted is done at the next start.
    path = Path.join(own, "versions")

    on c, path: path, node_a: node_a do
      {:ok, :ok} =
        Remnesia.Transfer.BackupFile.write(path, false, fn put ->
          put.({:versions, :d, [{:n, [{:d, :n, 9, :theirs}]}, {:late, [{:d, :late, 1, 1}]}]})
          put.({:versions, :d, [{:n, [{:d, :n, 5, :theirs}]}]})
          put.({:end, [d: 2]})
        end)

      :ok = Remnesia.Partition.Files.note(%{masters: [d: [], schema: []], merge: [path]})
      for t <- [:d, :schema], do: :ok = :mnesia.set_master_nodes(t, [node_a])
    end

    Peers.kill(c)
    c = Peers.restart(List.last(names), [a, b], options)

    state = fn ->
      {Peers.call(c, Files, :noted, []), Peers.mnesia(c, :table_info, [:d, :master_nodes])}
    end

    Links.wait(fn -> state.() == {nil, []} end)
    # Of a key's versions the last one.
    records = Replicas.same!([a, b, c], [:d]).d
    assert {:d, :n, 5, :first} in records and {:d, :late, 1, 1} in records

    # A disc that takes no file: nobody loses anything.
    File.rm_rf!(own)
    File.write!(own, "in the way")

    Listener.start(a)
    Links.cut([a, b], [c])
    on(c, do: :mnesia.dirty_write({:d, :n, 77, :theirs}))
    Links.join([a, b], [c])
    assert %{failed: [{_, reason}]} = Listener.wait(a, :failed)
    assert reason in [:eexist, :enotdir]
    assert on(c, do: :mnesia.dirty_read(:d, :n)) == [{:d, :n, 77, :theirs}]
    assert on(a, do: :mnesia.dirty_read(:d, :n)) == [{:d, :n, 5, :first}]
    # And when there is room it is tried again.
    File.rm!(own)
    Links.wait(fn -> length(Peers.mnesia(c, :system_info, [:running_db_nodes])) == 3 end)
    Links.wait(fn -> state.() == {nil, []} end)
    assert {:d, :n, 77, :first} in Replicas.same!([a, b, c], [:d]).d
    Enum.each([a, b, c], &Peers.stop/1)
  end
end
