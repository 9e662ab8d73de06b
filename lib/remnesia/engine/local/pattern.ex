defmodule Remnesia.Engine.Local.Pattern do
  @moduledoc false

  # What Mnesia takes for a pattern: it looks into tuples and lists, but not into maps.

  @doc "Is there a variable in this term, or a `:_`?"
  @spec variable?(term) :: boolean
  def variable?(:_), do: true
  def variable?(atom) when is_atom(atom), do: variable_name?(Atom.to_string(atom))
  def variable?(tuple) when is_tuple(tuple), do: tuple_variable?(tuple, tuple_size(tuple))
  def variable?([head | tail]), do: variable?(head) or variable?(tail)
  def variable?(_other), do: false

  defp tuple_variable?(_tuple, 0), do: false

  defp tuple_variable?(tuple, n),
    do: variable?(elem(tuple, n - 1)) or tuple_variable?(tuple, n - 1)

  defp variable_name?(<<?$, digit, rest::binary>>) when digit in ?0..?9, do: digits?(rest)
  defp variable_name?(_name), do: false

  defp digits?(<<digit, rest::binary>>) when digit in ?0..?9, do: digits?(rest)
  defp digits?(rest), do: rest == ""
end
