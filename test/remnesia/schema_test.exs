defmodule Remnesia.SchemaTest do
  use ExUnit.Case

  import Example, only: [quiet: 1, tables: 1]
  import ExUnit.CaptureIO

  alias Remnesia.Schema

  doctest Remnesia.Schema

  setup :quiet

  # Some end the database, one puts it on disc.
  setup do
    on_exit(fn ->
      Remnesia.stop()
      :ok = Schema.delete([node()])
      :ok = Remnesia.start()
    end)
  end

  setup :tables

  test "what cannot be created or deleted" do
    assert Schema.create([node()]) == {:error, {node(), {:already_exists, node()}}}
    assert Schema.create([:x@y]) == {:error, {:x@y, {~c"All nodes not running", :x@y, :nodedown}}}
    assert Schema.delete([node()]) == {:error, {~c"Mnesia is not stopped everywhere", [node()]}}
    assert Schema.delete([:x@y]) == {:error, {~c"All nodes not running", [:x@y]}}
    Remnesia.stop()
    assert Schema.delete([node()]) == :ok
  end

  test "set_storage_type is that of the schema table" do
    assert Schema.set_storage_type(node(), :ram_copies) ==
             {:error, {:already_exists, :schema, node(), :ram_copies}}

    assert Schema.set_storage_type(node(), :foo) == {:error, {:bad_type, {:storage_type, :foo}}}
  end

  test "info prints definitions" do
    all = capture_io(fn -> assert Schema.info() == :ok end)
    assert all =~ ~r/-- properties for schema table --/i
    assert all =~ ~r/wild_pattern .* {schema,'_','_'}/
    assert all =~ ~r/-- properties for 'Elixir.Example.Email' table --/i

    one = capture_io(fn -> assert Schema.info(Example.Email) == :ok end)
    refute one =~ ~r/schema/
    assert one =~ ~r/attributes .* \[user_id,address\]/
    assert one =~ ~r/setorbag .* bag/
    assert one =~ ~r/wild_pattern .* {'Elixir.Example.Email','_','_'}/
  end

  test "info of a stopped database raises" do
    Remnesia.stop()
    assert_raise Remnesia.MnesiaException, ~r/Node not running/, fn -> Schema.info() end
    assert_raise Remnesia.MnesiaException, fn -> Schema.info(Example.Email) end
  end
end
