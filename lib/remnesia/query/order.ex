defmodule Remnesia.Query.Order do
  @moduledoc false

  # From the option :order_by to what the engine takes: positions of the record, negative for falling ones.

  alias Remnesia.Table

  @doc "Raises `ArgumentError` for what is no order, or names what is no attribute of the table."
  @spec positions(Table.name(), term) :: [integer]
  def positions(table, order),
    do: order |> List.wrap() |> Enum.map(&position(table, &1))

  defp position(table, {:asc, attribute}), do: position!(table, attribute)
  defp position(table, {:desc, attribute}), do: -position!(table, attribute)
  defp position(table, attribute) when is_atom(attribute), do: position!(table, attribute)

  defp position(_table, other) do
    raise ArgumentError,
          "expected :order_by to be an attribute, {:asc, attribute}, {:desc, attribute} or a list of these, " <>
            "got: #{inspect(other)}"
  end

  @doc "The place of an attribute in the record of its table."
  @spec position!(Table.name(), term) :: pos_integer
  def position!(table, attribute) do
    attributes = table.__info__().attributes

    case Enum.find_index(attributes, &(&1 == attribute)) do
      nil ->
        raise ArgumentError,
              "#{inspect(attribute)} is no attribute of #{inspect(table)}, " <>
                "they are #{Enum.map_join(attributes, ", ", &inspect/1)}"

      index ->
        index + 2
    end
  end
end
