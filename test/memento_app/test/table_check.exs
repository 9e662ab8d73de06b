defmodule TableCheck do
  use ExUnit.Case

  import Check

  alias Memento.Table
  alias Memento.Table.Definition
  alias MementoApp.{Counted, Movie, Narrow, Post, Tag}

  setup :tables

  test "a struct and its definition" do
    assert Map.from_struct(%Post{}) == %{__meta__: Memento.Table, id: nil, title: nil}

    assert Post.__info__() == %{
             meta: Memento.Table,
             type: :ordered_set,
             attributes: [:id, :title],
             options: %{mnesia: [type: :ordered_set], memento: [autoincrement: true]},
             query_base: {Post, :"$1", :"$2"},
             query_map: %{id: :"$1", title: :"$2"},
             primary_key: :id,
             size: 2
           }

    assert %{type: :set, options: %{mnesia: [index: [:director]], memento: []}} = Movie.__info__()
  end

  test "definitions that are refused" do
    for {options, message} <- [
          {[1], "Invalid options specified"},
          {[type: :set], "Table attributes not specified"},
          {[attributes: ["id"]], "Invalid attributes specified"},
          {[attributes: [:id, :a], index: [1]], "Invalid index list specified"},
          {[attributes: [:id, :a], autoincrement: 1],
           "Invalid autoincrement parameter specified"},
          {[attributes: [:id, :a], type: :heap], "Invalid table type specified"}
        ] do
      assert_raise Memento.Error, message, fn -> Definition.validate_options!(options) end

      code = "defmodule MementoApp.Refused do use Memento.Table, #{inspect(options)} end"
      assert_raise Memento.Error, message, fn -> Code.eval_string(code) end
    end

    assert Definition.validate_options!(attributes: []) == :ok
  end

  test "create and delete" do
    assert Table.create(Movie) == {:error, {:already_exists, Movie}}

    assert_raise Memento.AlreadyExistsError, ~r/Movie already exists$/, fn ->
      Table.create!(Movie)
    end

    assert Table.delete(Movie) == :ok
    assert Table.delete(Movie) == {:error, {:no_exists, Movie}}

    assert_raise Memento.DoesNotExistError, ~r/Movie does not exist or is not alive$/, fn ->
      Table.delete!(Movie)
    end

    assert Table.create(Movie, type: :bag, attributes: [:other, :names]) == :ok
    assert Table.info(Movie, :type) == :bag
    assert Table.info(Movie, :attributes) == [:id, :title, :year, :director]
    assert Table.delete!(Movie) == :ok
    assert Table.create!(Movie, load_order: 7) == :ok
    assert Table.info(Movie, :load_order) == 7

    assert Table.create(Narrow) == {:error, {:bad_type, Narrow, {:attributes, [:id]}}}

    assert {:error, {:badarg, Tag, _}} =
             with(:ok <- Table.delete(Tag), do: Table.create(Tag, bogus: 1))
  end

  test "autoincrement is for ordered sets, by their definition" do
    reason = {:autoincrement, "can only be used with :ordered_set"}
    assert Table.create(Counted) == {:error, reason}
    assert Table.create(Counted, type: :ordered_set) == {:error, reason}

    assert_raise Memento.InvalidOperationError,
                 "Autoincrement can only be used with :ordered_set",
                 fn ->
                   Table.create!(Counted)
                 end
  end

  test "what is no table" do
    for thing <- [Missing, Enum, :lists, 7, "Movie"],
        function <- [
          &Table.create/1,
          &Table.create!/1,
          &Table.delete/1,
          &Table.delete!/1,
          &Table.clear/1,
          &Table.info/1
        ] do
      assert_raise Memento.Error, "#{inspect(thing)} is not a Memento Table", fn ->
        function.(thing)
      end
    end
  end

  test "clear" do
    assert Table.clear(Movie) == :ok
    assert Table.info(Movie, :size) == 0
    assert Memento.transaction(fn -> Table.clear(Movie) end) == {:error, :nested_transaction}
    Table.delete!(Movie)
    assert Table.clear(Movie) == {:error, {:no_exists, Movie}}
  end

  test "inside a transaction" do
    assert Memento.transaction!(fn -> Table.create(Movie) end) == {:error, :nested_transaction}
  end

  test "info" do
    assert Table.info(Movie)[:size] == 3
    assert Table.info(Movie, :index) == [5]
    assert exit_of(fn -> Table.info(Movie, :bogus) end) == {:aborted, {:no_exists, Movie, :bogus}}
  end

  test "copies" do
    assert Table.create_copy(Movie, node(), :ram_copies) ==
             {:error, {:already_exists, Movie, node()}}

    assert Table.move_copy(Movie, node(), node()) == {:error, {:already_exists, Movie, node()}}

    assert Table.set_storage_type(Movie, node(), :tape) ==
             {:error, {:bad_type, {:storage_type, :tape}}}

    assert Table.set_storage_type(Post, node(), :disc_only_copies) ==
             {:error, {:bad_type, Post, {:not_supported, :ordered_set, :disc_only_copies}}}

    assert Table.set_storage_type(Movie, node(), :ram_copies) ==
             {:error, {:already_exists, Movie, node(), :ram_copies}}

    assert Table.delete_copy(Movie, node()) == :ok
    assert Table.wait(Movie, 0) == {:timeout, [Movie]}
    assert Table.wait([Post, Tag]) == :ok
  end

  test "what the definition is made of" do
    assert Definition.build_base(Movie, [:id, :title]) == {Movie, :"$1", :"$2"}
    assert Definition.build_map([:id, :title]) == %{id: :"$1", title: :"$2"}
    assert Definition.struct_fields([:id]) == [{:__meta__, Memento.Table}, :id]
    options = [attributes: [:id, :a], autoincrement: true, type: :bag]
    built = Definition.build_options(options)
    assert built == %{mnesia: [type: :bag], memento: [autoincrement: true]}
    assert Definition.merge_options(built, type: :set).mnesia == [type: :set]
    assert Definition.has_autoincrement?(Post)
    refute Definition.has_autoincrement?(Movie)
    assert Definition.validate_table!(Movie) == :ok
  end
end
