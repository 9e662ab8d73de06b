# Several nodes on this machine, stock Mnesia with `disc_copies` against ours, in one run: `bin/bench --cluster [RECORDS]`.
# RECORDS (1,000,000) are those of the table that a node starts with and that another one joins to. Prints a table, which is kept in bench/results/.
# `--reads` measures what a local replica answers and what a write costs, and nothing else; `--joins` the start and the join.

Code.require_file("../test/support/peers.ex", __DIR__)

# Runs on the peers.
[{_module, beam}] =
  Code.compile_string("""
  defmodule Bench.ClusterChild do
    def load(module, table, records) do
      for chunk <- Stream.chunk_every(1..records, 1_000) do
        {:atomic, :ok} =
          module.transaction(fn -> Enum.each(chunk, &module.write({table, &1, div(&1, 10), "name \#{&1}", &1 * 0.5})) end)
      end

      :ok
    end

    # Nanoseconds for one, of pairs that take turns: the best tenth of rounds of each.
    def pairs(keys) do
      key = fn i -> rem(i * 7919, keys) + 1 end
      by_key = fn t, k -> [{{t, :"$1", :_, :_, :_}, [{:==, :"$1", k}], [:"$_"]}] end
      by_group = fn t, g -> [{{t, :_, :"$1", :_, :_}, [{:"=:=", :"$1", g}], [:"$_"]}] end
      row = fn t, k, x -> {t, k, div(k, 10), "name", x} end

      operations = [
        {"dirty read", 1_000, 1_000, fn m, t, i -> m.dirty_read(t, key.(i)) end},
        {"dirty select, guard on the key", 1, 500, fn m, t, i -> m.dirty_select(t, by_key.(t, key.(i))) end},
        {"dirty select, guard on an indexed attribute", 1, 300, fn m, t, i -> m.dirty_select(t, by_group.(t, div(key.(i), 10))) end},
        {"dirty select, key bound in the head", 1_000, 1_000, fn m, t, i -> m.dirty_select(t, [{{t, key.(i), :_, :_, :_}, [], [:"$_"]}]) end},
        {"dirty index read, 10 records", 500, 500, fn m, t, i -> m.dirty_index_read(t, div(key.(i), 10), :group) end},
        {"transaction with one read", 200, 200, fn m, t, i -> m.transaction(fn -> m.read(t, key.(i)) end) end},
        {"transaction with a select, guard on an indexed attribute", 1, 100, fn m, t, i -> m.transaction(fn -> m.select(t, by_group.(t, div(key.(i), 10))) end) end},
        {"dirty write, replicated", 200, 200, fn m, t, i -> m.dirty_write(row.(t, key.(i), i)) end},
        {"transaction with one write, replicated", 200, 200, fn m, t, i -> m.transaction(fn -> m.write(row.(t, key.(i), i)) end) end},
        {"sync transaction with one write, replicated; stock not durable", 100, 100, fn m, t, i -> m.sync_transaction(fn -> m.write(row.(t, key.(i), i)) end) end}
      ]

      # Once around before it counts: code is loaded, tables have grown, and nothing of the load goes on.
      for {_name, stock, ours, fun} <- operations do
        one(stock, &fun.(:mnesia, :s, &1))
        one(ours, &fun.(:remnesia, :o, &1))
      end

      settle()
      Process.sleep(1_000)

      for {name, stock, ours, fun} <- operations do
        then = if name =~ "write", do: &settle/0, else: fn -> :ok end

        times =
          for _round <- 1..if(name =~ "write", do: 15, else: 40) do
            s = one(stock, &fun.(:mnesia, :s, &1))
            then.()
            o = one(ours, &fun.(:remnesia, :o, &1))
            then.()
            {s, o}
          end

        {name, best(Enum.map(times, &elem(&1, 1))), best(Enum.map(times, &elem(&1, 0)))}
      end
    end

    # Until every node has done what was sent to it, on disc too: nothing goes on beside what is measured next.
    defp settle do
      for node <- :mnesia.system_info(:running_db_nodes) do
        {:info, _, _} = :rpc.call(node, :mnesia_tm, :get_info, [60_000])
        :ok = :rpc.call(node, Remnesia, :sync, [])
      end
    end

    defp one(n, fun) do
      begun = System.monotonic_time(:nanosecond)
      Enum.each(1..n, fun)
      (System.monotonic_time(:nanosecond) - begun) / n
    end

    # On a busy machine the others' time slices are in most rounds.
    defp best(times), do: times |> Enum.sort() |> Enum.at(div(length(times), 10))

    def timed(module, function, arguments) do
      begun = System.monotonic_time(:nanosecond)
      result = apply(module, function, arguments)
      {System.monotonic_time(:nanosecond) - begun, result}
    end

    def start(module, table) do
      timed(:erlang, :apply, [fn ->
        :ok = module.start()
        :ok = module.wait_for_tables([table], :infinity)
      end, []]) |> elem(0)
    end

    # Stock's way to do what Remnesia.Cluster.join/2 does.
    def join_stock(node, table) do
      {:ok, [_]} = :mnesia.change_config(:extra_db_nodes, [node])
      {:atomic, :ok} = :mnesia.change_table_copy_type(:schema, node(), :disc_copies)
      {:atomic, :ok} = :mnesia.add_table_copy(table, node(), :disc_copies)
      :ok
    end
  end
  """)

alias Remnesia.Peers

