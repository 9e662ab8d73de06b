defmodule Remnesia.Table.DefinitionTest do
  use ExUnit.Case, async: true

  alias Remnesia.Table.Definition

  @attributes [:id, :name, :email]

  test "match-spec forms" do
    assert Definition.build_base(My.User, @attributes) == {My.User, :"$1", :"$2", :"$3"}
    assert Definition.build_map(@attributes) == %{id: :"$1", name: :"$2", email: :"$3"}
    assert Definition.struct_fields(@attributes) == [{:__meta__, Remnesia.Table} | @attributes]
  end

  test "options are split" do
    assert Definition.build_options(
             attributes: @attributes,
             type: :ordered_set,
             autoincrement: true
           ) ==
             %{mnesia: [type: :ordered_set], memento: [autoincrement: true]}

    assert Definition.build_options(attributes: @attributes, index: [:id]) == %{
             mnesia: [index: [:id]],
             memento: []
           }
  end

  test "and merged" do
    defined = Definition.build_options(type: :set, index: [:a], autoincrement: false)

    assert Definition.merge_options(defined, attributes: [:x], type: :bag, autoincrement: true) ==
             %{mnesia: [index: [:a], type: :bag], memento: [autoincrement: true]}
  end

  test "validation, in this order" do
    invalid = [
      {:invalid, "Invalid options specified"},
      {[type: :foo], "Table attributes not specified"},
      {[attributes: :a, index: :a], "Invalid attributes specified"},
      {[attributes: [1]], "Invalid attributes specified"},
      {[attributes: [:a], index: :a, autoincrement: 1], "Invalid index list specified"},
      {[attributes: [:a], index: ["a"]], "Invalid index list specified"},
      {[attributes: [:a], autoincrement: 1, type: :foo],
       "Invalid autoincrement parameter specified"},
      {[attributes: [:a], type: :foo], "Invalid table type specified"}
    ]

    for {options, message} <- invalid do
      assert_raise Remnesia.Error, message, fn -> Definition.validate_options!(options) end
    end

    assert Definition.validate_options!(attributes: []) == :ok

    assert Definition.validate_options!(
             attributes: [:a, :b],
             type: :bag,
             index: [:b],
             disc_copies: []
           ) == :ok
  end

  test "what is a table" do
    assert Definition.validate_table!(Example.User) == :ok
    assert Definition.has_autoincrement?(Example.Movie)
    refute Definition.has_autoincrement?(Example.User)

    for {term, text} <- [
          {Enum, "Enum"},
          {NoModule, "NoModule"},
          {"x", ~s("x")},
          {5, "5"},
          {nil, "nil"}
        ] do
      assert_raise Remnesia.Error, "#{text} is not a Remnesia Table", fn ->
        Definition.validate_table!(term)
      end
    end
  end
end
