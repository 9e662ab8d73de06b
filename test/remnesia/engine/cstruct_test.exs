defmodule Remnesia.Engine.CstructTest do
  use ExUnit.Case

  # create_table's options, each on stock and on ours: the answer is the same, and where a table is made, so are the
  # properties it then has.

  alias Remnesia.Engine

  @table :cstruct_test

  setup do
    on_exit(fn ->
      Engine.delete_table(@table)
      :mnesia.delete_table(@table)
    end)
  end

  @options [
    [],
    [type: :bag],
    [type: :ordered_set],
    [type: :foo],
    [attributes: [:a]],
    [attributes: []],
    [attributes: :a],
    [attributes: [:a, :a]],
    [attributes: [:a, "b"]],
    [attributes: [:a, :snmp]],
    [attributes: [:a, nil, true]],
    [attributes: :a, index: [:b]],
    [index: :a],
    [index: [:foo]],
    [index: [:key]],
    [index: [2]],
    [index: [3]],
    [index: [4]],
    [index: [1]],
    [index: ["x"]],
    [index: [val: :bag]],
    [index: [val: :foo]],
    [index: [{"val", :bag}]],
    [index: [:val, :val]],
    [index: [{:foo}]],
    [access_mode: :foo],
    [access_mode: :read_write],
    [majority: :foo],
    [majority: true],
    [local_content: :foo],
    [local_content: true, majority: true],
    [local_content: true],
    [load_order: :a],
    [load_order: 7],
    [record_name: "x"],
    [record_name: :rec],
    [user_properties: :foo],
    [user_properties: [:foo]],
    [user_properties: [{:b, 1}, {:a}]],
    [storage_properties: [ets: :foo]],
    [storage_properties: [ets: [:set]]],
    [storage_properties: [ets: [:compressed]]],
    [storage_properties: [ets: ["x"]]],
    [storage_properties: [dets: [type: 1]]],
    [storage_properties: [ets: [read_concurrency: true]]],
    [foo: 1],
    [autoincrement: true],
    [type: :set, type: :bag],
    [:foo],
    [{:type}],
    [{:type, 1, 2}],
    [snmp: :x],
    [ram_copies: :foo],
    [ram_copies: ["x"]],
    [ram_copies: []],
    [ram_copies: [node()]],
    [ram_copies: [node(), node()]],
    [disc_copies: :foo],
    [disc_only_copies: :x],
    [disc_copies: [node()]],
    [disc_only_copies: [node()]],
    [disc_copies: [:x@y]],
    [disc_copies: [:x@y, node()]],
    [disc_copies: [node()], ram_copies: [node()]],
    [type: :ordered_set, disc_only_copies: [node()]],
    [cookie: 1],
    [cookie: {{1, 2, 3}, :n}],
    [version: 1],
    [version: {{7, 7}, []}],
    [frag_properties: :x],
    [name: :zz],
    [{{:a, :b}, 1}],
    [{"x", 1}],
    [external_copies: []],
    [type: :foo, attributes: [], index: [:nope]],
    [type: :foo, disc_copies: [:x@y]]
  ]

  test "options" do
    for options <- @options do
      stock = :mnesia.create_table(@table, options)
      ours = Engine.create_table(@table, options)
      assert {options, ours} == {options, stock}

      if ours == {:atomic, :ok} do
        for item <-
              [
                :type,
                :attributes,
                :arity,
                :index,
                :access_mode,
                :majority,
                :local_content,
                :load_order
              ] ++
                [
                  :record_name,
                  :user_properties,
                  :storage_properties,
                  :ram_copies,
                  :disc_copies,
                  :wild_pattern
                ] ++
                [:record_validation, :version] do
          # Stock lists an attribute that is indexed twice twice.
          assert {options, item, info(Engine, item)} == {options, item, info(:mnesia, item)}
        end

        assert :mnesia.delete_table(@table) == Engine.delete_table(@table)
      end
    end
  end

  test "a name" do
    for name <- ["x", 5, {:a, 1}, nil, :schema] do
      stock = :mnesia.create_table(name, [])
      assert {name, Engine.create_table(name, [])} == {name, stock}

      if stock == {:atomic, :ok},
        do: assert(:mnesia.delete_table(name) == Engine.delete_table(name))
    end
  end

  test "a table that is there, and options that are no list" do
    for options <- [[], [type: :foo], [foo: 1], [index: [:nope]]] do
      :mnesia.create_table(@table, [])
      Engine.create_table(@table, [])

      assert {options, Engine.create_table(@table, options)} ==
               {options, :mnesia.create_table(@table, options)}
    end

    for options <- [%{}, :foo, nil] do
      assert Engine.create_table(@table, options) == {:aborted, {:badarg, @table, options}}
    end
  end

  test "what is ours: one more type, no other nodes" do
    assert Engine.create_table(@table, type: :duplicate_bag) == {:atomic, :ok}
    assert Engine.delete_table(@table) == {:atomic, :ok}

    assert {:aborted, {:badarg, @table, {:snmp, _}}} =
             Engine.create_table(@table, snmp: [key: :integer])

    assert Engine.create_table(@table, ram_copies: [node(), :x@y]) ==
             {:aborted, {:not_active, @table, :x@y}}

    assert Engine.create_table(@table, storage_properties: :foo) ==
             {:aborted, {:badarg, @table, {:storage_properties, :foo}}}
  end

  test "an index that is asked for twice is one" do
    Engine.create_table(@table, index: [:val, 3])
    assert info(Engine, :index) == [3]
  end

  defp info(module, item), do: @table |> module.table_info(item) |> unique(item)
  defp unique(positions, :index), do: Enum.uniq(positions)
  defp unique(value, _item), do: value
end
