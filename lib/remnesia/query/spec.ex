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

  defp translate({operator, left, right}, variables),
    do:
      {Map.get(@renamed, operator, operator), translate(left, variables),
       translate(right, variables)}

  defp translate({:is_nil, operand}, variables), do: {:"=:=", translate(operand, variables), nil}

  defp translate({operator, operand}, variables) when operator in @unary,
    do: {operator, translate(operand, variables)}

  defp translate(value, _variables), do: value
end
