defmodule Remnesia.Engine.Cluster.Nodes do
  @moduledoc false

  # Nodes that come and go. Each step looks first whether it has been done, so that a call that was cut off is simply made again.

  alias Remnesia.Backend
  alias Remnesia.Backend.Table
  alias Remnesia.Engine.Choice
  alias Remnesia.Engine.Cluster
  alias Remnesia.Engine.Cluster.{Info, Mark, Start}
  alias Remnesia.Engine.Local.{Copies, Definitions, Disc}
  alias Remnesia.Native

  require Logger

  # What nodes have to agree on beside the storage types: the callbacks' meaning and the form of transferred tables.
  @protocol 1

  @doc "What a node says of itself to one that wants to join."
  @spec describe() :: map
  def describe do
    %{
      protocol: @protocol,
      version: to_string(Application.spec(:remnesia, :vsn)),
      types: Backend.types(),
      cluster?: Choice.cluster?() and :mnesia.system_info(:is_running) == :yes
    }
  end

  @doc "Do these nodes, or those that run, go together with this one? One that does not answer is not asked again."
  @spec agree([node]) :: :ok | {:error, term}
  def agree(nodes \\ :mnesia.system_info(:running_db_nodes)) do
    Enum.find_value(nodes -- [node()], :ok, fn node ->
      case :rpc.call(node, __MODULE__, :describe, [], 5_000) do
        %{protocol: protocol, version: version} when protocol != @protocol ->
          other_version(node, version, protocol)

        _same_or_silent ->
          nil
      end
    end)
  end

  defp other_version(node, version, protocol) do
    not_available(
      "#{node} runs Remnesia #{version}, protocol #{protocol}, and this node #{describe().version}, protocol #{@protocol}"
    )
  end

  # --- join ---

  @spec join(node, keyword) :: :ok | {:error, term}
  def join(node, options) do
    say = Keyword.get(options, :progress) || (&Logger.info("remnesia: cluster: #{&1}"))

    with :ok <- connect(node, say),
         tables = wanted(Keyword.get(options, :tables, :all), node),
         :ok <- discs(node, Keyword.get(options, :schema, :disc_copies), tables, say),
         :ok <- copies(tables, say),
         do: dump_logs()
  end

  # Ours, whose files take a while to make, and beside it the schema's.
  defp discs(node, schema, tables, say) do
    ours = if schema == :disc_copies and Enum.any?(tables, &on_disc?/1), do: prepare()
    result = schema(node, schema, say)
    prepared = prepared(ours)
    with :ok <- result, do: prepared
  end

  defp on_disc?({_table, type}),
    do: type in [:disc_copies, :disc_only_copies, :remnesia_disc, :remnesia_disc_only]

  defp prepare, do: spawn_monitor(fn -> exit({:prepared, Table.ensure_disc()}) end)

  defp prepared(nil), do: :ok

  defp prepared({pid, monitor}) do
    receive do
      {:DOWN, ^monitor, :process, ^pid, {:prepared, result}} -> result
      {:DOWN, ^monitor, :process, ^pid, {:aborted, reason}} -> {:error, reason}
      {:DOWN, ^monitor, :process, ^pid, reason} -> {:error, reason}
    end
  end

  defp connect(node, say) do
    cond do
      node == node() ->
        {:error, {:badarg, node}}

      member?(node) ->
        :ok

      not Node.alive?() ->
        not_available("this node has no name (--sname or --name)")

      :net_adm.ping(node) != :pong ->
        {:error, {:not_reachable, node}}

      true ->
        with :ok <- compatible(node), :ok <- empty(), :ok <- anew(node), do: connect_to(node, say)
    end
  end

  defp member?(node) do
    Choice.cluster?() and :mnesia.system_info(:is_running) == :yes and
      node in :mnesia.system_info(:db_nodes)
  end

  defp compatible(node) do
    ours = describe()

    case :rpc.call(node, __MODULE__, :describe, []) do
      {:badrpc, {:EXIT, {:undef, _}}} ->
        not_available("#{node} does not have the code of Remnesia, or not of this version")

      {:badrpc, reason} ->
        {:error, {:not_reachable, node, reason}}

      %{protocol: protocol, version: version} when protocol != @protocol ->
        other_version(node, version, protocol)

      %{types: types} when types != ours.types ->
        not_available(
          "the storage types of #{node} are #{inspect(types)}, those of this node #{inspect(ours.types)}"
        )

      %{cluster?: false} ->
        not_available(
          "#{node} does not run as a cluster: Remnesia.Cluster.convert/1 makes it one"
        )

      %{} ->
        :ok
    end
  end

  defp empty do
    tables = Enum.filter(Definitions.names(), &is_atom/1)

    cond do
      tables != [] ->
        not_available(
          "this node has tables of its own: #{Enum.map_join(tables, ", ", &inspect/1)}"
        )

      Choice.cluster?() ->
        :ok

      # A schema without tables is nothing to keep.
      Disc.used?() ->
        atomic(Copies.change_table_copy_type(:schema, node(), :ram_copies))

      true ->
        :ok
    end
  end

  # The others may know this node with a disc that it has no more: cut off while it left, or its disc was lost.
  defp anew(node) do
    discs = :rpc.call(node, :mnesia, :table_info, [:schema, :disc_copies])

    if is_list(discs) and node() in discs and not Start.schema_on_disc?() do
      with {:badrpc, reason} <- :rpc.call(node, __MODULE__, :leave, [node(), []]),
           do: {:error, {:not_reachable, node, reason}}
    else
      :ok
    end
  end

  defp connect_to(node, say) do
    case if(Choice.cluster?(),
           do: :mnesia.change_config(:extra_db_nodes, [node]),
           else: Start.join([node])
         ) do
      {:ok, [_ | _]} -> tell(say, "connected to #{node}")
      {:ok, []} -> {:error, {:not_reachable, node}}
      {:error, reason} -> {:error, reason}
    end
  end

  # The mark comes first: with it and without a schema the node begins as one that is to join again.
  defp schema(_node, :ram_copies, _say), do: :ok

  defp schema(node, :disc_copies, say) do
    cond do
      :mnesia.table_info(:schema, :storage_type) == :disc_copies -> :ok
      node not in :mnesia.table_info(:schema, :disc_copies) -> :ok
      true -> schema_to_disc(say)
    end
  end

  defp schema(_node, other, _say), do: {:error, {:bad_type, {:schema, other}}}

  defp schema_to_disc(say) do
    with :ok <- Mark.put(:cluster),
         :ok <- atomic(:mnesia.change_table_copy_type(:schema, node(), :disc_copies)),
         do: tell(say, "the schema is on disc")
  end

  # --- the tables ---

  defp wanted(:all, node) do
    for table <- :mnesia.system_info(:tables) -- [:schema],
        not :mnesia.table_info(table, :local_content),
        do: {table, type(table, node)}
  end

  defp wanted(tables, node) when is_list(tables) do
    for item <- tables, do: if(is_tuple(item), do: item, else: {item, type(item, node)})
  end

  # As the other node keeps it, or whoever has it.
  defp type(table, node) do
    kinds = [:ram_copies, :disc_copies, :disc_only_copies]
    has = fn kind, wanted? -> Enum.any?(Info.table(table, kind), wanted?) end

    Enum.find(kinds, &has.(&1, fn n -> n == node end)) ||
      Enum.find(kinds, :disc_copies, &has.(&1, fn _any -> true end))
  catch
    :exit, _no_table -> :disc_copies
  end

  defp copies(tables, say) do
    count = length(tables)

    tables
    |> Enum.with_index(1)
    |> Enum.reduce_while(:ok, fn {{table, type}, number}, :ok ->
      case copy(table, type, "#{number} of #{count}", say) do
        :ok -> {:cont, :ok}
        error -> {:halt, error}
      end
    end)
  end

  defp copy(table, type, which, say) do
    teller = spawn_link(fn -> tell_size(table, which, say) end)

    result =
      case Cluster.add_table_copy(table, node(), type) do
        {:atomic, :ok} ->
          tell(say, "#{inspect(table)} (#{which}): #{:mnesia.table_info(table, :size)} records")

        {:aborted, {:already_exists, ^table, _node}} ->
          :ok

        {:aborted, reason} ->
          {:error, {table, reason}}
      end

    Process.unlink(teller)
    Process.exit(teller, :kill)
    with :ok <- result, do: loaded(table)
  end

  # One that was cut off is loaded when Mnesia starts.
  defp loaded(table) do
    case :mnesia.wait_for_tables([table], 60_000) do
      :ok -> :ok
      other -> {:error, {table, other}}
    end
  end

  @progress_every 1_000

  defp tell_size(table, which, say) do
    Process.sleep(@progress_every)

    records =
      with :error <- Native.table_size({:mnesia, table}),
           do: with(:undefined <- :ets.info(table, :size), do: 0)

    say.("#{inspect(table)} (#{which}): #{records} records so far")
    tell_size(table, which, say)
  end

  defp tell(say, line) do
    say.(line)
    :ok
  end

  @doc "Brings the schema to the disc of every node: one that is killed before could not merge with others, as OTP's merge knows no storage of plug-ins."
  @spec dump_logs() :: :ok
  def dump_logs do
    :rpc.multicall(:mnesia.system_info(:running_db_nodes), :mnesia, :dump_log, [])
    :ok
  end

  # --- leave ---

  @spec leave(node, keyword) :: :ok | {:error, term}
  def leave(node, options) do
    cond do
      not Choice.cluster?() ->
        if(node == node(), do: :ok, else: not_available("this node is in no cluster"))

      :mnesia.system_info(:is_running) != :yes ->
        {:error, {:node_not_running, node()}}

      node not in :mnesia.system_info(:db_nodes) ->
        :ok

      node != node() and node in :mnesia.system_info(:running_db_nodes) ->
        there(node, options)

      true ->
        with :ok <- no_last_copy(node, options), do: take_out(node)
    end
  end

  # It stops itself.
  defp there(node, options) do
    case :rpc.call(node, __MODULE__, :leave, [node, options]) do
      # It has just gone down.
      {:badrpc, :nodedown} -> with :ok <- no_last_copy(node, options), do: taken_out(node)
      {:badrpc, reason} -> {:error, {:not_reachable, node, reason}}
      result -> result
    end
  end

  defp no_last_copy(node, options) do
    last =
      for table <- :mnesia.system_info(:tables),
          table != :schema,
          copies =
            Enum.flat_map(
              [:ram_copies, :disc_copies, :disc_only_copies, :external_copies],
              &nodes(table, &1)
            ),
          copies == [node],
          do: table

    if last == [] or Keyword.get(options, :force, false),
      do: :ok,
      else: {:error, {:last_copy, last}}
  end

  defp nodes(table, :external_copies),
    do:
      for({_type, nodes} <- :mnesia.table_info(table, :external_copies), node <- nodes, do: node)

  defp nodes(table, kind), do: :mnesia.table_info(table, kind)

  defp take_out(node) when node == node() do
    case :mnesia.system_info(:running_db_nodes) -- [node] do
      [] ->
        not_available("no other node of the cluster runs")

      [other | _] ->
        # From here on everything goes, whatever comes between; the last step is to be made by another node then.
        with :ok <- Mark.put(:leave),
             :ok <- Application.stop(:remnesia),
             :ok <- rpc_take_out(other, node),
             do: Application.start(:remnesia)
    end
  end

  defp take_out(node) do
    with :ok <- atomic(:mnesia.del_table_copy(:schema, node)), do: dump_logs()
  end

  defp rpc_take_out(other, node) do
    case :rpc.call(other, __MODULE__, :taken_out, [node]) do
      {:badrpc, reason} -> {:error, {:not_reachable, other, reason}}
      result -> result
    end
  end

  @doc "Takes a node out that has just stopped."
  @spec taken_out(node, non_neg_integer) :: :ok | {:error, term}
  def taken_out(node, tries \\ 100) do
    if node in :mnesia.system_info(:running_db_nodes) and tries > 0 do
      Process.sleep(50)
      taken_out(node, tries - 1)
    else
      take_out(node)
    end
  end

  defp atomic({:atomic, _value}), do: :ok
  defp atomic({:aborted, reason}), do: {:error, reason}
  defp not_available(text), do: {:error, {:not_available, text}}
end
