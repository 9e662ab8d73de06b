defmodule Remnesia.Cluster do
  @moduledoc """
  From one node to several, and back, without losing data: see the guide "Several nodes".

      # on the node that has the data, once or at every boot
      :ok = Remnesia.Cluster.convert()

      # on each other node, once or at every boot
      :ok = Remnesia.Cluster.join(:"app@first.host")

  Every function does what is still missing and answers `:ok` if nothing is. One that was cut off, by a crash of the node or of the machine, is
  called again: until then all data are where they were, or where they are to be.
  """

  alias Remnesia.Engine.{Choice, Cluster}
  alias Remnesia.Engine.Cluster.{Convert, Nodes, Start}

  @doc """
  Makes the database of this node, which is on disc, one that other nodes can join: the engine is OTP's Mnesia from then on, with the same tables,
  their indexes, properties and storage types.

  Rows on disc are not copied: tables get other names in the log, in one step, whatever their size. Tables in memory are brought to disc and filled
  again; fragmented tables are copied into OTP's own storage, which is the only one that its fragments know. The database is stopped and started
  on the way: who works with it meanwhile gets `{:node_not_running, node}`. A start after a crash half-way goes on where it was.

  ## Options

    * `:progress` - a function that gets a line of text now and then; else they go to the log

  Returns `:ok`, also if the node runs in a cluster already, or `{:error, reason}`, with nothing changed:

    * `{:not_available, text}` - the node has no name, the schema is in memory, there are unique indexes or tables of type `:duplicate_bag`, which a
      cluster does not have, or a schema of Mnesia is there already
    * `{:node_not_running, node}` - the database does not run

        iex> {:error, {:not_available, text}} = Remnesia.Cluster.convert()
        iex> is_binary(text)
        true
  """
  @spec convert(keyword) :: :ok | {:error, term}
  def convert(options \\ []) do
    cond do
      not Remnesia.Native.running() -> {:error, {:node_not_running, node()}}
      Choice.cluster?() -> :ok
      reason = Convert.refusal() -> {:error, reason}
      true -> convert_running(options)
    end
  end

  defp convert_running(options) do
    with :ok <- Convert.begin(Keyword.get(options, :progress)),
         do: Start.again()
  after
    Convert.forget_progress()
  end

  @doc """
  Joins this node, which has no tables of its own, to the cluster that `node` is in, and copies tables to it.

  ## Options

    * `:tables` - `:all` (default), or a list of names or `{name, storage_type}`; a table is kept as `node` keeps it unless that is said
    * `:schema` - `:disc_copies` (default), or `:ram_copies` for a node that has nothing on disc
    * `:progress` - a function that gets a line of text now and then: what is done, and each second how many records of a table have
      come; else they go to the log

  Tables that are here are left as they are. Returns `:ok` or `{:error, reason}`:

    * `{:not_reachable, node}`
    * `{:not_available, text}` - the other node does not have this code, has another version that this one does not work with, or is no cluster;
      this node has tables, or no name
    * `{table, reason}` - Mnesia's reason why a table cannot be copied
    * other reasons of Mnesia, where two schemas do not go together

        iex> Remnesia.Cluster.join(node())
        {:error, {:badarg, node()}}
  """
  @spec join(node, keyword) :: :ok | {:error, term}
  def join(node, options \\ []) when is_atom(node) and is_list(options) do
    if Remnesia.Native.running(),
      do: Nodes.join(node, options),
      else: {:error, {:node_not_running, node()}}
  end

  @doc """
  Takes a node out of the cluster: this one, or another.

  A node that runs stops its database, is taken out of the schema of the others, deletes what it had on disc and starts empty. One that is
  down is taken out of the schema; **its directory must be deleted before it is started again**, because what is there says that it belongs to the cluster.

  ## Options

    * `:force` - whether to do it although tables have their only copy there, which are lost then. Defaults to `false`.

  Returns `:ok`, also if the node is in no cluster, or `{:error, reason}`: `{:last_copy, tables}`, `{:not_available, text}` if no other node runs, or
  Mnesia's reason.

      iex> Remnesia.Cluster.leave(node())
      :ok
  """
  @spec leave(node, keyword) :: :ok | {:error, term}
  def leave(node, options \\ []) when is_atom(node) and is_list(options),
    do: Nodes.leave(node, options)

  @doc """
  The nodes of the cluster, and those of them that run; a node by itself without one.

      iex> Remnesia.Cluster.nodes()
      %{known: [node()], running: [node()]}
  """
  @spec nodes() :: %{known: [node], running: [node]}
  def nodes do
    if Choice.cluster?(),
      do: %{
        known: Cluster.system_info(:db_nodes),
        running: Cluster.system_info(:running_db_nodes)
      },
      else: %{known: [node()], running: [node()]}
  end
end
