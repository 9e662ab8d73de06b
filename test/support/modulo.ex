defmodule Remnesia.Modulo do
  @moduledoc false

  # A hash module of a user's: the last digit decides; a fragment more moves records from all of them.
  def init_state(_table, state), do: {:modulo, 1, state}
  def add_frag({:modulo, n, state}), do: {{:modulo, n + 1, state}, Enum.to_list(1..n), [n + 1]}

  def del_frag({:modulo, n, state}),
    do: {{:modulo, n - 1, state}, Enum.to_list(1..n), Enum.to_list(1..(n - 1))}

  def key_to_frag_number({:modulo, n, _state}, key) when is_integer(key), do: rem(key, n) + 1
  def key_to_frag_number(_state, _key), do: 99
  def match_spec_to_frag_numbers({:modulo, _n, :none}, _spec), do: [0]
  def match_spec_to_frag_numbers({:modulo, n, _state}, _spec), do: Enum.to_list(1..n)
end
