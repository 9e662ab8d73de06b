defmodule Remnesia.Transfer.SafeText do
  @moduledoc false

  # Erlang terms as text, read in pieces. The scanner of OTP makes an atom of every word it meets, so the words are looked at first: those that
  # this VM has no atom of are counted, and too many are refused. What the scanner takes for a string or a character is told apart as it
  # does; a word too many may be counted, none is missed. Newer forms of text that the two could take for different things are refused.

  alias Remnesia.Transfer.SafeTerm

  @piece 64 * 1024

  @type reason :: :too_many_atoms | {:syntax, line :: pos_integer, String.t()} | File.posix()

  @doc """
  Folds over the terms of a file, each ended by a full stop; `fun` gets the line that a term begins in as well. `budget` is the number of atoms
  that it may bring.
  """
  @spec fold(Path.t(), non_neg_integer, acc, (term, pos_integer, acc -> acc)) ::
          {:ok, acc} | {:error, reason}
        when acc: term
  def fold(path, budget, acc, fun) do
    with {:ok, file} <- :file.open(path, [:read, :raw, :binary]) do
      try do
        words = %{state: :code, known: MapSet.new(), left: budget}
        {:ok, pieces(%{file: file, words: words, scan: [], line: 1, lines: 1}, acc, fun)}
      catch
        :throw, {__MODULE__, reason} -> {:error, reason}
      after
        :file.close(file)
      end
    end
  end

  defp pieces(state, acc, fun) do
    case :file.read(state.file, @piece) do
      {:ok, bytes} ->
        words = words(bytes, state.words, state.lines)
        {state, acc} = terms(%{state | words: words}, :binary.bin_to_list(bytes), acc, fun)
        pieces(%{state | lines: state.lines + lines(bytes)}, acc, fun)

      :eof ->
        finish_word(state.words)
        # A line's end, for a last full stop without one.
        {state, acc} = terms(state, ~c"\n", acc, fun)
        {_state, acc} = terms(state, :eof, acc, fun)
        acc

      {:error, reason} ->
        stop(reason)
    end
  end

  # The scanner goes on where it was; nothing is left to scan when it wants more.
  defp terms(state, characters, acc, fun) do
    case :erl_scan.tokens(state.scan, characters, state.line) do
      {:more, scan} ->
        {%{state | scan: scan}, acc}

      {:done, {:ok, tokens, line}, rest} ->
        acc = fun.(parse(tokens), line(tokens, state.line), acc)
        terms(%{state | scan: [], line: line}, rest, acc, fun)

      {:done, {:eof, _line}, _rest} ->
        {state, acc}

      {:done, {:error, {line, module, what}, _end}, _rest} ->
        syntax(line, module, what)
    end
  end

  defp line([token | _], _line), do: :erl_scan.line(token)
  defp line([], line), do: line

  defp parse(tokens) do
    case :erl_parse.parse_term(tokens) do
      {:ok, term} -> term
      {:error, {line, module, what}} -> syntax(line, module, what)
    end
  end

  @spec syntax(pos_integer, module, term) :: no_return
  defp syntax(line, module, what) do
    text = what |> module.format_error() |> IO.chardata_to_string()
    stop({:syntax, line, text})
  end

  # --- words ---

  defp words(bytes, words, line) do
    code(bytes, words.state, words)
  catch
    :throw, {__MODULE__, {:form, left, text}} ->
      before = binary_part(bytes, 0, byte_size(bytes) - left)
      stop({:syntax, line + lines(before), text})
  end

  defp lines(bytes), do: length(:binary.matches(bytes, "\n"))

  defguardp is_letter(c)
            when c in ?a..?z or c in ?A..?Z or c == ?_ or
                   (c in 0xC0..0xFF and c not in [0xD7, 0xF7])

  defguardp is_word(c) when is_letter(c) or c in ?0..?9 or c == ?@

  defp code(<<>>, state, words), do: %{words | state: state}

  defp code(<<c, rest::binary>>, {:word, word}, words) when is_word(c),
    do: code(rest, {:word, [word, c]}, words)

  defp code(bytes, {:word, word}, words), do: code(bytes, :code, add(word, words))

  defp code(<<c, rest::binary>>, state, words) when state in [:code, :quotes] do
    case c do
      ?" when state == :quotes -> stop({:form, byte_size(rest), "three quotes are not read here"})
      ?" -> code(rest, :string, words)
      ?' -> code(rest, {:quoted, []}, words)
      ?% -> code(rest, :comment, words)
      ?$ -> code(rest, :character, words)
      ?~ -> stop({:form, byte_size(rest), "sigils are not read here"})
      c when is_letter(c) -> code(rest, {:word, [c]}, words)
      _other -> code(rest, :code, words)
    end
  end

  defp code(<<?\n, rest::binary>>, :comment, words), do: code(rest, :code, words)
  defp code(<<_, rest::binary>>, :comment, words), do: code(rest, :comment, words)

  defp code(<<?\\, rest::binary>>, :character, words), do: code(rest, {:escape, :code}, words)
  defp code(<<_, rest::binary>>, :character, words), do: code(rest, :code, words)

  defp code(<<?", rest::binary>>, :string, words), do: code(rest, :quotes, words)
  defp code(<<?\\, rest::binary>>, :string, words), do: code(rest, {:escape, :string}, words)
  defp code(<<_, rest::binary>>, :string, words), do: code(rest, :string, words)

  defp code(<<?', rest::binary>>, {:quoted, word}, words), do: code(rest, :code, add(word, words))

  # One with an escape is taken for new: what it is need not be known.
  defp code(<<?\\, rest::binary>>, {:quoted, word}, words),
    do: code(rest, {:escape, {:quoted, [word, "\\new"]}}, words)

  defp code(<<c, rest::binary>>, {:quoted, word}, words),
    do: code(rest, {:quoted, [word, c]}, words)

  defp code(<<?^, rest::binary>>, {:escape, state}, words), do: code(rest, {:skip, state}, words)
  defp code(<<_, rest::binary>>, {:escape, state}, words), do: code(rest, state, words)
  defp code(<<_, rest::binary>>, {:skip, state}, words), do: code(rest, state, words)

  defp finish_word(%{state: {:word, word}} = words), do: add(word, words)
  defp finish_word(words), do: words

  defp add(word, words) do
    text = word |> IO.iodata_to_binary() |> :unicode.characters_to_binary(:latin1)

    cond do
      SafeTerm.known?(text) or MapSet.member?(words.known, text) -> words
      words.left == 0 -> stop(:too_many_atoms)
      true -> %{words | known: MapSet.put(words.known, text), left: words.left - 1}
    end
  end

  @spec stop(term) :: no_return
  defp stop(reason), do: throw({__MODULE__, reason})
end
