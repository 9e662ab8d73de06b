defmodule Remnesia.Calls do
  @moduledoc false

  # A program of calls, line by line, on two nodes of ours and on two of stock Mnesia: what each line answers, and what is known of all tables on
  # each node afterwards.
  #
  # A line is `1 code` or `2 code`, run on that node of either pair. In it `m` is :remnesia or :mnesia, `n1` and `n2` are the nodes, `dir` is a
  # directory of the pair, `h` is Remnesia.Calls.Here. A line that begins with `#` says something to the reader.

  alias Remnesia.{Links, Peers}

  @items [:storage_type, :ram_copies, :disc_copies, :disc_only_copies, :external_copies] ++
           [:where_to_read, :where_to_write, :where_to_wlock, :active_replicas, :all_nodes] ++
           [:size, :type, :index, :access_mode, :load_order, :wild_pattern, :attributes] ++
           [:record_name, :arity, :record_validation, :majority, :master_nodes] ++
           [:local_content, :user_properties, :storage_properties, :frag_properties] ++
           [:checkpoints, :load_by_force, :snmp, :subscribers]

  @type pair :: {module, Peers.peer(), Peers.peer(), dir :: charlist}

  @doc "The lines of a program."
  def lines(text) do
    for line <- String.split(text, "\n", trim: true), not String.starts_with?(line, "#"), do: line
  end

  @doc "Nil, or what ours and stock's make of this line."
  def difference(line, ours, stock) do
    answer = run(ours, line)
    stock_answer = run(stock, line)
    {facts, stock_facts} = both_know(ours, stock)

    cond do
      answer != stock_answer ->
        {:answer,
         "#{line}\n   ours #{inspect(answer, limit: :infinity)}\n  stock #{inspect(stock_answer, limit: :infinity)}"}

      facts != stock_facts ->
        {:facts,
         "#{line}\n   ours #{inspect(facts -- stock_facts)}\n  stock #{inspect(stock_facts -- facts)}"}

      true ->
        nil
    end
  end

  @doc "What the line answers."
  def run({module, one, two, dir} = pair, line) do
    {number, " " <> code} = String.split_at(line, 1)

    bindings = [
      m: module,
      h: Remnesia.Calls.Here,
      dir: dir,
      n1: elem(one, 1),
      n2: elem(two, 1)
    ]

    block = Code.string_to_quoted!("try do\n#{code}\ncatch\nkind, reason -> {kind, reason}\nend")
    peer = if(number == "1", do: one, else: two)
    peer |> Peers.evaluate(block, bindings) |> plain(pair)
  end

  # Nodes hear of each other's tables a little later, and dirty writes and asynchronous commits come later too.
  defp both_know(ours, stock) do
    know = fn -> for pair <- [ours, stock], do: pair |> known() |> plain(pair) end
    until = System.monotonic_time(:millisecond) + 20_000

    Links.wait(fn ->
      [ours, stock] = know.()

      if ours == stock or System.monotonic_time(:millisecond) > until,
        do: {ours, stock}
    end)
  end

  defp known({module, one, two, _dir}) do
    for {peer, number} <- [{one, 1}, {two, 2}],
        fact <- Peers.call(peer, Remnesia.Calls.Here, :facts, [module, @items]),
        do: {number, fact}
  end

  # Names of nodes, and what says where in the code something failed; lists of nodes have no order.
  defp plain(node, {_, {_, node}, _, _}), do: :node1
  defp plain(node, {_, _, {_, node}, _}), do: :node2

  defp plain([{module, function, arity, place} | _], _)
       when is_atom(module) and is_atom(function) and is_list(place) and
              (is_integer(arity) or is_list(arity)),
       do: :stack

  defp plain([_ | _] = list, {_, _, _, dir} = pair) do
    cond do
      List.improper?(list) ->
        list

      List.starts_with?(list, dir) ->
        {:dir, Enum.drop(list, length(dir))}

      true ->
        list = Enum.map(list, &plain(&1, pair))
        if Enum.all?(list, &(&1 in [:node1, :node2])), do: Enum.sort(list), else: list
    end
  end

  defp plain({:tid, _, pid}, _pair) when is_pid(pid), do: :tid

  defp plain(tuple, pair) when is_tuple(tuple),
    do: tuple |> Tuple.to_list() |> Enum.map(&plain(&1, pair)) |> List.to_tuple()

  defp plain(fun, _pair) when is_function(fun), do: :fun
  defp plain(pid, _pair) when is_pid(pid), do: :pid
  defp plain(reference, _pair) when is_reference(reference), do: :reference
  defp plain(:remnesia, _pair), do: :module
  defp plain(:mnesia, _pair), do: :module
  defp plain(:remnesia_frag, _pair), do: :frag
  defp plain(:mnesia_frag, _pair), do: :frag
  defp plain(other, _pair), do: other
end

