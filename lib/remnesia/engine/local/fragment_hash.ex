defmodule Remnesia.Engine.Local.FragmentHash do
  @moduledoc false

  # Which fragment a key belongs to: linear hashing, as Mnesia's default does it, with Mnesia's state, so that a table has the same records in
  # the same fragments there and here. It answers to the name `:mnesia_frag_hash`; other modules have these functions as well.
  #
  #     {:hash_state, fragments, next to split, doublings, hash function}

  import Bitwise

  alias Remnesia.Engine.Local.Pattern

  @type state ::
          {:hash_state, pos_integer, pos_integer, non_neg_integer, :phash2 | :phash}
          | {:hash_state, pos_integer, pos_integer, non_neg_integer}

  @spec init_state(atom, :undefined) :: state
  def init_state(_table, :undefined), do: {:hash_state, 1, 1, 0, :phash2}

  @doc "One more fragment: the new state, the fragments that give records away, and those that get them."
  @spec add_frag(state) :: {state, [pos_integer], [pos_integer]}
  def add_frag({:hash_state, n, split, doublings, function}) do
    state =
      if split == 1 <<< doublings,
        do: {:hash_state, n + 1, 1, doublings + 1, function},
        else: {:hash_state, n + 1, split + 1, doublings, function}

    {state, [split], [n + 1]}
  end

  def add_frag(state), do: add_frag(with_function(state))

  @doc "One fragment less, with the same answer."
  @spec del_frag(state) :: {state, [pos_integer], [pos_integer]}
  def del_frag({:hash_state, n, 1, doublings, function}) do
    merge = 1 <<< (doublings - 1)
    {{:hash_state, n - 1, merge, doublings - 1, function}, [n], [merge]}
  end

  def del_frag({:hash_state, n, split, doublings, function}),
    do: {{:hash_state, n - 1, split - 1, doublings, function}, [n], [split - 1]}

  def del_frag(state), do: del_frag(with_function(state))

  @spec key_to_frag_number(state, term) :: pos_integer
  def key_to_frag_number({:hash_state, n, _split, doublings, function}, key) do
    number = hash(function, key, 1 <<< (doublings + 1))
    if number > n, do: number - (1 <<< doublings), else: number
  end

  def key_to_frag_number(state, key), do: key_to_frag_number(with_function(state), key)

  defp hash(:phash2, key, range), do: :erlang.phash2(key, range) + 1
  defp hash(:phash, key, range), do: apply(:erlang, :phash, [key, range])

  @spec match_spec_to_frag_numbers(state, term) :: [pos_integer]
  def match_spec_to_frag_numbers(state, [{head, _, _}])
      when is_tuple(head) and tuple_size(head) > 2 do
    key = elem(head, 1)

    if Pattern.variable?(key),
      do: Enum.to_list(1..elem(state, 1)),
      else: [key_to_frag_number(state, key)]
  end

  def match_spec_to_frag_numbers(state, _spec), do: Enum.to_list(1..elem(state, 1))

  # The state of tables of long ago.
  defp with_function({:hash_state, n, split, doublings}),
    do: {:hash_state, n, split, doublings, :phash}
end
