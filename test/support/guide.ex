defmodule Remnesia.Guide do
  @moduledoc false

  # Runs the Elixir in a guide, block by block, as one session. A block with a prompt (`iex>`) shows, after each expression, what IEx
  # shows: what was printed, then the value. An expression that shows nothing may give anything. Times differ and are not compared.

  import ExUnit.Assertions
  import ExUnit.CaptureIO

  @doc """
  Runs all of a guide; answers the number of expressions.

  `:before` is code that it takes for granted; `:defined` is called with each module that a block defines; `:around` runs what a pattern
  matches in a function, `{pattern, function}`.
  """
  def run(file, options \\ []) do
    prelude =
      "import ExUnit.Assertions, only: [assert: 1, catch_exit: 1, flunk: 1]\n#{options[:before]}"

    {_, state} = evaluate(prelude, {[], Code.env_for_eval(file: file)}, file, 0)

    file
    |> File.read!()
    |> String.split("\n")
    |> Enum.with_index(1)
    |> blocks()
    |> Enum.reduce({0, state}, fn block, {count, state} ->
      Enum.reduce(expressions(block), {count, state}, fn {code, shown, line}, {count, state} ->
        {count + 1, check(code, shown, line, state, file, options)}
      end)
    end)
    |> elem(0)
  end

  defp blocks(lines) do
    case Enum.drop_while(lines, fn {text, _} -> text != "```elixir" end) do
      [] ->
        []

      [_ | rest] ->
        {block, rest} = Enum.split_while(rest, fn {text, _} -> text != "```" end)
        [block | blocks(rest)]
    end
  end

  defp expressions([{text, line} | _] = block) do
    if String.starts_with?(text, "iex>"),
      do: prompts(block),
      else: [{Enum.map_join(block, "\n", &elem(&1, 0)), nil, line}]
  end

  defp prompts([]), do: []

  defp prompts([{"iex>" <> first, line} | rest]) do
    {more, rest} = Enum.split_while(rest, fn {text, _} -> String.starts_with?(text, "...>") end)

    {shown, rest} =
      Enum.split_while(rest, fn {text, _} -> not String.starts_with?(text, "iex>") end)

    code = Enum.join([first | Enum.map(more, fn {"...>" <> text, _} -> text end)], "\n")
    shown = shown |> Enum.map_join("\n", &elem(&1, 0)) |> String.trim()
    [{code, if(shown == "", do: nil, else: shown), line} | prompts(rest)]
  end

  defp check(code, shown, line, state, file, options) do
    me = self()

    printed =
      capture_io(fn ->
        {value, state} = around(code, options, fn -> evaluate(code, state, file, line) end)
        send(me, {:evaluated, value, state})
      end)

    {value, state} = receive do: ({:evaluated, value, state} -> {value, state})
    with {:module, module, _, _} <- value, do: options[:defined] && options[:defined].(module)

    if shown do
      # As IEx of any version shows a charlist.
      text = value |> inspect(pretty: true, width: 80, limit: :infinity)
      expected = timeless(shown)
      actual = timeless(printed <> text)

      assert same?(expected, actual, printed, value),
             "#{file}:#{line} shows\n#{expected}\nbut it is\n#{actual}"
    end

    state
  end

  defp around(code, options, fun) do
    case options[:around] do
      {pattern, wrapper} -> if code =~ pattern, do: wrapper.(fun), else: fun.()
      nil -> fun.()
    end
  end

  defp timeless(text), do: text |> String.trim() |> String.replace(~r/[\d.]+ ms/, "0 ms")

  # Equal as text; or, as charlists are written in two ways, what was printed as text and the value as a term.
  defp same?(text, text, _printed, _value), do: true

  defp same?(expected, _actual, printed, value) do
    expected = String.replace_prefix(expected, printed, "")
    match?({^value, _}, Code.eval_string(expected))
  rescue
    _ -> false
  end

  defp evaluate(code, {binding, env}, file, line) do
    # One after the other, as in IEx: a struct is known after the expression that defines it.
    expressions =
      case Code.string_to_quoted!(code, file: file, line: line) do
        {:__block__, _, expressions} -> expressions
        expression -> [expression]
      end

    Enum.reduce(expressions, {nil, {binding, env}}, fn expression, {_, {binding, env}} ->
      {value, binding, env} = Code.eval_quoted_with_env(expression, binding, env)
      {value, {binding, env}}
    end)
  end
end
