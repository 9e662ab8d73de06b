defmodule Remnesia.Cluster.CallsTest do
  # Every call that is about several nodes, the same program on two of ours and on two of stock Mnesia: the same answers, errors included.
  use ExUnit.Case, async: true

  alias Remnesia.Peers

  @moduletag :peers
  @moduletag timeout: 300_000

  # Each line is run on node 1 or 2, by `m`, which is :remnesia or :mnesia; `n1` and `n2` are their names.
  @copies """
  1 m.create_table(:t, disc_copies: [n1], index: [:val])
  1 m.create_table(:t, disc_copies: [n1])
  1 m.create_table(:two, ram_copies: [n1], disc_copies: [n1])
  1 m.create_table(:else, disc_copies: [:no@where])
  1 m.create_table(:r, ram_copies: [n1, n2], type: :bag)
  1 m.create_table(:only, disc_only_copies: [n1], attributes: [:k, :a, :b], index: [:a])
  1 for(t <- [:t, :r], i <- 1..30, do: m.dirty_write({t, i, rem(i, 3)})) |> length()
  1 for(i <- 1..30, do: m.dirty_write({:only, i, rem(i, 3), i})) |> length()
  2 m.add_table_copy(:t, n2, :ram_copies)
  2 m.add_table_copy(:t, n2, :ram_copies)
  2 m.add_table_copy(:t, n2, :nonsense)
  2 m.add_table_copy(:t, :no@where, :disc_copies)
  2 m.add_table_copy(:none, n2, :disc_copies)
  2 m.change_table_copy_type(:t, n2, :disc_copies)
  2 m.change_table_copy_type(:t, n2, :disc_copies)
  2 m.change_table_copy_type(:t, n2, :disc_only_copies)
  2 m.change_table_copy_type(:t, n2, :ram_copies)
  2 m.change_table_copy_type(:t, n2, :disc_only_copies)
  2 m.change_table_copy_type(:t, n2, :nonsense)
  2 m.change_table_copy_type(:t, :no@where, :ram_copies)
  2 m.change_table_copy_type(:none, n2, :ram_copies)
  1 m.change_table_copy_type(:t, n2, :unknown)
  1 m.add_table_copy(:t, n2, :disc_copies)
  2 m.add_table_copy(:only, n2, :disc_only_copies)
  2 m.change_table_copy_type(:only, n2, :disc_copies)
  1 m.change_table_copy_type(:only, n1, :ram_copies)
  2 m.move_table_copy(:r, n1, n2)
  2 m.move_table_copy(:none, n1, n2)
  2 m.move_table_copy(:schema, n1, n2)
  2 m.del_table_copy(:r, n2)
  2 m.del_table_copy(:r, n2)
  2 m.del_table_copy(:none, n2)
  1 m.move_table_copy(:r, n1, n2)
  1 m.move_table_copy(:r, n1, n2)
  1 m.dirty_read(:r, 7)
  1 m.transaction(fn -> m.read(:r, 7) end)
  1 m.transaction(fn -> m.write({:r, 7, :more}); m.read(:r, 7) end)
  1 m.sync_transaction(fn -> m.write({:r, 7, :again}) end)
  2 m.dirty_read(:r, 7)
  1 Enum.sort(m.dirty_all_keys(:r))
  1 Enum.sort(m.dirty_match_object({:r, :_, 1}))
  1 Enum.sort(m.dirty_select(:r, [{{:r, :"$1", 2}, [], [:"$1"]}]))
  1 m.dirty_update_counter(:t, 1, 5)
  1 m.del_table_copy(:schema, n2)
  """

  @definitions """
  1 m.create_table(:d, disc_copies: [n1, n2], attributes: [:k, :a], index: [:a])
  1 m.create_table(:ram, ram_copies: [n1, n2])
  1 for(t <- [:d, :ram], i <- 1..30, do: m.sync_dirty(fn -> m.write({t, i, rem(i, 4)}) end)) |> length()
  2 m.add_table_index(:d, :a)
  2 m.add_table_index(:d, :z)
  2 m.del_table_index(:d, :a)
  2 m.del_table_index(:d, :a)
  2 m.add_table_index(:d, :a)
  1 Enum.sort(m.dirty_index_read(:d, 1, :a))
  2 Enum.sort(m.dirty_index_read(:d, 1, :a))
  2 m.transform_table(:d, fn {:d, k, a} -> {:d, k, a, k + 1} end, [:k, :a, :b])
  2 elem(m.transform_table(:d, fn _ -> :no end, [:k, :a]), 0)
  1 m.table_info(:d, :attributes)
  1 Enum.sort(m.dirty_read(:d, 3))
  2 m.change_table_access_mode(:d, :read_only)
  1 m.dirty_write({:d, 1, 1, 1})
  1 m.transaction(fn -> m.write({:d, 1, 1, 1}) end)
  2 m.change_table_access_mode(:d, :read_only)
  2 m.change_table_access_mode(:d, :read_write)
  2 m.change_table_load_order(:d, 7)
  2 m.change_table_load_order(:d, :x)
  2 m.change_table_majority(:d, true)
  2 m.change_table_majority(:d, true)
  1 m.table_info(:d, :majority)
  2 m.write_table_property(:d, {:a, 1})
  1 m.read_table_property(:d, :a)
  1 m.table_info(:d, :user_properties)
  2 m.delete_table_property(:d, :a)
  1 m.set_master_nodes(:d, [n2])
  1 m.table_info(:d, :master_nodes)
  1 m.set_master_nodes(:d, [:no@where])
  1 m.set_master_nodes(:none, [n1])
  1 m.set_master_nodes([n1])
  1 m.set_master_nodes([])
  1 m.set_master_nodes(:x)
  1 m.force_load_table(:d)
  1 m.force_load_table(:none)
  1 m.wait_for_tables([:d, :ram], 5_000)
  1 m.wait_for_tables([:d, :none], 10)
  1 m.create_table(:own, disc_copies: [n1, n2], local_content: true)
  1 m.create_table(:bad, ram_copies: [n1], local_content: true, majority: true)
  1 m.dirty_write({:own, 1, :one})
  2 m.dirty_write({:own, 1, :two})
  1 {m.dirty_read(:own, 1), m.table_info(:own, :local_content)}
  2 m.dirty_read(:own, 1)
  1 m.transaction(fn -> m.write(:d, {:d, 100, 1, 1}, :sticky_write) end)
  2 m.transaction(fn -> m.write(:d, {:d, 100, 2, 2}, :sticky_write); m.s_delete({:d, 1}) end)
  1 m.transaction(fn -> m.s_write({:d, 101, 1, 1}) end)
  2 m.transaction(fn -> {m.read(:d, 100), m.read(:d, 101), m.wread({:d, 1})} end)
  2 m.transaction(fn -> {Enum.sort(m.lock({:table, :d}, :write)), m.lock({:global, :x, [n1, n2]}, :write), m.read_lock_table(:d), m.write_lock_table(:ram)} end)
  2 m.transaction(fn -> m.lock({:table, :none}, :read) end)
  2 m.dump_tables([:ram])
  2 m.dump_tables([:d])
  1 m.sync_transaction(fn -> m.foldl(fn r, n -> n + elem(r, 2) end, 0, :d) end)
  1 m.clear_table(:ram)
  2 m.table_info(:ram, :size)
  2 m.delete_table(:ram)
  1 m.delete_table(:ram)
  2 m.delete_table(:own)
  """

  @down """
  1 m.create_table(:d, disc_copies: [n1, n2])
  1 m.create_table(:there, disc_copies: [n2])
  1 m.create_table(:most, disc_copies: [n1, n2], majority: true)
  2 m.dirty_write({:there, 1, 1})
  1 (spawn(fn -> Process.register(self(), :told); m.subscribe(:system); receive do :never -> :ok end end); Process.sleep(100))
  1 m.sync_transaction(fn -> m.write({:d, 1, 1}); m.write({:most, 1, 1}) end)
  2 m.stop()
  1 (Process.sleep(300); for({:mnesia_system_event, {kind, _} = e} when kind in [:mnesia_down, :mnesia_up] <- elem(Process.info(Process.whereis(:told), :messages), 1), do: e))
  1 m.system_info(:running_db_nodes)
  1 Enum.sort(m.system_info(:db_nodes))
  1 m.transaction(fn -> m.write({:d, 1, 2}) end)
  1 m.transaction(fn -> m.write({:most, 1, 2}) end)
  1 m.dirty_read(:there, 1)
  1 m.transaction(fn -> m.read(:there, 1) end)
  1 m.transaction(fn -> m.write({:there, 1, 1}) end)
  1 m.table_info(:there, :where_to_read)
  1 m.create_table(:later, disc_copies: [n1, n2])
  1 m.create_table(:later, ram_copies: [n1])
  1 m.add_table_copy(:later, n2, :ram_copies)
  1 m.del_table_copy(:d, n2)
  1 m.delete_table(:d)
  2 (answer = m.start(); :ok = m.wait_for_tables([:d, :there, :most], 20_000); answer)
  1 (Process.sleep(300); for({:mnesia_system_event, {kind, _} = e} when kind in [:mnesia_down, :mnesia_up] <- elem(Process.info(Process.whereis(:told), :messages), 1), do: e))
  2 m.wait_for_tables([:d, :there, :most], 20_000)
  2 m.dirty_read(:d, 1)
  2 m.dirty_read(:most, 1)
  1 m.dirty_read(:there, 1)
  2 m.transaction(fn -> m.write({:most, 1, 3}) end)
  1 m.unsubscribe(:system)
  """

  # What is known of a table on either node, after each step that changed something.
  @items [
           :storage_type,
           :ram_copies,
           :disc_copies,
           :disc_only_copies,
           :external_copies,
           :where_to_read
         ] ++
           [
             :where_to_write,
             :active_replicas,
             :size,
             :type,
             :index,
             :access_mode,
             :load_order,
             :wild_pattern
           ]

  setup context do
    dir = Path.join(System.tmp_dir!(), "remnesia-calls-#{System.pid()}-#{context.line}")
    on_exit(fn -> File.rm_rf!(dir) end)
    names = for letter <- ~w(a b c d), do: :"#{letter}calls#{context.line}"
    peers = [a, b, c, d] = Peers.start(names, dir: dir)
    for {x, y} <- [{a, b}, {c, d}], do: :pong = Peers.call(x, :net_adm, :ping, [elem(y, 1)])
    :ok = Peers.call(a, :remnesia, :create_schema, [[elem(a, 1), elem(b, 1)]])
    :ok = Peers.call(c, :mnesia, :create_schema, [[elem(c, 1), elem(d, 1)]])
    for peer <- [a, b], do: :ok = Peers.call(peer, :remnesia, :start, [])
    for peer <- [c, d], do: :ok = Peers.call(peer, :mnesia, :start, [])
    on_exit(fn -> Enum.each(peers, &Peers.stop/1) end)
    {:ok, ours: {:remnesia, a, b}, stock: {:mnesia, c, d}}
  end

  for name <- [:copies, :definitions, :down] do
    test "#{name}", context do
      program = String.split(text(unquote(name)), "\n", trim: true)

      differ = for line <- program, text = difference(line, context), do: text
      assert differ == [], Enum.join(differ, "\n")
    end
  end

  defp text(:copies), do: @copies
  defp text(:definitions), do: @definitions
  defp text(:down), do: @down

  defp difference(line, context) do
    answer = run(context.ours, line)
    stock_answer = run(context.stock, line)
    {facts, stock_facts} = both_know(context, 20)

    cond do
      answer != stock_answer ->
        "#{line}\n   ours #{inspect(answer)}\n  stock #{inspect(stock_answer)}"

      facts != stock_facts ->
        "#{line}\n   ours #{inspect(facts -- stock_facts)}\n  stock #{inspect(stock_facts -- facts)}"

      true ->
        nil
    end
  end

  defp run({module, one, two} = cluster, line) do
    {number, " " <> code} = String.split_at(line, 1)
    bindings = [m: module, n1: elem(one, 1), n2: elem(two, 1)]
    answer = evaluate(if(number == "1", do: one, else: two), code, bindings)
    plain(answer, cluster)
  end

  # Nodes hear of each other's tables a little later.
  defp both_know(context, tries) do
    [ours, stock] = for c <- [context.ours, context.stock], do: plain(known(c), c)

    if ours != stock and tries > 0 do
      Process.sleep(50)
      both_know(context, tries - 1)
    else
      {ours, stock}
    end
  end

  defp evaluate(peer, code, bindings) do
    block = Code.string_to_quoted!("try do\n#{code}\ncatch\nkind, reason -> {kind, reason}\nend")
    Peers.evaluate(peer, block, bindings)
  end

  # Dirty writes and asynchronous commits reach the other node a little later.
  defp known({module, one, two} = cluster, tries \\ 20) do
    facts =
      for {peer, number} <- [{one, 1}, {two, 2}], fact <- facts(peer, module), do: {number, fact}

    sizes = for {_, {table, :size, size}} <- facts, table != :own, uniq: true, do: {table, size}

    if length(sizes) != length(Enum.uniq_by(sizes, &elem(&1, 0))) and tries > 0 do
      Process.sleep(25)
      known(cluster, tries - 1)
    else
      facts
    end
  end

  defp facts(peer, module) do
    code = """
    if m.system_info(:is_running) == :yes do
      for table <- m.system_info(:tables), table != :schema, item <- items do
        value = m.table_info(table, item)
        {table, item, if(item in [:index, :size], do: value |> List.wrap() |> Enum.uniq(), else: value)}
      end
    else
      []
    end
    """

    peer |> Peers.evaluate(Code.string_to_quoted!(code), m: module, items: @items) |> Enum.sort()
  end

  # Names of nodes and what says where in the code something failed; lists of nodes have no order.
  defp plain(node, {_, {_, node}, _}), do: :node1
  defp plain(node, {_, _, {_, node}}), do: :node2

  defp plain([{module, function, arity, place} | _], _)
       when is_atom(module) and is_atom(function) and is_list(place) and
              (is_integer(arity) or is_list(arity)),
       do: :stack

  defp plain([_ | _] = list, cluster) do
    if List.improper?(list) do
      list
    else
      list = Enum.map(list, &plain(&1, cluster))
      if Enum.all?(list, &(&1 in [:node1, :node2])), do: Enum.sort(list), else: list
    end
  end

  defp plain(tuple, cluster) when is_tuple(tuple),
    do: tuple |> Tuple.to_list() |> Enum.map(&plain(&1, cluster)) |> List.to_tuple()

  defp plain(fun, _cluster) when is_function(fun), do: :fun
  defp plain(:remnesia, _cluster), do: :module
  defp plain(:mnesia, _cluster), do: :module
  defp plain(other, _cluster), do: other
end
