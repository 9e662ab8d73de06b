defmodule Remnesia.Peers do
  @moduledoc false

  # Other VMs on this machine, each with Mnesia and Remnesia in a directory of its own. They are spoken to through their standard
  # input, so a test may cut or kill what it likes. Where a VM cannot be part of a network, tests that need peers fail or, with
  # REMNESIA_NO_PEERS set, are skipped; `unavailable/0` says why.

  @host ~c"127.0.0.1"

  @doc "Nil if peers can be started, else why not."
  def unavailable do
    if System.get_env("REMNESIA_NO_PEERS"), do: "REMNESIA_NO_PEERS is set", else: distribution()
  end

  # A named node needs the daemon that knows names and ports.
  defp distribution do
    epmd = System.find_executable("epmd") || to_string(:code.root_dir()) <> "/bin/epmd"
    System.cmd(epmd, ["-daemon"], stderr_to_stdout: true)
    connect(100)
  rescue
    error -> "epmd cannot be started: #{Exception.message(error)}"
  end

  defp connect(tries) do
    case :gen_tcp.connect({127, 0, 0, 1}, 4369, [], 1000) do
      {:ok, socket} ->
        :gen_tcp.close(socket)
        nil

      {:error, reason} when tries == 0 ->
        "epmd does not answer: #{inspect(reason)}"

      {:error, _reason} ->
        Process.sleep(20)
        connect(tries - 1)
    end
  end

  @doc "Starts nodes of these short names; a list of `{peer, node}`. Options: `:dir` (where they live), `:args`, `:code`, `:env`, `:host`, `:exec`."
  def start(names, options), do: Enum.map(names, &start_one(&1, options))

  def start_one(name, options) do
    dir = Path.join(Keyword.fetch!(options, :dir), to_string(name))
    File.mkdir_p!(dir)

    paths =
      for path <- :code.get_path(), Keyword.get(options, :code, true) or not ours?(path), do: path

    arguments =
      [
        ~c"-mnesia",
        ~c"dir",
        ~c"\"#{dir}\"",
        ~c"-mnesia",
        ~c"core_dir",
        ~c"\"#{dir}\"",
        ~c"-kernel",
        ~c"prevent_overlapping_partitions",
        ~c"false"
      ] ++
        Enum.flat_map(Keyword.get(options, :env, []), fn {app, key, value} ->
          [~c"-#{app}", ~c"#{key}", ~c"#{:io_lib.format("~w", [value])}"]
        end) ++
        [~c"-setcookie", ~c"remnesia", ~c"-pa" | paths] ++
        Keyword.get(options, :args, [])

    {:ok, peer, node} =
      :peer.start(
        Map.merge(Map.new(Keyword.take(options, [:exec])), %{
          name: :"#{name}_#{System.pid()}",
          host: Keyword.get(options, :host, @host),
          longnames: true,
          connection: :standard_io,
          args: arguments,
          wait_boot: 120_000
        })
      )

    {:ok, _apps} = call({peer, node}, Application, :ensure_all_started, [:elixir])
    {:ok, _apps} = call({peer, node}, Application, :ensure_all_started, [:logger])
    {peer, node}
  end

  defp ours?(path), do: String.contains?(to_string(path), "/lib/remnesia/")

  @doc "Starts nodes that know each other, with one schema on disc and the backend's types; Mnesia runs on all."
  def cluster(names, options), do: names |> start(options) |> form()

  @doc "The same, of peers that are there."
  def form(peers) do
    nodes = for {_peer, node} <- peers, do: node
    [first | _] = peers
    for node <- nodes, do: :pong = call(first, :net_adm, :ping, [node])
    types = [backend_types: Remnesia.Backend.types()]
    :ok = mnesia(first, :create_schema, [nodes, types])
    for peer <- peers, do: :ok = mnesia(peer, :start, [])
    for peer <- peers, do: :ok = mnesia(peer, :wait_for_tables, [[:schema], 120_000])
    peers
  end

  @doc "Starts a node again that was killed or stopped, with its Mnesia; waits for all tables."
  def restart(name, others, options) do
    peer = start_one(name, options)
    for {_peer, node} <- others, do: :pong = call(peer, :net_adm, :ping, [node])
    :ok = mnesia(peer, :start, [])
    :ok = mnesia(peer, :wait_for_tables, [mnesia(peer, :system_info, [:local_tables]), 120_000])
    peer
  end

  @doc "What a node has of a table, and a proof that its indexes say the same."
  def content({_peer, _node} = peer, table) do
    call(peer, Remnesia.Peers.Content, :of, [table])
  end

  @doc "Calls a function there; what it raises is raised here."
  def call({peer, _node}, module, function, arguments, timeout \\ 600_000),
    do: :peer.call(peer, module, function, arguments, timeout)

  def mnesia(peer, function, arguments), do: call(peer, :mnesia, function, arguments)

  @doc """
  Evaluates a block there, with these variables: `on(peer, [n: n], do: :mnesia.dirty_read(:t, n))`. Blocks of a test have no code that another
  VM could load.
  """
  defmacro on(peer, variables \\ [], options) do
    {block, more} = Keyword.pop!(options, :do)

    quote do
      Remnesia.Peers.evaluate(
        unquote(peer),
        unquote(Macro.escape(block)),
        unquote(variables) ++ unquote(more)
      )
    end
  end

  @doc false
  def evaluate(peer, block, variables) do
    {value, _variables} = call(peer, Code, :eval_quoted, [block, variables])
    value
  end

  @doc "Ends a peer as the kernel would."
  def kill({peer, _node} = which) do
    monitor = Process.monitor(peer)
    Process.unlink(peer)
    System.cmd("kill", ["-9", call(which, System, :pid, [])])

    receive do
      {:DOWN, ^monitor, :process, _pid, _reason} -> :ok
    after
      120_000 -> raise "peer #{inspect(which)} does not go down"
    end
  end

  @doc "Stops a peer if it is there."
  def stop({peer, _node}) do
    :peer.stop(peer)
  catch
    _kind, _reason -> :ok
  end
end

defmodule Remnesia.Peers.Content do
  @moduledoc false

  @doc "All records of the local copy, sorted. Raises where an index does not say the same as they do."
  def of(table) do
    storage = :mnesia.table_info(table, :storage_type)

    pattern = :mnesia.table_info(table, :wild_pattern)
    records = Enum.sort(apply(:mnesia_lib, :db_match_object, [storage, table, pattern]))

    if length(records) != :mnesia.table_info(table, :size), do: raise("size of #{table}")

    for position <- :mnesia.table_info(table, :index),
        {value, records} <- Enum.group_by(records, &elem(&1, position - 1)) do
      found = Enum.sort(:mnesia.dirty_index_read(table, value, position))
      if found != records, do: raise("index #{position} of #{table} at #{inspect(value)}")
    end

    records
  end
end
