defmodule Remnesia.TableTest do
  use ExUnit.Case

  import Example, only: [exit_of: 1, tables: 1]

  alias Example.{Email, Movie, User}
  alias Remnesia.Table

  doctest Remnesia.Table

  setup :tables

  defmodule Plain do
    use Remnesia.Table, attributes: [:id, :value]
  end

  defmodule Auto do
    use Remnesia.Table, attributes: [:id, :value], autoincrement: true
  end

  describe "use" do
    test "generates a struct and the definition" do
      assert Map.from_struct(%Plain{}) == %{__meta__: Remnesia.Table, id: nil, value: nil}

      assert Movie.__info__() == %{
               meta: Remnesia.Table,
               type: :ordered_set,
               attributes: [:id, :title, :year, :director],
               options: %{mnesia: [type: :ordered_set], memento: [autoincrement: true]},
               query_base: {Movie, :"$1", :"$2", :"$3", :"$4"},
               query_map: %{id: :"$1", title: :"$2", year: :"$3", director: :"$4"},
               primary_key: :id,
               size: 4
             }

      assert %{type: :set, options: %{mnesia: [], memento: []}} = Plain.__info__()
    end

    test "refuses bad options while compiling" do
      for {options, message} <- [
            {":invalid", ~r/Invalid options/},
            {"[]", ~r/Table attributes not specified/},
            {"attributes: [1]", ~r/Invalid attributes/},
            {"attributes: [:a], index: 1", ~r/Invalid index list/},
            {"attributes: [:a], autoincrement: 1", ~r/Invalid autoincrement parameter/},
            {"attributes: [:a], type: :foo", ~r/Invalid table type/}
          ] do
        assert_raise Remnesia.Error, message, fn ->
          Code.eval_string(
            "defmodule Bad#{System.unique_integer([:positive])} do use Remnesia.Table, #{options} end"
          )
        end
      end
    end
  end

  describe "create" do
    test "and delete" do
      assert Table.create(Plain) == :ok
      assert Table.create(Plain) == {:error, {:already_exists, Plain}}
      assert_raise Remnesia.AlreadyExistsError, ~r/already exists/, fn -> Table.create!(Plain) end
      assert Table.delete(Plain) == :ok
      assert Table.delete(Plain) == {:error, {:no_exists, Plain}}
      assert_raise Remnesia.DoesNotExistError, ~r/does not exist/, fn -> Table.delete!(Plain) end
    end

    test "options override the definition, except attributes" do
      assert Table.create(Plain, type: :bag, attributes: [:x, :y, :z], user_properties: [{:a, 1}]) ==
               :ok

      assert Table.info(Plain, :type) == :bag
      assert Table.info(Plain, :attributes) == [:id, :value]
      assert Table.info(Plain, :user_properties) == [{:a, 1}]
      Table.delete!(Plain)
    end

    test "autoincrement looks at the definition's type" do
      refused = {:error, {:autoincrement, "can only be used with :ordered_set"}}
      assert Table.create(Auto) == refused
      assert Table.create(Auto, type: :ordered_set) == refused
      assert Table.create(Plain, autoincrement: true) == refused

      assert_raise Remnesia.InvalidOperationError,
                   "Autoincrement can only be used with :ordered_set",
                   fn ->
                     Table.create!(Auto)
                   end

      assert Table.create(Auto, autoincrement: false) == :ok
      Table.delete!(Auto)
    end

    test "duplicate_bag" do
      assert Table.create(Plain, type: :duplicate_bag) == :ok
      record = %Plain{id: 1, value: 1}
      Remnesia.transaction!(fn -> for _ <- 1..2, do: Remnesia.Query.write(record) end)

      assert Remnesia.transaction!(fn -> Remnesia.Query.read_all(Plain, 1) end) == [
               record,
               record
             ]

      Table.delete!(Plain)
    end

    test "is refused what it cannot have" do
      assert Table.create(Plain, disc_copies: [node()]) ==
               {:error, {:bad_type, Plain, :disc_copies, node()}}

      assert Table.create(Plain, disc_only_copies: [node()]) ==
               {:error, {:bad_type, Plain, :disc_only_copies, node()}}

      assert Table.create(Plain, ram_copies: [:x@y]) == {:error, {:not_active, Plain, :x@y}}
      assert Table.create(Plain, nonsense: 1) == {:error, {:badarg, Plain, :nonsense}}

      assert Table.create(Plain, index: [:id]) ==
               {:error, {:bad_type, Plain, {:index, [{2, :ordered}]}}}
    end

    test "needs a table module" do
      for term <- [Enum, NoModule, 5],
          function <- [:create, :create!, :delete, :delete!, :clear, :info] do
        assert_raise Remnesia.Error, "#{inspect(term)} is not a Remnesia Table", fn ->
          apply(Table, function, [term])
        end
      end
    end

    test "inside a transaction" do
      assert Remnesia.transaction(fn -> Table.create(Plain) end) ==
               {:ok, {:error, :nested_transaction}}

      assert Remnesia.transaction(fn -> Table.delete(User) end) ==
               {:ok, {:error, :nested_transaction}}
    end
  end

  describe "clear" do
    test "deletes the records only" do
      assert Table.clear(Movie) == :ok
      assert Table.info(Movie, :size) == 0
      assert Table.clear(Plain) == {:error, {:no_exists, Plain}}
    end

    test "aborts a transaction" do
      assert Remnesia.transaction(fn ->
               Remnesia.Query.write(%User{id: 1})
               Table.clear(Movie)
               :not_reached
             end) == {:error, :nested_transaction}

      assert {Table.info(Movie, :size), Table.info(User, :size)} == {3, 0}
    end
  end

  describe "a read-only table" do
    setup do
      Table.create!(Plain, access_mode: :read_only)
    end

    test "refuses changes" do
      record = %Plain{id: 1, value: 1}
      refused = {:error, {:no_exists, Plain}}
      assert Remnesia.transaction(fn -> Remnesia.Query.read(Plain, 1) end) == {:ok, nil}
      assert Remnesia.transaction(fn -> Remnesia.Query.write(record) end) == refused
      assert Remnesia.transaction(fn -> Remnesia.Query.delete(Plain, 1) end) == refused
      assert Remnesia.transaction(fn -> Remnesia.Query.delete_record(record) end) == refused
      assert Table.clear(Plain) == refused
      assert Table.delete(Plain) == refused
      # Only a stop takes it away.
      Remnesia.stop()
      Remnesia.start()
      Table.create!(Plain)
      assert Remnesia.transaction(fn -> Remnesia.Query.write(record) end) == {:ok, record}
      Table.delete!(Plain)
    end
  end

  describe "info" do
    test "has stock's items, with stock's values" do
      stock = stock_table(User)
      ours = Table.info(User)

      # What differs by nature: a cookie, the reference of an index, bytes.
      for {item, value} <- stock,
          item not in [:cookie, :cstruct, :memory, :commit_work, :index_info, {:index, 4}] do
        assert {item, ours[item]} == {item, value}
        assert {item, Table.info(User, item)} == {item, value}
      end

      assert Keyword.keys(ours) == Keyword.keys(List.keydelete(stock, {:index, 4}, 0))
      assert Table.info(User, :name) == User

      assert Tuple.delete_at(Table.info(User, :cstruct), 18) ==
               Tuple.delete_at(stock[:cstruct], 18)
    end

    test "exits for what is not there" do
      assert exit_of(fn -> Table.info(User, :bogus) end) ==
               {:exit, {:aborted, {:no_exists, User, :bogus}}}

      assert exit_of(fn -> Table.info(Plain) end) ==
               {:exit, {:aborted, {:no_exists, Plain, :all}}}

      assert {Table.info(Plain, :size), Table.info(Plain, :memory)} == {0, 0}
      Remnesia.stop()

      assert exit_of(fn -> Table.info(User, :type) end) ==
               {:exit, {:aborted, {:no_exists, User, :type}}}
    end
  end

  describe "copies" do
    # The same calls on stock, on a node with tables in RAM and no disc.
    test "answer what stock answers" do
      n = node()
      stock_table(User)
      stock_table(Movie)

      for {function, stock, arguments} <- [
            {:create_copy, :add_table_copy, [User, n, :ram_copies]},
            {:create_copy, :add_table_copy, [User, n, :disc_copies]},
            {:create_copy, :add_table_copy, [User, "x", :disc_copies]},
            {:create_copy, :add_table_copy, [User, :x@y, :foo]},
            {:create_copy, :add_table_copy, [Plain, n, :ram_copies]},
            {:create_copy, :add_table_copy, [:schema, n, :ram_copies]},
            {:delete_copy, :del_table_copy, [User, :x@y]},
            {:delete_copy, :del_table_copy, [Plain, n]},
            {:delete_copy, :del_table_copy, [:schema, n]},
            {:delete_copy, :del_table_copy, [User, "x"]},
            {:move_copy, :move_table_copy, [User, n, n]},
            {:move_copy, :move_table_copy, [User, n, :x@y]},
            {:move_copy, :move_table_copy, [User, :x@y, n]},
            {:move_copy, :move_table_copy, [User, :x@y, :z@y]},
            {:move_copy, :move_table_copy, [User, n, "x"]},
            {:move_copy, :move_table_copy, [Plain, n, :x@y]},
            {:move_copy, :move_table_copy, [:schema, n, :x@y]},
            {:set_storage_type, :change_table_copy_type, [User, n, :ram_copies]},
            {:set_storage_type, :change_table_copy_type, [User, n, :disc_copies]},
            {:set_storage_type, :change_table_copy_type, [User, n, :foo]},
            {:set_storage_type, :change_table_copy_type, [User, :x@y, :disc_copies]},
            {:set_storage_type, :change_table_copy_type, [User, "n", :ram_copies]},
            {:set_storage_type, :change_table_copy_type, [Movie, n, :disc_only_copies]},
            {:set_storage_type, :change_table_copy_type, [Plain, n, :foo]},
            {:set_storage_type, :change_table_copy_type, [:schema, n, :ram_copies]},
            {:set_storage_type, :change_table_copy_type, [:schema, n, :disc_only_copies]}
          ] do
        {:aborted, reason} = apply(:mnesia, stock, arguments)

        assert {function, arguments, apply(Table, function, arguments)} ==
                 {function, arguments, {:error, reason}}
      end
    end

    test "other nodes are not there" do
      assert Table.create_copy(User, :x@y, :ram_copies) == {:error, {:not_active, User, :x@y}}
    end

    test "the last copy takes the table with it" do
      assert Table.delete_copy(User, node()) == :ok
      assert Table.delete(User) == {:error, {:no_exists, User}}
    end

    test "a stopped database" do
      Remnesia.stop()
      stopped = {:error, {:node_not_running, node()}}
      assert Table.create_copy(User, node(), :ram_copies) == stopped
      assert Table.create(Plain) == stopped
      assert Table.clear(User) == stopped
      assert Table.delete(User) == stopped
    end
  end

  describe "wait" do
    test "for what is there and what is not" do
      assert Table.wait(User) == :ok
      assert Table.wait([User, Email, :schema], :infinity) == :ok
      assert Table.wait([User, Plain], 20) == {:timeout, [Plain]}
      assert Table.wait([User], :soon) == {:error, {:badarg, [User], :soon}}
      assert Table.wait([User], -1) == {:error, {:badarg, [User], -1}}
    end

    test "until it is there" do
      spawn(fn ->
        Process.sleep(50)
        Table.create!(Plain)
      end)

      assert Table.wait(Plain, :infinity) == :ok
      Table.delete!(Plain)
    end

    test "not while the database is stopped" do
      Remnesia.stop()
      assert Table.wait(User, 10) == {:error, {:node_not_running, node()}}
    end
  end

  defp stock_table(table) do
    options = table.__info__().options.mnesia

    {:atomic, :ok} =
      :mnesia.create_table(table, [attributes: table.__info__().attributes] ++ options)

    on_exit(fn -> :mnesia.delete_table(table) end)
    :mnesia.table_info(table, :all)
  end
end