defmodule Remnesia.Calls.Here do
  @moduledoc false

  # What the lines of a program need on their node.

  alias Remnesia.Links

  @doc "What is known of every table."
  def facts(m, items) do
    if m.system_info(:is_running) == :yes do
      for table <- Enum.sort(m.system_info(:tables)), table != :schema, item <- items do
        value = m.table_info(table, item)

        {table, item,
         if(item in [:index, :size], do: value |> List.wrap() |> Enum.uniq(), else: value)}
      end
    else
      []
    end
  catch
    # It is being stopped or started.
    :exit, reason -> [{:exit, elem(reason, 0)}]
  end

  @doc "Runs on both nodes, and has no tables."
  def clean(m, other) do
    for node <- [node(), other], do: :erpc.call(node, __MODULE__, :revive, [m])

    Links.wait(fn -> length(m.system_info(:running_db_nodes)) == 2 end)
    for name <- m.system_info(:checkpoints), do: m.deactivate_checkpoint(name)

    left =
      for table <- m.system_info(:tables) -- [:schema],
          answers = {m.change_table_access_mode(table, :read_write), m.delete_table(table)},
          table in m.system_info(:tables),
          do: {table, answers}

    [] = left
    :ok
  end

  @doc "Starts it, if it does not run, also where it was killed."
  def revive(m) do
    if m.system_info(:is_running) != :yes do
      m.stop()
      :ok = m.start()
      Links.wait(fn -> m.system_info(:is_running) == :yes end)
    end

    m.wait_for_tables([:schema], 120_000)
  end

  @doc "The access module of fragments."
  def frag(:mnesia), do: :mnesia_frag
  def frag(:remnesia), do: :remnesia_frag

  @doc "Writes records `{table, i, rem(i, 5)}`, everywhere when it answers."
  def fill(m, tables, range) do
    {:atomic, :ok} =
      m.sync_transaction(fn ->
        for table <- tables, i <- range, do: m.write({table, i, rem(i, 5)})
        :ok
      end)
  end

  @doc "Waits until what this node has written is everywhere, also what it did not wait for."
  def settle(m, tables) do
    for table <- tables do
      m.sync_dirty(fn -> m.delete({table, :no_such_key}) end)
      {:atomic, :ok} = m.sync_transaction(fn -> m.write_lock_table(table) end)
    end

    :ok
  end

  @doc "All records of tables, sorted."
  def all(m, tables) do
    for table <- List.wrap(tables),
        do: Enum.sort(m.dirty_match_object(table, m.table_info(table, :wild_pattern)))
  end

  @doc "Calls these one after the other, each with what it answers or how it leaves."
  def each(funs) do
    for fun <- funs do
      try do
        fun.()
      catch
        kind, reason -> {kind, reason}
      end
    end
  end

  @doc "Waits until these tables are loaded."
  def loaded(m, tables) do
    with :ok <- m.wait_for_tables(tables, 120_000), do: Enum.map(tables, &m.table_info(&1, :size))
  end

  @doc "What is in a backup, without what differs from run to run."
  def items(m, file) do
    fold = fn item, items -> {[item], [item | items]} end
    {:ok, items} = m.traverse_backup(file, :mnesia_backup, :none, :read_only, fold, [])

    Enum.sort(for item <- items, item = item(item), item != nil, do: item)
  end

  # The definitions name storage types: those of the backend in ours.
  defp item({:schema, table, _definition}), do: {:schema, table}
  defp item({:schema, table}), do: {:schema_deleted, table}
  defp item(record), do: record

  @doc "Begins to keep what a subscriber is told, under this name."
  def listen(m, name, what) do
    me = self()

    spawn(fn ->
      Process.register(self(), name)
      send(me, {:subscribed, m.subscribe(what)})
      receive(do: (:never -> :ok))
    end)

    receive(do: ({:subscribed, answer} -> answer))
  end

  @doc "The messages of these kinds that it was told, when there are so many."
  def told(name, kinds, count) do
    Links.wait(fn ->
      {:messages, messages} = Process.info(Process.whereis(name), :messages)
      told = for {_, event} <- messages, elem(event, 0) in kinds, do: event
      if length(told) >= count, do: told
    end)
  end

  @doc "Ends it."
  def forget(name) do
    with pid when is_pid(pid) <- Process.whereis(name), do: Process.exit(pid, :kill)
    :ok
  end

  @doc "A process that holds what a transaction has locked until `release/1`."
  def hold(m, name, fun) do
    me = self()

    spawn(fn ->
      Process.register(self(), name)

      m.transaction(fn ->
        send(me, {:held, fun.()})
        receive(do: (:release -> :ok))
      end)
    end)

    receive(do: ({:held, answer} -> answer))
  end

  def release(name) do
    pid = Process.whereis(name)
    monitor = Process.monitor(pid)
    send(pid, :release)
    receive(do: ({:DOWN, ^monitor, _, _, _} -> :ok))
  end

  @doc "Waits until this is so."
  def wait(fun), do: Links.wait(fun)
end
