defmodule Remnesia.Guide do
  @moduledoc false

  # Runs the Elixir in a guide, block by block, as one session. A block with a prompt (`iex>`) shows, after each expression, what IEx
  # shows: what was printed, then the value. An expression that shows nothing may give anything.

  import ExUnit.Assertions
  import ExUnit.CaptureIO

  @doc "Runs all of a guide; answers the number of expressions."
  def run(file) do
    prelude = "import ExUnit.Assertions, only: [catch_exit: 1]"
    {_, state} = evaluate(prelude, {[], __ENV__}, file, 0)

    file
    |> File.read!()
    |> String.split("\n")
    |> Enum.with_index(1)
    |> blocks()
    |> Enum.reduce({0, state}, fn block, {count, state} ->
      Enum.reduce(expressions(block), {count, state}, fn {code, shown, line}, {count, state} ->
        {count + 1, check(code, shown, line, state, file)}
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

  defp check(code, shown, line, state, file) do
    me = self()

    printed =
      capture_io(fn ->
        {value, state} = evaluate(code, state, file, line)
        send(me, {:evaluated, value, state})
      end)

    {value, state} = receive do: ({:evaluated, value, state} -> {value, state})

    if shown do
      # As IEx of any version shows a charlist.
      text = value |> inspect(pretty: true, width: 80, limit: :infinity)
      expected = shown |> String.trim()
      actual = String.trim(printed <> text)

      assert same?(expected, actual, printed, value),
             "#{file}:#{line} shows\n#{expected}\nbut it is\n#{actual}"
    end

    state
  end

  # Equal as text; or, as charlists are written in two ways, what was printed as text and the value as a term.
  defp same?(text, text, _printed, _value), do: true

  defp same?(expected, _actual, printed, value) do
    expected = String.replace_prefix(expected, printed, "")
    match?({^value, _}, Code.eval_string(expected))
  rescue
    _ -> false
  end

  defp evaluate(code, {binding, env}, file, line) do
    quoted = Code.string_to_quoted!(code, file: file, line: line)
    {value, binding, env} = Code.eval_quoted_with_env(quoted, binding, env)
    {value, {binding, env}}
  end
end
