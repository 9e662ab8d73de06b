defmodule Remnesia.Engine.Cluster.Several do
  @moduledoc false

  # Indexes on several attributes, which Mnesia does not know: its schema keeps their positions as a property of the table, and every native copy
  # keeps such an index. They change no answer, so a node may build one a little later than another does.

  alias Remnesia.Backend.Table
  alias Remnesia.Engine.Cluster.Info
  alias Remnesia.Engine.Cstruct

  @property :"$remnesia_indexes"

  @doc "Their positions, of a table's properties."
  @spec positions([tuple]) :: [[pos_integer]]
  def positions(properties) do
    case List.keyfind(properties, @property, 0) do
      {@property, positions} -> positions
      nil -> []
    end
  end

  @doc "The properties that are the user's."
  @spec without([tuple]) :: [tuple]
  def without(properties), do: List.keydelete(properties, @property, 0)

  @doc "Options of a new table as Mnesia takes them."
  @spec options(term, term) :: {:ok, term} | {:aborted, term}
  def options(table, options) do
    with true <- is_list(options) and not List.improper?(options),
         {:index, [_ | _] = index} <- List.keyfind(options, :index, 0),
         false <- List.improper?(index),
         true <- Enum.any?(index, &several?/1) do
      {several, usual} = Enum.split_with(index, &several?/1)
      taken = Enum.filter(options, &match?({:attributes, _}, &1))
      cstruct = Cstruct.read!(table, [{:index, several} | taken])
      property = {@property, Cstruct.positions(cstruct)}
      options = List.keyreplace(options, :index, 0, {:index, usual})
      {_, properties} = List.keyfind(options, :user_properties, 0, {:user_properties, []})

      {:ok,
       List.keystore(options, :user_properties, 0, {:user_properties, [property | properties]})}
    else
      _none -> {:ok, options}
    end
  catch
    :exit, {:aborted, reason} -> {:aborted, reason}
  end

  defp several?({index, _type}), do: several?(index)
  defp several?(index), do: match?([_, _ | _], index)

  @spec add(atom, [atom | pos_integer]) :: {:atomic, :ok} | {:aborted, term}
  def add(table, attributes) do
    change(table, attributes, fn known, positions, cstruct ->
      if positions in known, do: exit({:aborted, {:already_exists, table, positions}})
      Cstruct.add_index!(cstruct, attributes, false)
      known ++ [positions]
    end)
  end

  @spec drop(atom, [atom | pos_integer]) :: {:atomic, :ok} | {:aborted, term}
  def drop(table, attributes) do
    change(table, attributes, fn known, positions, _cstruct ->
      if positions not in known, do: exit({:aborted, {:no_exists, table, positions}})
      known -- [positions]
    end)
  end

  defp change(table, attributes, fun) do
    cstruct = Info.definition(table) || exit({:aborted, {:no_exists, table}})
    known = positions(Info.properties(table))
    # Those that are there already are none of Mnesia's.
    bare = %{cstruct | index: []}
    changed = fun.(known, Cstruct.position!(attributes, bare), bare)

    with {:atomic, :ok} <- :mnesia.write_table_property(table, {@property, changed}) do
      :rpc.multicall(:mnesia.system_info(:running_db_nodes), Table, :keep_several, [
        table,
        changed
      ])

      {:atomic, :ok}
    end
  catch
    :exit, {:aborted, reason} -> {:aborted, reason}
  end
end
