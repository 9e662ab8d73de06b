defmodule Remnesia.Transfer.SafeTerm do
  @moduledoc false

  # Terms from elsewhere are data: atoms live for ever, so new ones are counted before they are made, and what says it is
  # large is measured before memory is taken. A function in the bytes becomes a term and is never called.
  #
  # The tags are those of the chapter "External Term Format" of the ERTS User's Guide.

  @typedoc "How many atoms that this VM does not have yet may still be made."
  @type budget :: non_neg_integer

  @doc """
  The term of its external form, and what is left of the budget.

      iex> Remnesia.Transfer.SafeTerm.decode(:erlang.term_to_binary({:ok, 1}), 0)
      {:ok, {:ok, 1}, 0}
      iex> Remnesia.Transfer.SafeTerm.decode(<<131, 119, 9, "nosuchyet">>, 0)
      {:error, :too_many_atoms}
      iex> Remnesia.Transfer.SafeTerm.decode(<<131, 99>>, 0)
      {:error, :bad_term}
  """
  @spec decode(binary, budget) ::
          {:ok, term, budget} | {:error, :too_many_atoms | :bad_term | :compressed}
  # A compressed term says itself how large it becomes; nobody who writes these files compresses.
  def decode(<<131, 80, _rest::binary>>, _budget), do: {:error, :compressed}

  def decode(bytes, budget) do
    # The usual case, in one step: no new atom.
    {:ok, :erlang.binary_to_term(bytes, [:safe]), budget}
  rescue
    ArgumentError -> with_new_atoms(bytes, budget)
  end

  defp with_new_atoms(<<131, body::binary>> = bytes, budget) do
    with {:ok, new} <- new_atoms(body, 1, MapSet.new(), budget) do
      {:ok, :erlang.binary_to_term(bytes), budget - MapSet.size(new)}
    end
  rescue
    ArgumentError -> {:error, :bad_term}
  end

  defp with_new_atoms(_bytes, _budget), do: {:error, :bad_term}

  # `left` terms are still to come.
  defp new_atoms(_rest, 0, new, _budget), do: {:ok, new}

  defp new_atoms(bytes, left, new, budget) do
    case one(bytes) do
      {:atom, text, rest} ->
        new = if known?(text), do: new, else: MapSet.put(new, text)

        if MapSet.size(new) > budget,
          do: {:error, :too_many_atoms},
          else: new_atoms(rest, left - 1, new, budget)

      {more, rest} ->
        new_atoms(rest, left - 1 + more, new, budget)

      :error ->
        {:error, :bad_term}
    end
  end

  @doc "Does this VM have the atom?"
  @spec known?(String.t()) :: boolean
  def known?(text) do
    _ = String.to_existing_atom(text)
    true
  rescue
    _error -> false
  end

  # The first term of the bytes: an atom, or how many terms it holds, and what follows its own bytes.
  defp one(<<97, _, rest::binary>>), do: {0, rest}
  defp one(<<98, _::32, rest::binary>>), do: {0, rest}
  defp one(<<70, _::64, rest::binary>>), do: {0, rest}
  defp one(<<99, _::binary-31, rest::binary>>), do: {0, rest}
  defp one(<<100, n::16, text::binary-size(n), rest::binary>>), do: {:atom, latin1(text), rest}
  defp one(<<115, n, text::binary-size(n), rest::binary>>), do: {:atom, latin1(text), rest}
  defp one(<<118, n::16, text::binary-size(n), rest::binary>>), do: {:atom, text, rest}
  defp one(<<119, n, text::binary-size(n), rest::binary>>), do: {:atom, text, rest}
  defp one(<<104, n, rest::binary>>), do: {n, rest}
  defp one(<<105, n::32, rest::binary>>), do: {n, rest}
  defp one(<<106, rest::binary>>), do: {0, rest}
  defp one(<<107, n::16, _::binary-size(n), rest::binary>>), do: {0, rest}
  defp one(<<108, n::32, rest::binary>>), do: {n + 1, rest}
  defp one(<<109, n::32, _::binary-size(n), rest::binary>>), do: {0, rest}
  defp one(<<77, n::32, _, _::binary-size(n), rest::binary>>), do: {0, rest}
  defp one(<<110, n, _, _::binary-size(n), rest::binary>>), do: {0, rest}
  defp one(<<111, n::32, _, _::binary-size(n), rest::binary>>), do: {0, rest}
  defp one(<<116, n::32, rest::binary>>), do: {2 * n, rest}

  # Pids, ports and references name their node, an atom, and then have numbers: the atom comes first in the bytes, or
  # after the number of numbers.
  defp one(<<tag, rest::binary>>) when tag in [88, 89, 90, 101, 102, 103, 114, 120],
    do: named(tag, rest)

  # A function: its size, arity, identity and number of free variables; module, index, identity, creator and these follow.
  defp one(<<112, _size::32, _arity, _uniq::binary-16, _index::32, free::32, rest::binary>>),
    do: {4 + free, rest}

  defp one(<<113, rest::binary>>), do: {3, rest}
  defp one(_bytes), do: :error

  defp named(tag, <<n::16, rest::binary>>) when tag in [90, 114],
    do: node(rest, 4 * n + if(tag == 90, do: 4, else: 1))

  defp named(103, rest), do: node(rest, 9)
  defp named(88, rest), do: node(rest, 12)
  defp named(tag, rest) when tag in [101, 102], do: node(rest, 5)
  defp named(89, rest), do: node(rest, 8)
  defp named(120, rest), do: node(rest, 12)
  defp named(_tag, _rest), do: :error

  defp node(bytes, numbers) do
    with {:atom, text, rest} <- one(bytes),
         <<_::binary-size(numbers), rest::binary>> <- rest do
      {:atom, text, rest}
    else
      _other -> :error
    end
  end

  defp latin1(text), do: :unicode.characters_to_binary(text, :latin1)
end
