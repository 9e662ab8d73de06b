defmodule GuidesTest do
  use ExUnit.Case

  # The examples of the guides show what is printed.

  test "from Mnesia" do
    tables = ~w(users sessions hits scores posts authors comments accounts)a
    on_exit(fn -> for table <- tables, do: :remnesia.delete_table(table) end)
    assert Remnesia.Guide.run("guides/from_mnesia.md") > 70
  end
end
