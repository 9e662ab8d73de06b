defmodule GuidesTest do
  use ExUnit.Case

  # The examples of the guides show what is printed.

  test "from Mnesia" do
    tables = ~w(users sessions hits scores posts authors comments accounts)a
    on_exit(fn -> for table <- tables, do: :remnesia.delete_table(table) end)
    assert Remnesia.Guide.run("guides/from_mnesia.md") > 70
  end

  test "every piece of Elixir in README and guides is Elixir" do
    blocks =
      for file <- ["README.md" | Path.wildcard("guides/*.md")],
          [_, code] <- Regex.scan(~r/```elixir\n(.*?)```/s, File.read!(file)),
          not String.contains?(code, "iex>"),
          do: {file, code}

    assert length(blocks) > 20

    for {file, code} <- blocks do
      # Some are what stands within a list.
      assert match?({:ok, _}, Code.string_to_quoted(code)) or
               match?({:ok, _}, Code.string_to_quoted("[" <> code <> "]")),
             "#{file}:\n#{code}"
    end
  end
end
