defmodule Remnesia.BackendTest do
  use Remnesia.PeerCase, async: true

  doctest Remnesia.Backend, import: true

  setup_all do
    %{dir: dir, names: [name | _], options: options} = Remnesia.PeerCase.place(__MODULE__)
    [peer] = Peers.start([name], options)
    {_peer, node} = peer
    :ok = Peers.mnesia(peer, :create_schema, [[node]])
    :ok = Peers.mnesia(peer, :start, [])
    # Twice is no error.
    :ok = Peers.call(peer, Remnesia.Backend, :register, [])
    :ok = Peers.call(peer, Remnesia.Backend, :register, [])

    on_exit(fn -> Peers.stop(peer) end)
    {:ok, peer: peer, node: node, shared: dir}
  end

  test "the types are in the order that every node must have", %{peer: peer} do
    types = Peers.mnesia(peer, :system_info, [:backend_types])
    assert Enum.take(types, -3) == Keyword.keys(Remnesia.Backend.types())
  end

  # Mnesia takes disc_copies, and its dumps then empty other tables.
  test "disc_copies is never declared" do
    for {type, _module} <- Remnesia.Backend.types() do
      assert Remnesia.Backend.semantics(type, :storage) in [:ram_copies, :disc_only_copies]
    end
  end

  for type <- [:set, :ordered_set, :bag],
      storage <- [:remnesia_ram, :remnesia_disc, :remnesia_disc_only] do
    test "a random program on #{storage} #{type} answers as stock Mnesia", %{peer: peer} do
      for seed <- 1..3 do
        arguments = [unquote(type), unquote(storage), seed, 600]
        assert Peers.call(peer, Remnesia.BackendOracle, :run, arguments) == :ok
      end
    end
  end

  test "counters, also large ones and missing ones", %{peer: peer, node: node} do
    for {table, storage} <- [c_stock: :ram_copies, c_ours: :remnesia_disc] do
      {:atomic, :ok} = Peers.mnesia(peer, :create_table, [table, [{storage, [node]}]])
    end

    answers = fn table ->
      on peer, t: table do
        big = 100_000_000_000_000_000_000

        counted =
          for {key, by} <- [a: 5, a: -2, a: -10, b: -1, c: 0, a: 7],
              do: :mnesia.dirty_update_counter(t, key, by)

        :mnesia.dirty_write(t, {t, :big, 1})
        raised = :mnesia.dirty_update_counter(t, :big, big)

        {counted, raised,
         Enum.sort(
           for k <- :mnesia.dirty_all_keys(t), {_, k, v} <- :mnesia.dirty_read(t, k), do: {k, v}
         )}
      end
    end

    assert answers.(:c_stock) == answers.(:c_ours)
  end

  test "size and memory are exact, indexes are listed, the table is no table of Remnesia",
       context do
    %{peer: peer, node: node} = context
    {:atomic, :ok} = Peers.mnesia(peer, :create_table, [:sized, [remnesia_disc: [node]]])

    {empty, full, size} =
      on peer do
        empty = :mnesia.table_info(:sized, :memory)
        for i <- 1..1000, do: :mnesia.dirty_write({:sized, i, "some text"})
        {empty, :mnesia.table_info(:sized, :memory), :mnesia.table_info(:sized, :size)}
      end

    assert size == 1000
    # Words: no less than the content, no more than ETS takes.
    assert (full - empty) in 2_000..20_000
    refute :sized in on(peer, do: Remnesia.Engine.system_info(:tables))
    assert catch_exit(on(peer, do: Remnesia.Engine.dirty_read(:sized, 1)))
  end

  test "what cannot be kept is refused with a reason", %{peer: peer, node: node} do
    assert {:aborted, {:bad_type, :refused, {:type, :duplicate_bag}}} =
             Peers.mnesia(peer, :create_table, [
               :refused,
               [remnesia_disc_only: [node], type: :duplicate_bag]
             ])
  end

  # An iteration that is fixed goes on where a key went; another one gets what ETS gives.
  test "a fold goes on over keys that it deletes", %{peer: peer, node: node} do
    {:atomic, :ok} = Peers.mnesia(peer, :create_table, [:folded, [remnesia_ram: [node]]])

    seen =
      on peer do
        for i <- 1..100, do: :mnesia.dirty_write({:folded, i, i})

        :mnesia.async_dirty(fn ->
          :mnesia.foldl(
            fn {_, k, _}, acc ->
              :mnesia.dirty_delete(:folded, k)
              [k | acc]
            end,
            [],
            :folded
          )
        end)
      end

    assert Enum.sort(seen) == Enum.to_list(1..100)

    assert {:aborted, {:badarg, [:folded, 1]}} =
             catch_exit(on(peer, do: :mnesia.dirty_next(:folded, 1)))
  end

  for type <- [:set, :bag] do
    test "a checkpoint of a #{type} has what stock's has", %{peer: peer, node: node, shared: dir} do
      file = String.to_charlist(Path.join(dir, "checkpoint-#{unquote(type)}"))

      [stock | ours] =
        for storage <- [:disc_only_copies, :remnesia_ram, :remnesia_disc, :remnesia_disc_only] do
          options = [{storage, [node]}, {:type, unquote(type)}]
          {:atomic, :ok} = Peers.mnesia(peer, :create_table, [:kept, options])

          records =
            on peer, file: file do
              for i <- 1..50, do: :mnesia.dirty_write({:kept, rem(i, 10), i})
              {:ok, name, _} = :mnesia.activate_checkpoint(max: [:kept], ram_overrides_dump: true)
              for i <- 1..50, do: :mnesia.dirty_write({:kept, rem(i, 10), -i})
              for i <- 1..5, do: :mnesia.dirty_delete(:kept, i)
              :ok = :mnesia.backup_checkpoint(name, file)
              :ok = :mnesia.deactivate_checkpoint(name)
              fun = fn item, acc -> {[item], [item | acc]} end

              {:ok, all} =
                :mnesia.traverse_backup(file, :mnesia_backup, :dummy, :read_only, fun, [])

              Enum.filter(all, &match?({:kept, _, _}, &1))
            end

          {:atomic, :ok} = Peers.mnesia(peer, :delete_table, [:kept])
          Enum.sort(records)
        end

      assert {:kept, 1, 41} in stock
      for records <- ours, do: assert(records == stock)
    end
  end

  test "indexes come and go", %{peer: peer, node: node} do
    {:atomic, :ok} =
      Peers.mnesia(peer, :create_table, [:ixed, [remnesia_disc: [node], attributes: [:k, :v, :w]]])

    on(peer, do: for(i <- 1..100, do: :mnesia.dirty_write({:ixed, i, rem(i, 5), rem(i, 4)})))

    read = fn attribute ->
      on(peer, a: attribute, do: length(:mnesia.dirty_index_read(:ixed, 1, a)))
    end

    assert {:atomic, :ok} = Peers.mnesia(peer, :add_table_index, [:ixed, :v])
    assert {:atomic, :ok} = Peers.mnesia(peer, :add_table_index, [:ixed, :w])
    assert {read.(:v), read.(:w)} == {20, 25}
    assert {:atomic, :ok} = Peers.mnesia(peer, :del_table_index, [:ixed, :v])
    assert catch_exit(read.(:v))
    on(peer, do: :mnesia.dirty_write({:ixed, 200, 1, 1}))
    assert read.(:w) == 26
    assert {:atomic, :ok} = Peers.mnesia(peer, :add_table_index, [:ixed, :v])
    assert read.(:v) == 21
    assert on(peer, do: Remnesia.Native.table_check({:mnesia, :ixed})) == :ok
  end

  test "guards on key and index do not scan", %{peer: peer, node: node} do
    {:atomic, :ok} =
      Peers.mnesia(peer, :create_table, [:planned, [remnesia_ram: [node], index: [:val]]])

    plan = fn guard ->
      on peer, guard: guard do
        for i <- 1..200, do: :mnesia.dirty_write({:planned, i, i})
        spec = [{{:planned, :"$1", :"$2"}, [guard], [:"$_"]}]
        1 = length(:mnesia.dirty_select(:planned, spec))
        hd(Tuple.to_list(Remnesia.Native.select_plan({:mnesia, :planned}, spec)))
      end
    end

    assert plan.({:"=:=", :"$1", 5}) == :key
    assert plan.({:"=:=", :"$2", 5}) == {:index, 3}
  end

  # Stock's index takes 1 and 1.0 for one: it loses an entry.
  test "an index finds keys and values that are equal numbers of both types", context do
    %{peer: peer, node: node} = context

    found =
      for {table, storage} <- [n_stock: :ram_copies, n_ours: :remnesia_disc] do
        {:atomic, :ok} =
          Peers.mnesia(peer, :create_table, [table, [{storage, [node]}, {:index, [:val]}]])

        on peer, t: table do
          for key <- [1, 1.0], do: :mnesia.dirty_write({t, key, :x})
          length(:mnesia.dirty_index_read(t, :x, :val))
        end
      end

    assert found == [1, 2]
  end
end
