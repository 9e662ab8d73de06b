defmodule Remnesia.Cluster.ConvertTest do
  # A local database becomes one of a cluster, with everything that it has, also if the node is killed on the way.
  use Remnesia.PeerCase, async: true

  doctest Remnesia.Cluster, import: false

  setup %{names: [name | _]}, do: {:ok, name: name}

  # Of everything that a local database can have and a cluster, too.
  defp local(%{name: name, options: options}) do
    [peer] = Peers.start([name], options)
    :ok = Peers.call(peer, Remnesia, :start, [])

    on peer do
      {:atomic, :ok} = :remnesia.change_table_copy_type(:schema, node(), :disc_copies)
      n = [node()]

      create = fn table, options -> {:atomic, :ok} = :remnesia.create_table(table, options) end

      create.(:plain,
        disc_copies: n,
        attributes: [:id, :group, :name],
        index: [:group],
        user_properties: [{:owner, "me"}],
        load_order: 5,
        majority: true
      )

      create.(:named, disc_copies: n, record_name: :other, type: :bag)
      create.(:only, disc_only_copies: n, type: :ordered_set)
      create.(:memory, ram_copies: n, type: :bag, index: [:val])
      create.(:still, ram_copies: n)
      create.(:pair, disc_copies: n, attributes: [:id, :a, :b], index: [[:a, :b], :b])
      create.(:parts, attributes: [:id, :a], frag_properties: [n_fragments: 5, n_disc_copies: 1])

      for i <- 1..500 do
        :remnesia.dirty_write({:plain, i, rem(i, 7), "name #{i}"})
        :remnesia.dirty_write(:named, {:other, rem(i, 50), i})
        :remnesia.dirty_write({:only, i, i * 1.5})
        :remnesia.dirty_write({:pair, i, rem(i, 5), rem(i, 3)})
        :remnesia.activity(:async_dirty, &:remnesia.write/1, [{:parts, i, i}], :remnesia_frag)
      end
    end

    {:atomic, :ok} = Peers.call(peer, :remnesia, :change_table_access_mode, [:only, :read_only])
    fill_memory(peer)
    peer
  end

  defp fill_memory(peer) do
    on peer do
      :remnesia.change_table_access_mode(:still, :read_write)

      for i <- 1..500 do
        :remnesia.dirty_write({:memory, rem(i, 50), i})
        :remnesia.dirty_write({:still, i, i})
      end

      {:atomic, :ok} = :remnesia.change_table_access_mode(:still, :read_only)
    end
  end

  # Everything that a program can see of it.
  defp seen(peer) do
    on peer do
      items =
        [:type, :record_name, :attributes, :user_properties, :storage_type, :access_mode] ++
          [:load_order, :majority, :size]

      for table <- Enum.sort(:remnesia.system_info(:tables)), table != :schema do
        :ok = :remnesia.wait_for_tables([table], 120_000)
        records = :remnesia.dirty_match_object(table, :remnesia.table_info(table, :wild_pattern))
        facts = for item <- items, do: {item, :remnesia.table_info(table, item)}
        indexes = Enum.sort(:remnesia.table_info(table, :index))

        # A bag has the records of a key in their order.
        {table, facts, indexes, Enum.sort(records), :remnesia.dirty_read(table, 7)}
      end
    end
  end

  defp again(peer, context) do
    Peers.stop(peer)
    [peer] = Peers.start([context.name], context.options)
    :ok = Peers.call(peer, Remnesia, :start, [])
    peer
  end

  test "all of it is there, at once and after a restart, and other nodes can join", context do
    peer = local(context)
    before = seen(peer)
    assert length(before) == 11
    lines = convert(peer)
    assert List.last(lines) =~ "converted: 4 tables with their rows where they were, 7 copied"
    assert seen(peer) == before
    assert on(peer, do: Remnesia.Engine.Choice.cluster?())
    # Native, in memory alone, and what OTP's fragments can be.
    storage = fn table -> Peers.mnesia(peer, :table_info, [table, :storage_type]) end
    assert {:ext, :remnesia_disc, _} = storage.(:plain)
    assert {:ext, :remnesia_disc_only, _} = storage.(:only)
    assert {storage.(:memory), storage.(:parts_frag3)} == {:ram_copies, :disc_copies}
    # No copy of the local engine is left.
    assert on(peer, do: Enum.filter(Remnesia.Native.tables(), &is_atom/1)) == []

    found =
      on peer do
        for i <- 1..500,
            [record] <- [
              :remnesia.activity(:async_dirty, &:remnesia.read/1, [{:parts, i}], :remnesia_frag)
            ],
            do: record
      end

    assert length(found) == 500

    # The index on two attributes is used.
    plan =
      on(peer,
        do:
          hd(
            Tuple.to_list(
              Remnesia.Native.select_plan({:mnesia, :pair}, [{{:pair, :_, 1, 2}, [], [:"$_"]}])
            )
          )
      )

    assert plan == {:index, [3, 4]}

    assert Peers.call(peer, Remnesia.Cluster, :convert, []) == :ok

    on(peer,
      do:
        {:atomic, :ok} = :remnesia.transaction(fn -> :remnesia.write({:plain, 501, 1, "new"}) end)
    )

    # What was read-only can be written again.
    on peer do
      {:atomic, :ok} = :remnesia.change_table_access_mode(:only, :read_write)
      :ok = :remnesia.dirty_write({:only, 1, 1.5})
      {:atomic, :ok} = :remnesia.change_table_access_mode(:only, :read_only)
    end

    peer = again(peer, context)
    assert Peers.call(peer, Remnesia.Cluster, :convert, []) == :ok
    # Tables in memory are empty, as ever after a stop.
    memory = [:memory, :still]
    without = fn seen -> Enum.reject(seen, &(elem(&1, 0) in [:plain | memory])) end
    now = seen(peer)
    assert without.(now) == without.(before)
    assert [{:plain, _, _, records, _}] = Enum.filter(now, &(elem(&1, 0) == :plain))
    assert length(records) == 501
    Peers.stop(peer)
  end

  # Lines of progress are said after each step: a kill there is one between two steps.
  test("killed between steps it goes on at the next start", context,
    do: killed(context, [1, 2, 3, 6, 12])
  )

  @tag :long
  @tag timeout: 1_200_000
  test("the same, after each step", context, do: killed(context, 1..30))

  # To the last line of progress.
  @steps 18

  defp killed(context, points) do
    peer = local(context)
    before = seen(peer)
    :ok = Peers.call(peer, Remnesia, :stop, [])
    Peers.stop(peer)
    kept = context.dir <> "-kept"
    on_exit(fn -> File.rm_rf!(kept) end)
    File.cp_r!(context.dir, kept)

    Enum.reduce_while(points, nil, fn point, _ ->
      File.rm_rf!(context.dir)
      File.cp_r!(kept, context.dir)
      [{pid, _} = peer] = Peers.start([context.name], context.options)
      :ok = Peers.call(peer, Remnesia, :start, [])
      fill_memory(peer)
      assert seen(peer) == before
      Process.unlink(pid)

      ended =
        try do
          convert(peer, point)
        catch
          :exit, _halted -> :halted
        end

      Peers.stop(peer)

      if is_list(ended) do
        assert length(ended) == @steps
        {:halt, nil}
      else
        started(context, if(point < @steps, do: before, else: emptied(before)), point)
        {:cont, nil}
      end
    end)
  end

  # What was answered before the kill is there; what is in memory until the database ends again.
  defp started(context, expected, point) do
    [peer] = Peers.start([context.name], context.options)
    :ok = Peers.call(peer, Remnesia, :start, [])
    assert on(peer, do: Remnesia.Engine.Choice.cluster?()), "after #{point}"
    assert Peers.call(peer, Remnesia.Cluster, :convert, []) == :ok
    assert seen(peer) == expected, "after #{point}"
    peer = again(peer, context)
    assert seen(peer) == emptied(expected), "after #{point}, once more"
    assert on(peer, do: Enum.filter(Remnesia.Native.tables(), &is_atom/1)) == []
    Peers.stop(peer)
  end

  defp emptied(seen) do
    for {table, facts, indexes, records, seven} <- seen do
      if table in [:memory, :still],
        do: {table, Keyword.replace(facts, :size, 0), indexes, [], []},
        else: {table, facts, indexes, records, seven}
    end
  end

  # The lines of progress; killed at one of them.
  defp convert(peer, kill \\ 0) do
    on peer, kill: kill do
      {:ok, said} = Agent.start(fn -> [] end)

      progress = fn line ->
        if Agent.get_and_update(said, &{length(&1) + 1, [line | &1]}) == kill,
          do: :erlang.halt(137, flush: false)
      end

      :ok = Remnesia.Cluster.convert(progress: progress)
      Enum.reverse(Agent.get(said, & &1))
    end
  end

  test "Mnesia's files are where the database is", context do
    [peer] = Peers.start([context.name], context.options)
    dir = Path.join(context.dir, "elsewhere")

    on peer, dir: dir do
      Application.load(:mnesia)
      Application.delete_env(:mnesia, :dir)
      Application.put_env(:remnesia, :dir, dir)
      :ok = Remnesia.start()
      :ok = Remnesia.Schema.setup([])
      :ok = Remnesia.Cluster.convert()
    end

    assert Enum.all?(["schema.DAT", "remnesia"], &(&1 in File.ls!(dir)))
    assert Peers.call(peer, Remnesia.Cluster, :leave, [elem(peer, 1)]) |> elem(0) == :error
    Peers.stop(peer)
  end

  test "a database that has just been started, whose tables are still being loaded", context do
    [peer] = Peers.start([context.name], context.options)
    :ok = Peers.call(peer, Remnesia, :start, [])
    tables = for i <- 1..6, do: :"large_#{i}"

    on peer, tables: tables do
      {:atomic, :ok} = :remnesia.change_table_copy_type(:schema, node(), :disc_copies)

      for table <- tables do
        {:atomic, :ok} = :remnesia.create_table(table, disc_copies: [node()])
        :remnesia.ets(fn -> for i <- 1..20_000, do: :remnesia.dirty_write({table, i, i}) end)
      end
    end

    :ok = Peers.call(peer, Remnesia, :stop, [])

    answer =
      on peer do
        :ok = Remnesia.start()
        {length(Remnesia.Native.tables_loading()), Remnesia.Cluster.convert()}
      end

    assert {loading, :ok} = answer
    assert loading > 0
    assert Peers.call(peer, :remnesia, :wait_for_tables, [tables, 60_000]) == :ok

    for table <- tables,
        do: assert(Peers.call(peer, :remnesia, :table_info, [table, :size]) == 20_000)

    Peers.stop(peer)
  end

  test "what a cluster does not have is refused, and nothing is changed", context do
    [peer] = Peers.start([context.name], context.options)
    :ok = Peers.call(peer, Remnesia, :start, [])

    refused = fn ->
      {:error, {:not_available, text}} = Peers.call(peer, Remnesia.Cluster, :convert, [])
      text
    end

    assert refused.() =~ "the schema is in memory"

    on peer do
      {:atomic, :ok} = :remnesia.change_table_copy_type(:schema, node(), :disc_copies)
      {:atomic, :ok} = :remnesia.create_table(:u, disc_copies: [node()], unique: [:val])
      {:atomic, :ok} = :remnesia.create_table(:d, disc_copies: [node()], type: :duplicate_bag)
    end

    assert refused.() =~ "drop those of: :u"
    {:atomic, :ok} = Peers.call(peer, :remnesia, :del_table_index, [:u, :val])
    assert refused.() =~ "duplicate_bag: :d"
    {:atomic, :ok} = Peers.call(peer, :remnesia, :delete_table, [:d])
    on(peer, do: Application.put_env(:remnesia, :engine, :local))
    assert refused.() =~ "engine: :local"
    on(peer, do: Application.delete_env(:remnesia, :engine))
    schema = Path.join([context.dir, to_string(context.name), "schema.DAT"])
    File.write!(schema, "")
    assert refused.() =~ "move its files away"
    File.rm!(schema)

    assert {:error, :nested_transaction} =
             on(peer, do: Remnesia.transaction!(fn -> Remnesia.Cluster.convert() end))

    refute on(peer, do: Remnesia.Engine.Choice.cluster?())

    # What the configuration says, and the database does not: tables would be there that nobody sees.
    start_as = fn engine ->
      # It may not have started.
      Peers.call(peer, Remnesia, :stop, [])
      on(peer, engine: engine, do: Application.put_env(:remnesia, :engine, engine))
      Peers.call(peer, Remnesia, :start, [])
    end

    assert {:error, {{:not_available, text}, _}} = start_as.(:cluster)
    assert text =~ "tables of one node" and text =~ ":u" and text =~ "convert/1"
    assert start_as.(nil) == :ok
    assert Peers.call(peer, Remnesia.Cluster, :convert, []) == :ok
    assert {:error, {{:not_available, text}, _}} = start_as.(:local)
    assert text =~ "those of a cluster"
    assert start_as.(nil) == :ok
    assert Peers.call(peer, :remnesia, :wait_for_tables, [[:u], 120_000]) == :ok

    # Unique indexes by any way that makes tables or indexes.
    for {module, function, arguments} <- [
          {:remnesia, :create_table, [:v, [disc_copies: [elem(peer, 1)], unique: [:val]]]},
          {:remnesia, :create_table, [[name: :v, unique: [[:key, :val]]]]},
          {Remnesia.Table, :add_index, [Example.Movie, :title, [unique: true]]},
          {Remnesia.Table, :add_index, [Example.Movie, [:title, :year], [unique: true]]},
          {Remnesia.Table, :create, [Example.Movie, [unique: [:title]]]},
          {Remnesia, :restore, ["/nowhere"]},
          {Remnesia, :load, ["/nowhere"]}
        ] do
      assert {kind, {:not_available, text}} = Peers.call(peer, module, function, arguments)
      assert kind in [:aborted, :error]
      assert text =~ "unique" or text =~ "several nodes"
    end

    assert Peers.call(peer, :remnesia, :system_info, [:tables]) |> Enum.sort() == [:schema, :u]
    Peers.stop(peer)
  end
end
