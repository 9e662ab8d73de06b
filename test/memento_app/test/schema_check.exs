defmodule SchemaCheck do
  use ExUnit.Case

  import Check
  import ExUnit.CaptureIO

  alias Memento.Schema
  alias MementoApp.Movie

  setup :tables
  setup do: on_exit(fn -> Memento.start() end)

  test "create and delete need a stopped database" do
    assert Schema.create([node()]) == {:error, {node(), {:already_exists, node()}}}
    assert Schema.delete([node()]) == {:error, {'Mnesia is not stopped everywhere', [node()]}}
    other = :nobody@nowhere

    assert {:error, {^other, {'All nodes not running', ^other, :nodedown}}} =
             Schema.create([other])
  end

  test "info" do
    assert capture_io(fn -> assert Schema.info() == :ok end) =~ "Elixir.MementoApp.Movie"
    assert capture_io(fn -> assert Schema.info(Movie) == :ok end) =~ "attributes"
    Memento.stop()
    assert_raise Memento.MnesiaException, ~r/Node not running/, fn -> Schema.info() end
  end

  test "set_storage_type" do
    assert Schema.set_storage_type(node(), :ram_copies) ==
             {:error, {:already_exists, :schema, node(), :ram_copies}}
  end
end
