defmodule Remnesia.Query.Spec do
  @moduledoc false

  # From the guards of Query.select to those of a match specification: operators get Erlang's names and attributes their
  # match variables. An atom that is an attribute's name means the attribute wherever it stands, on the value side too.
  #
  # Operators of two operands are passed through whatever they are, so a new one needs no change here. Those of one
  # operand are listed: a tuple of two that is none of them is a value, and it is left to the database to refuse it
  # (literal tuples are written {:const, tuple}).

  @renamed %{or: :orelse, and: :andalso, <=: :"=<", !=: :"/=", ===: :"=:=", !==: :"=/="}

  @unary [
           :not,
           :-,
           :+,
           :abs,
           :bnot,
           :bit_size,
           :byte_size,
           :float,
           :hd,
           :tl,
           :length,
           :map_size,
           :node,
           :round
         ] ++
           [
             :size,
             :trunc,
             :tuple_size,
             :is_atom,
             :is_binary,
             :is_boolean,
             :is_float,
             :is_function,
             :is_integer
           ] ++
           [:is_list, :is_map, :is_number, :is_pid, :is_port, :is_reference, :is_tuple]

  @doc "The guards of a match specification, from one guard or a list of them and the table's `query_map`."
  @spec build(tuple | list, %{atom => atom}) :: list
  def build(guards, variables) when is_list(guards),
    do: Enum.map(guards, &translate(&1, variables))

  def build(guard, variables) when is_tuple(guard), do: [translate(guard, variables)]

  defp translate(list, variables) when is_list(list),
    do: Enum.map(list, &translate(&1, variables))

  defp translate(atom, variables) when is_atom(atom) do
    case variables do
      %{^atom => variable} -> variable
      _value -> atom
    end
  end

  # The values of a list are values, also when they are named like an attribute.
  defp translate({:in, operand, list}, variables), do: member(translate(operand, variables), list)

  defp translate({:prefix, operand, prefix}, variables),
    do: prefix(translate(operand, variables), prefix)

  defp translate({operator, left, right}, variables),
    do:
      {Map.get(@renamed, operator, operator), translate(left, variables),
       translate(right, variables)}

  defp translate({:is_nil, operand}, variables), do: {:"=:=", translate(operand, variables), nil}

  defp translate({operator, operand}, variables) when operator in @unary,
    do: {operator, translate(operand, variables)}

  defp translate(value, _variables), do: value

  @doc "The guard that is true for the members of a list, a range or another collection."
  @spec member(term, Enumerable.t()) :: term
  def member(operand, first..last//1),
    do:
      {:andalso, {:is_integer, operand},
       {:andalso, {:>=, operand, first}, {:"=<", operand, last}}}

  def member(operand, collection) do
    if Enumerable.impl_for(collection) == nil,
      do:
        raise(
          ArgumentError,
          "expected members in a list, a range or another collection, got: #{inspect(collection)}"
        )

    case Enum.map(collection, &{:"=:=", operand, {:const, &1}}) do
      [] -> false
      [one] -> one
      many -> List.to_tuple([:orelse | many])
    end
  end

  @doc """
  The guard that is true for strings that begin with this one: those from it on up to the first that comes after all of them. Written
  as bounds it can use a key or an index.
  """
  @spec prefix(term, binary) :: tuple
  def prefix(operand, prefix) when is_binary(prefix) do
    from = {:andalso, {:is_binary, operand}, {:>=, operand, prefix}}

    case after_all(prefix, byte_size(prefix)) do
      nil -> from
      after_all -> {:andalso, from, {:<, operand, after_all}}
    end
  end

  def prefix(_operand, other),
    do: raise(ArgumentError, "expected a prefix to be a string, got: #{inspect(other)}")

  defp after_all(_prefix, 0), do: nil

  defp after_all(prefix, size) do
    case :binary.at(prefix, size - 1) do
      255 -> after_all(prefix, size - 1)
      byte -> binary_part(prefix, 0, size - 1) <> <<byte + 1>>
    end
  end
end
