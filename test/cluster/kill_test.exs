defmodule Remnesia.ClusterKillTest do
  # Nodes that go down and come back while others write: no acknowledged sync_transaction is lost, and the copies are equal.
  use Remnesia.PeerCase, async: true

  alias Remnesia.{Load, Replicas}

  @tables [:set, :ordered, :bag, :memory, :only]

  setup context do
    seed = System.unique_integer([:positive]) + :os.system_time(:second)
    seed = String.to_integer(System.get_env("REMNESIA_SEED", "#{seed}"))
    IO.puts("\n#{context.test}: REMNESIA_SEED=#{seed}")
    :rand.seed(:exsss, {seed, 6, 1})
    {:ok, names: Enum.take(context.names, 3)}
  end

  defp cluster(context) do
    peers = Peers.cluster(context.names, context.options)
    nodes = for {_, node} <- peers, do: node

    for {table, options} <- [
          set: [remnesia_disc: nodes],
          ordered: [remnesia_disc: nodes, type: :ordered_set],
          bag: [remnesia_disc: nodes, type: :bag],
          memory: [remnesia_ram: nodes],
          only: [remnesia_disc_only: nodes]
        ] do
      options = options ++ [attributes: [:k, :v, :w], index: [:v, :w]]
      assert Peers.mnesia(hd(peers), :create_table, [table, options]) == {:atomic, :ok}
    end

    peers
  end

  test("a node killed at random, and again", context, do: killed(context, 3))

  @tag :long
  @tag timeout: 3_600_000
  test("a node killed at random, many times", context, do: killed(context, 30))

  defp killed(context, rounds) do
    peers = cluster(context)

    {peers, done} =
      Enum.reduce(1..rounds, {peers, []}, fn round, {peers, done} ->
        number = :rand.uniform(3) - 1
        victim = Enum.at(peers, number)
        [one, two] = others = List.delete_at(peers, number)

        # The victim's own transactions too: another node asks it for them, and knows what it has answered.
        loads = [
          {one, :"w1_#{round}", nil},
          {two, :"w2_#{round}", nil},
          {one, :"w3_#{round}", elem(victim, 1)}
        ]

        for {peer, tag, on} <- loads, do: Load.start(peer, @tables, tag, on)
        Process.sleep(100 + :rand.uniform(400))
        Peers.kill(victim)
        Process.sleep(:rand.uniform(300))
        back = Peers.restart(Enum.at(context.names, number), others, context.options)
        Process.sleep(:rand.uniform(200))

        new =
          for {peer, tag, _} <- loads,
              {table, n} <- elem(Load.stop(peer, tag), 0),
              do: {table, {tag, n}}

        peers = List.replace_at(peers, number, back)
        check!(peers, new)
        {peers, new ++ done}
      end)

    check!(peers, done)
    # All go down at once: what was acknowledged is on the discs.
    Enum.each(peers, &Peers.kill/1)
    peers = for name <- context.names, do: Peers.start_one(name, context.options)
    for a <- peers, {_, node} <- peers, do: :pong = Peers.call(a, :net_adm, :ping, [node])
    for peer <- peers, do: :ok = Peers.mnesia(peer, :start, [])
    for peer <- peers, do: :ok = Peers.mnesia(peer, :wait_for_tables, [@tables, 120_000])
    check!(peers, Enum.reject(done, &match?({:memory, _}, &1)))
    Enum.each(peers, &Peers.stop/1)
  end

  defp check!(peers, done) do
    tables = Replicas.same!(peers, @tables)
    keys = Map.new(tables, fn {table, records} -> {table, MapSet.new(records, &elem(&1, 1))} end)
    assert done != []
    assert Enum.reject(done, fn {table, key} -> key in keys[table] end) == []
  end

  test "a rolling restart: each node in turn, while the others write", context do
    peers = cluster(context)

    {peers, done} =
      Enum.reduce(0..2, {peers, []}, fn number, {peers, done} ->
        leaving = Enum.at(peers, number)
        others = List.delete_at(peers, number)
        loads = for {peer, i} <- Enum.with_index(others), do: {peer, :"r#{number}_#{i}"}
        for {peer, tag} <- loads, do: Load.start(peer, @tables, tag)
        Process.sleep(100)
        :stopped = Peers.mnesia(leaving, :stop, [])
        :ok = Peers.call(leaving, Remnesia, :stop, [])
        Peers.stop(leaving)
        back = Peers.restart(Enum.at(context.names, number), others, context.options)
        Process.sleep(100)

        new =
          for {peer, tag} <- loads,
              {written, reasons} = Load.stop(peer, tag),
              {table, n} <- written do
            # Nobody who writes elsewhere notices.
            assert reasons == []
            {table, {tag, n}}
          end

        peers = List.replace_at(peers, number, back)
        check!(peers, new)
        {peers, new ++ done}
      end)

    check!(peers, done)
    Enum.each(peers, &Peers.stop/1)
  end
end
