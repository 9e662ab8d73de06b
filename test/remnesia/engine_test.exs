defmodule Remnesia.EngineTest do
  use ExUnit.Case

  # Refusals, call by call on stock and on ours: the reasons are the same. Tables: a set with one index, an ordered_set
  # and a read-only one, with one record each where possible.

  alias Remnesia.Engine

  @set :engine_set
  @ordered :engine_ordered
  @locked :engine_locked

  setup_all do
    for engine <- [:mnesia, Engine] do
      {:atomic, :ok} = engine.create_table(@set, attributes: [:id, :a], index: [:a])
      {:atomic, :ok} = engine.create_table(@ordered, type: :ordered_set, record_name: :rec)
      {:atomic, :ok} = engine.create_table(@locked, access_mode: :read_only)
      {:atomic, :ok} = engine.transaction(fn -> engine.write(@set, {@set, 1, 2}, :write) end)
      {:atomic, :ok} = engine.transaction(fn -> engine.write(@ordered, {:rec, 1, 2}, :write) end)
    end

    on_exit(fn ->
      for table <- [@set, @ordered, @locked], do: :mnesia.delete_table(table)
      Remnesia.stop()
      Remnesia.start()
    end)
  end

  defp spec(table), do: [{{table, :_, :_}, [], [:"$_"]}]

  defp calls do
    [
      read: [:no_table, 1, :read],
      read: [:no_table, 1, :foo],
      read: [@set, 1, :foo],
      read: ["t", 1, :read],
      read: ["t", 1, :foo],
      read: [:schema, 1, :foo],
      write: [@set, {@set, 1, 2}, :read],
      write: [@set, {@set, 1}, :foo],
      write: [@set, {@set, 1}, :write],
      write: [@set, {@set, 1, 2, 3}, :write],
      write: [@set, {:other, 1, 2}, :write],
      write: [@set, :x, :write],
      write: [@ordered, {@ordered, 1, 2}, :write],
      write: [:no_table, {:no_table, 1, 2}, :write],
      write: [:no_table, {:no_table, 1, 2}, :foo],
      write: ["t", {:t, 1, 2}, :foo],
      write: [:schema, {:schema, 1, 2}, :foo],
      write: [@locked, {@locked, 1, 2}, :write],
      delete: [:no_table, 1, :write],
      delete: [@set, 1, :read],
      delete: ["t", 1, :write],
      delete: ["t", 1, :read],
      delete: [:schema, 1, :write],
      delete: [@locked, 1, :write],
      delete_object: [@set, {@set, 1, 2}, :read],
      delete_object: [@set, {@set, 1, :_}, :read],
      delete_object: [@set, {@set, 1, :"$1"}, :write],
      delete_object: [@set, {@set, 1, {:_, 1}}, :write],
      delete_object: [@set, {@set, 1, [1 | :_]}, :write],
      delete_object: [@set, {@set, 1, %{a: :_}}, :write],
      delete_object: [@set, {@set, 1}, :write],
      delete_object: [@set, :x, :write],
      delete_object: [:no_table, {:no_table, 1}, :write],
      delete_object: [:no_table, {:no_table, 1, 2}, :write],
      delete_object: [@locked, {@locked, 1, 2}, :write],
      match_object: [@set, {@set, 1}, :read],
      match_object: [@set, {:other, 1, 2}, :read],
      match_object: [@set, {@set, 1, :_}, :foo],
      match_object: [@set, {@set, 1, :_}, :sticky_write],
      match_object: [@set, {:_, 1, :_}, :read],
      match_object: [@set, :_, :read],
      match_object: [:no_table, {:no_table, 1, :_}, :foo],
      match_object: [:no_table, {:no_table, 1, :_}, :read],
      match_object: ["t", {:_, 1, :_}, :read],
      select: [@set, :foo, :read],
      select: [@set, [:foo], :read],
      select: [@set, [], :read],
      select: [@set, [{{@set, :_, :_}, [{:foo, 1}], [:"$_"]}], :read],
      select: ["t", [], :read],
      select: [:no_table, [{{:no_table, :_, :_}, [], [:"$_"]}], :read],
      select: [@set, [{{@set, :_, :_}, [], [:"$_"]}], :foo],
      select: [@set, [{{@set, :_, :_}, [], [:"$_"]}], :a, :read],
      select: [@set, [{{@set, :_, :_}, [], [:"$_"]}], 1.0, :read],
      select: [@set, [{{@set, :_, :_}, [], [:"$_"]}], 0, :read],
      select: [@set, [{{@set, :_, :_}, [], [:"$_"]}], 1, :foo],
      select: [:"$end_of_table"],
      select: [:foo],
      select: [{:badarg, 1}],
      all_keys: ["t"],
      first: ["t"],
      first: [:no_table],
      last: [:no_table],
      next: [@set, 99],
      prev: [@set, 99],
      next: [@ordered, 99],
      prev: [@ordered, 99],
      prev: [@ordered, 0],
      next: ["t", 99],
      next: [:no_table, 99],
      next: [@set, 1]
    ]
  end

  test "refusals in a transaction" do
    for {function, arguments} <- calls() do
      stock = :mnesia.transaction(fn -> apply(:mnesia, function, arguments) end)
      ours = Engine.transaction(fn -> apply(Engine, function, arguments) end)
      assert {function, arguments, ours} == {function, arguments, stock}
    end
  end

  test "outside of one" do
    for {function, arguments} <- calls() do
      assert {function, arguments, catch_exit(apply(Engine, function, arguments))} ==
               {function, arguments, catch_exit(apply(:mnesia, function, arguments))}
    end
  end

  test "a refused call changes nothing and leaves no transaction open" do
    assert Engine.transaction(fn -> Engine.read(@set, 1, :read) end) == {:atomic, [{@set, 1, 2}]}

    assert Engine.transaction(fn -> Engine.select(@set, spec(@set), :read) end) ==
             {:atomic, [{@set, 1, 2}]}

    refute Engine.is_transaction()
  end

  test "schema functions" do
    for {function, arguments} <- [
          delete_table: [:no_table],
          delete_table: [:schema],
          delete_table: ["t"],
          delete_table: [@locked],
          clear_table: [:no_table],
          clear_table: ["t"],
          clear_table: [@locked],
          change_config: [:foo, []],
          create_schema: [:a],
          create_schema: [[:x@y]],
          delete_schema: [[:x@y]],
          delete_schema: [[node()]],
          wait_for_tables: [[@set, :schema], 10],
          wait_for_tables: [[@set, :no_table], 10],
          wait_for_tables: [["t"], 10],
          wait_for_tables: [:t, 10],
          wait_for_tables: [[], :x]
        ] do
      assert {function, arguments, apply(Engine, function, arguments)} ==
               {function, arguments, apply(:mnesia, function, arguments)}
    end
  end

  test "inside a transaction" do
    for {function, arguments} <- [
          create_table: [:new, []],
          delete_table: [@set],
          clear_table: [@set]
        ] do
      assert {function, Engine.transaction(fn -> apply(Engine, function, arguments) end)} ==
               {function, :mnesia.transaction(fn -> apply(:mnesia, function, arguments) end)}
    end
  end

  test "dirty access" do
    assert Engine.dirty_write(@set, {@set, 7, 8}) == :ok
    assert Engine.dirty_read(@set, 7) == [{@set, 7, 8}]
    assert Engine.dirty_update_counter(@set, 7, 2) == 10
    assert Enum.sort(Engine.dirty_all_keys(@set)) == [1, 7]
    assert Engine.dirty_select(@set, [{{@set, 7, :"$1"}, [], [:"$1"]}]) == [10]
    assert Engine.dirty_delete_object(@set, {@set, 7, 8}) == :ok
    assert Engine.dirty_delete(@set, 7) == :ok
    assert Engine.dirty_read(@set, 7) == []

    for {ours, stock} <- [
          {[:dirty_read, :no_table, 1], [:dirty_read, :no_table, 1]},
          {[:dirty_write, :no_table, {:no_table, 1, 2}],
           [:dirty_write, :no_table, {:no_table, 1, 2}]},
          {[:dirty_delete, :no_table, 1], [:dirty_delete, :no_table, 1]},
          {[:dirty_write, @set, {@set, 1}], [:dirty_write, @set, {@set, 1}]},
          {[:dirty_write, @set, {:other, 1, 2}], [:dirty_write, @set, {:other, 1, 2}]},
          {[:dirty_write, @locked, {@locked, 1, 2}], [:dirty_write, @locked, {@locked, 1, 2}]},
          {[:dirty_delete, @locked, 1], [:dirty_delete, @locked, 1]},
          {[:dirty_update_counter, @set, 1, :a], [:dirty_update_counter, @set, 1, :a]},
          {[:dirty_select, @set, :a], [:dirty_select, @set, :a]}
        ] do
      assert {ours, refusal(Engine, ours)} == {ours, refusal(:mnesia, stock)}
    end
  end

  defp refusal(module, [function | arguments]) do
    catch_exit(apply(module, function, arguments))
  end
end