defmodule Bench.Cluster do
  def root, do: Path.join(System.tmp_dir!(), "remnesia-bench-cluster-#{System.pid()}")

  def row(name, ours, stock),
    do: IO.puts("| #{name} | #{show(ours)} | #{show(stock)} | #{Float.round(stock / ours, 2)}x |")

  defp show(ns) when ns >= 1.0e9, do: "#{Float.round(ns / 1.0e9, 2)} s"
  defp show(ns) when ns >= 1.0e6, do: "#{Float.round(ns / 1.0e6, 2)} ms"
  defp show(ns) when ns >= 1.0e4, do: "#{Float.round(ns / 1.0e3, 1)} us"
  defp show(ns), do: "#{round(ns)} ns"

  def start(names, beam) do
    peers =
      Peers.start(names, dir: root(), args: [~c"-mnesia", ~c"dump_log_write_threshold", ~c"50000"])

    [first | others] = peers
    for {_peer, node} <- others, do: :pong = Peers.call(first, :net_adm, :ping, [node])

    for peer <- peers do
      :ok = Peers.call(peer, :logger, :set_primary_config, [:level, :error])
      {:module, _} = Peers.call(peer, :code, :load_binary, [Bench.ClusterChild, ~c"bench", beam])
    end

    peers
  end

  def nodes(peers), do: for({_peer, node} <- peers, do: node)
  @forever 3_600_000
  def there(peer, function, arguments),
    do: Peers.call(peer, Bench.ClusterChild, function, arguments, @forever)
end

alias Bench.Cluster

{options, rest} = OptionParser.parse!(System.argv(), strict: [reads: :boolean, joins: :boolean])

records =
  case rest do
    [n] -> String.to_integer(n)
    [] -> 1_000_000
  end

File.mkdir_p!(Cluster.root())
attributes = [attributes: [:id, :group, :name, :score]]

try do
  # --- a local replica, and writes that are replicated ---

  unless options[:joins] do
    peers = [first | _] = Cluster.start([:a, :b, :c], beam)
    n = Cluster.nodes(peers)
    :ok = Peers.call(first, Remnesia.Schema, :create, [n])
    for peer <- peers, do: :ok = Peers.call(peer, Remnesia, :start, [])

    {:atomic, :ok} =
      Peers.call(first, :remnesia, :create_table, [
        :o,
        [disc_copies: n, index: [:group]] ++ attributes
      ])

    {:atomic, :ok} =
      Peers.mnesia(first, :create_table, [:s, [disc_copies: n, index: [:group]] ++ attributes])

    for {module, table} <- [mnesia: :s, remnesia: :o],
        do: :ok = Cluster.there(first, :load, [module, table, 20_000])

    IO.puts(
      "Three nodes, 20,000 records of 4 fields, one index\n\n| | Remnesia | stock | |\n|---|---|---|---|"
    )

    for {name, ours, stock} <- Cluster.there(first, :pairs, [20_000]),
        do: Cluster.row(name, ours, stock)

    Enum.each(peers, &Peers.stop/1)
  end

  if options[:reads], do: throw(:done)

  # --- a node that starts, and one that joins ---

  IO.puts("\n#{records} records\n\n| | Remnesia | stock | |\n|---|---|---|---|")

  results =
    for {name, module} <- [ours: :remnesia, stock: :mnesia] do
      [peer] = Cluster.start([:"first_#{name}"], beam)
      {_, node} = peer

      if module == :mnesia do
        :ok = Peers.mnesia(peer, :create_schema, [[node]])
        :ok = Peers.mnesia(peer, :start, [])
      else
        :ok = Peers.call(peer, Application, :put_env, [:remnesia, :engine, :cluster])

        :ok =
          Peers.mnesia(peer, :create_schema, [[node], [backend_types: Remnesia.Backend.types()]])

        :ok = Peers.call(peer, Remnesia, :start, [])
      end

      {:atomic, :ok} =
        Peers.call(peer, module, :create_table, [:t, [disc_copies: [node]] ++ attributes])

      :ok = Cluster.there(peer, :load, [module, :t, records])
      :dumped = Peers.mnesia(peer, :dump_log, [])
      :stopped = Peers.call(peer, module, :stop, [], 600_000)
      started = Cluster.there(peer, :start, [module, :t])
      ^records = Peers.call(peer, module, :table_info, [:t, :size])
      words = Peers.call(peer, module, :table_info, [:t, :memory])

      [joiner] = Cluster.start([:"second_#{name}"], beam)
      :pong = Peers.call(joiner, :net_adm, :ping, [node])
      # Mnesia runs on both before the clock does.
      :ok = Peers.call(joiner, Application, :put_env, [:remnesia, :engine, :cluster])
      :ok = Peers.call(joiner, module, :start, [])

      {joined, :ok} =
        if module == :mnesia,
          do: Cluster.there(joiner, :timed, [Bench.ClusterChild, :join_stock, [node, :t]]),
          else: Cluster.there(joiner, :timed, [Remnesia.Cluster, :join, [node]])

      ^records = Peers.call(joiner, module, :table_info, [:t, :size])
      Enum.each([joiner, peer], &Peers.stop/1)
      {name, {started, joined, words * 8}}
    end

  {ours_started, ours_joined, ours_bytes} = results[:ours]
  {stock_started, stock_joined, stock_bytes} = results[:stock]
  Cluster.row("start until the table is ready", ours_started, stock_started)
  Cluster.row("join, until the copy is whole", ours_joined, stock_joined)

  IO.puts(
    "| memory, MB | #{div(ours_bytes, 1_000_000)} | #{div(stock_bytes, 1_000_000)} | #{Float.round(stock_bytes / ours_bytes, 2)}x |"
  )
catch
  :done -> :ok
after
  File.rm_rf!(Cluster.root())
end
