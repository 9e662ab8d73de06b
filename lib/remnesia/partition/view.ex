defmodule Remnesia.Partition.View do
  @moduledoc false

  # What nodes say of themselves for a decision.

  alias Remnesia.Partition.{Decision, Watch}

  @timeout 5_000

  @doc "What this node says, or nil where Mnesia does not run."
  @spec here() :: Decision.view() | nil
  def here do
    if :mnesia.system_info(:is_running) == :yes do
      {policy, age} = Watch.status()

      %{
        running: :mnesia.system_info(:running_db_nodes),
        db_nodes: :mnesia.system_info(:db_nodes),
        age: age,
        schema: :mnesia.table_info(:schema, :version),
        policy: policy
      }
    end
  catch
    # Something is being stopped.
    :exit, _reason -> nil
  end

  @doc "What all nodes of the schema say that can be reached and run Mnesia."
  @spec all() :: %{node => Decision.view()}
  def all do
    nodes = Enum.filter(:mnesia.system_info(:db_nodes), &(&1 in [node() | Node.list()]))
    answers = :erpc.multicall(nodes, __MODULE__, :here, [], @timeout)
    for {node, {:ok, %{} = view}} <- Enum.zip(nodes, answers), into: %{}, do: {node, view}
  end

  @doc "The nodes with copies of each table that other nodes may have too."
  @spec copies() :: %{atom => [node]}
  def copies do
    for table <- :mnesia.system_info(:tables),
        table != :schema,
        not :mnesia.table_info(table, :local_content),
        into: %{},
        do: {table, holders(table)}
  end

  # Of the access module of no activity: the backend's types under Mnesia's names.
  defp holders(table) do
    own =
      for type <- [:ram_copies, :disc_copies, :disc_only_copies],
          do: :mnesia.table_info(table, type)

    external = for {_type, nodes} <- :mnesia.table_info(table, :external_copies), do: nodes
    Enum.sort(List.flatten([own, external]))
  end

  @doc "Of these the nodes where the table is loaded."
  @spec active(%{atom => [node]}) :: %{atom => [node]}
  def active(copies) do
    nodes = copies |> Map.values() |> List.flatten() |> Enum.uniq()
    nodes = Enum.filter(nodes, &(&1 in [node() | Node.list()]))
    answers = :erpc.multicall(nodes, __MODULE__, :loaded, [], @timeout)

    loaded =
      for {node, {:ok, tables}} <- Enum.zip(nodes, answers),
          into: %{},
          do: {node, MapSet.new(tables)}

    Map.new(copies, fn {table, nodes} ->
      {table, Enum.filter(nodes, &(is_map_key(loaded, &1) and table in loaded[&1]))}
    end)
  end

  @doc false
  @spec loaded() :: [atom]
  def loaded do
    for table <- :mnesia.system_info(:local_tables),
        :mnesia.table_info(table, :where_to_read) == node(),
        do: table
  catch
    :exit, _stopped -> []
  end
end
