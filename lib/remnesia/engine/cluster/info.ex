defmodule Remnesia.Engine.Cluster.Info do
  @moduledoc false

  # What is known of tables, with the storage types by their usual names.

  alias Remnesia.Engine.Cluster.{Several, Storage}
  alias Remnesia.Engine.Cstruct

  @types Keyword.keys(Remnesia.Backend.types())
  @kept [:ram_copies, :disc_copies, :disc_only_copies]

  @spec table(term, term) :: term
  def table(table, item) when item in @kept do
    Storage.nodes(
      item,
      known(table, item),
      known(table, :external_copies)
    )
  end

  def table(table, :external_copies),
    do: Storage.foreign(known(table, :external_copies))

  def table(table, :user_properties), do: Several.without(properties(table))

  # A restore that makes a table again lists its indexes twice.
  def table(table, :index),
    do: Enum.uniq(known(table, :index)) ++ Several.positions(properties(table))

  def table(table, :all) do
    for {item, value} <- known(table, :all), item not in @types do
      if item in [:external_copies, :cstruct, :user_properties, :index | @kept],
        do: {item, table(table, item)},
        else: {item, Storage.usual(value)}
    end
  end

  def table(table, :cstruct) do
    cstruct = known(table, :cstruct)

    Enum.reduce([:external_copies, :user_properties | @kept], cstruct, fn item, cstruct ->
      put_elem(cstruct, position(item), table(table, item))
    end)
  end

  def table(table, item), do: Storage.usual(known(table, item))

  @doc "Does the table have copies in our storage?"
  @spec native?(term) :: boolean
  def native?(table) do
    Enum.any?(known(table, :external_copies), &match?({{_, Remnesia.Backend}, [_ | _]}, &1))
  catch
    :exit, _no_table -> false
  end

  @doc "The properties of a table, with ours."
  @spec properties(atom) :: [tuple]
  def properties(table), do: known(table, :user_properties)

  # Not by the access module of the activity, which asks us.
  defp known(table, item), do: :mnesia.table_info(:none, :none, table, item)

  defp position(item), do: Enum.find_index(Cstruct.fields(), &(&1 == item)) + 1

  @doc "The definition of a table as the local engine has it, or nil."
  @spec definition(atom) :: Cstruct.t() | nil
  def definition(table) do
    values = table |> table(:cstruct) |> Tuple.to_list() |> tl()
    struct(Cstruct, Enum.zip(Cstruct.fields(), values))
  catch
    :exit, _reason -> nil
  end
end
