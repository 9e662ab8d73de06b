defmodule GuidesTest do
  use ExUnit.Case

  # The examples of the guides show what is printed.

  test "from Mnesia" do
    tables = ~w(users sessions hits scores posts authors comments accounts)a
    on_exit(fn -> for table <- tables, do: :remnesia.delete_table(table) end)
    assert Remnesia.Guide.run("guides/from_mnesia.md") > 70
  end

  test "README" do
    on_exit(fn -> Remnesia.Table.delete(Blog.Post) end)
    assert Remnesia.Guide.run("README.md") > 4
  end

  test "queries" do
    on_exit(fn ->
      for name <- [Order, Task, User], do: Remnesia.Table.delete(Module.concat(Shop, name))
    end)

    assert Remnesia.Guide.run("guides/queries.md",
             before:
               "alias Remnesia.{Query, Table}; alias Shop.{Order, Task, User}; limit = 10; guards = {:==, :customer, 7}",
             defined: &fill/1,
             around: {~r/Query\./, &Remnesia.transaction!/1}
           ) > 12
  end

  # Five orders of each customer, of which customer 7 has two open ones, and 1,000 open ones in all.
  defp fill(table) do
    :ok = Remnesia.Table.create!(table)

    if inspect(table) == "Shop.Order" do
      Remnesia.transaction!(fn ->
        for id <- 1..2_000 do
          status = if id in 201..800 or id in 1_201..1_600, do: :open, else: :done
          fields = [id: id, status: status, customer: rem(id, 400), total: 5 + rem(id, 90)]
          Remnesia.Query.write(struct!(table, fields))
        end
      end)
    end
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
