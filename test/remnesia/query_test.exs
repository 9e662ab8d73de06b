defmodule Remnesia.QueryTest do
  use ExUnit.Case

  import Example, only: [tables: 1]

  alias Example.{Email, Movie, User}
  alias Remnesia.Query

  doctest Remnesia.Query
  doctest Remnesia.Query.Change
  doctest Remnesia.Query.Explain
  doctest Remnesia.Query.Plan
  doctest Remnesia.Query.Search

  setup :tables

  defp run(fun), do: Remnesia.transaction(fun)
  defp run!(fun), do: Remnesia.transaction!(fun)

  defp users(n),
    do:
      run!(fn ->
        for id <- 1..n, do: Query.write(%User{id: id, name: "u#{id}", age: rem(id, 3)})
      end)

  defp ids(records), do: records |> Enum.map(& &1.id) |> Enum.sort()

  test "outside of a transaction everything exits" do
    spec = [{User.__info__().query_base, [], [:"$_"]}]

    for call <- [
          fn -> Query.read(User, 1) end,
          fn -> Query.read(User, 1, lock: :foo) end,
          fn -> Query.read_all(User, 1) end,
          fn -> Query.write(%User{id: 1}) end,
          fn -> Query.write(%Movie{}) end,
          fn -> Query.all(User) end,
          fn -> Query.match(User, {:_, :_, :_}) end,
          fn -> Query.select(User, []) end,
          fn -> Query.select_raw(User, spec) end,
          fn -> Query.select_raw(User, spec, limit: 1) end,
          fn -> Query.select_continue(:x) end,
          fn -> Enum.to_list(Query.stream(User, [])) end,
          fn -> Query.delete(User, 1) end,
          fn -> Query.delete_record(%User{id: 1}) end,
          fn -> Query.all_keys(User) end,
          fn -> Query.first(User) end,
          fn -> Query.last(User) end,
          fn -> Query.next(User, 1) end,
          fn -> Query.prev(User, 1) end
        ] do
      assert catch_exit(call.()) == {:aborted, :no_transaction}
      # Also in a process that has had a transaction.
      run(fn -> :ok end)
      assert catch_exit(call.()) == {:aborted, :no_transaction}
    end
  end

  test "but arguments are looked at first" do
    assert_raise Remnesia.Error, ~r/nil primary key/, fn -> Query.write(%User{}) end
    assert_raise Remnesia.Error, ~r/Match Pattern length/, fn -> Query.match(User, {:_}) end
    assert_raise FunctionClauseError, fn -> Query.match(User, [:_]) end
    assert_raise FunctionClauseError, fn -> Query.select(User, :guard) end
  end

  describe "read" do
    test "one record or nil" do
      users(2)
      assert run!(fn -> Query.read(User, 1) end) == %User{id: 1, name: "u1", age: 1}
      assert run!(fn -> Query.read(User, 3) end) == nil
      assert run!(fn -> Query.read(User, 1.0) end) == nil
      assert run!(fn -> Query.read(Movie, 1.0).id end) == 1
    end

    test "of a bag the first" do
      assert run!(fn -> Query.read(Email, 2).address end) == "two@example.com"

      assert run!(fn -> for e <- Query.read_all(Email, 2), do: e.address end) == [
               "two@example.com",
               "also.two@example.com"
             ]

      assert run!(fn -> Query.read_all(Email, 9) end) == []
    end

    test "locks" do
      for lock <- [:read, :write, :sticky_write],
          do: assert(run!(fn -> Query.read(Movie, 1, lock: lock).id end) == 1)

      assert run(fn -> Query.read(Movie, 1, lock: :foo) end) == {:error, {:bad_type, Movie, :foo}}

      assert run(fn -> Query.read(NoTable, 1, lock: :foo) end) ==
               {:error, {:bad_type, NoTable, :foo}}

      assert run(fn -> Query.read(NoTable, 1) end) == {:error, {:no_exists, NoTable}}
    end
  end

  describe "write" do
    test "returns the record, replaces in a set" do
      assert run!(fn -> Query.write(%User{id: 1, name: "a"}) end) == %User{id: 1, name: "a"}
      assert run!(fn -> Query.write(%User{id: 1, name: "b"}) end) == %User{id: 1, name: "b"}
      assert run!(fn -> Query.all(User) end) == [%User{id: 1, name: "b"}]
    end

    test "false is a key, nil is not" do
      assert run!(fn -> Query.write(%User{id: false}).id end) == false
      assert run!(fn -> Query.read(User, false).id end) == false

      assert_raise Remnesia.Error,
                   "Remnesia records cannot have a nil primary key unless autoincrement is enabled",
                   fn -> run(fn -> Query.write(%User{name: "x"}) end) end
    end

    test "locks" do
      for lock <- [:write, :sticky_write],
          do: assert(run!(fn -> Query.write(%User{id: 1}, lock: lock).id end) == 1)

      assert run(fn -> Query.write(%User{id: 1}, lock: :read) end) ==
               {:error, {:bad_type, User, :read}}

      assert run(fn -> Query.write(%User{id: 1}, lock: :foo) end) ==
               {:error, {:bad_type, User, :foo}}
    end

    test "into a table that is another now" do
      Remnesia.Table.delete!(User)
      assert run(fn -> Query.write(%User{id: 1}) end) == {:error, {:no_exists, User}}
      {:atomic, :ok} = Remnesia.Engine.create_table(User, attributes: [:id, :name])

      assert run(fn -> Query.write(%User{id: 1}) end) ==
               {:error, {:bad_type, {User, 1, nil, nil}}}
    end

    test "what is no table" do
      assert_raise UndefinedFunctionError, fn -> run(fn -> Query.write(1..2) end) end
      assert_raise FunctionClauseError, fn -> run(fn -> Query.write({User, 1}) end) end
    end
  end

  describe "autoincrement" do
    defp next_id, do: run!(fn -> Query.write(%Movie{title: "x"}).id end)

    test "is the greatest numeric key plus one" do
      Remnesia.Table.clear(Movie)
      assert next_id() == 1
      assert next_id() == 2
      run!(fn -> for id <- [10, :atom, "text", -100, {1, 2}], do: Query.write(%Movie{id: id}) end)
      assert next_id() == 11
      run!(fn -> Query.write(%Movie{id: 17.5}) end)
      assert next_id() == 18.5
      run!(fn -> Query.delete(Movie, 18.5) end)
      assert next_id() == 18.5
    end

    test "counts below zero too" do
      Remnesia.Table.clear(Movie)
      run!(fn -> Query.write(%Movie{id: -5}) end)
      assert next_id() == -4
    end

    test "sees the writes and deletes of its transaction" do
      assert run!(fn ->
               a = Query.write(%Movie{}).id
               Query.write(%Movie{id: 50})
               b = Query.write(%Movie{}).id
               Query.delete(Movie, 51)
               Query.delete(Movie, 50)
               {a, b, Query.write(%Movie{}).id}
             end) == {4, 51, 5}
    end

    test "gives no number twice" do
      ids =
        1..8
        |> Enum.map(fn _ -> Task.async(fn -> for _ <- 1..25, do: next_id() end) end)
        |> Enum.flat_map(&Task.await/1)

      assert Enum.sort(ids) == Enum.to_list(4..203)
    end

    test "in a table that is not an ordered_set after all" do
      Remnesia.Table.delete!(Movie)
      Remnesia.Table.create!(Movie, type: :set)
      assert next_id() == 1
      run!(fn -> for id <- [7, :a, 7.5], do: Query.write(%Movie{id: id}) end)
      assert next_id() == 8.5
    end
  end

  describe "match and all" do
    test "find records" do
      users(9)
      assert ids(run!(fn -> Query.all(User) end)) == Enum.to_list(1..9)
      assert ids(run!(fn -> Query.match(User, {:_, :_, 1}) end)) == [1, 4, 7]
      assert run!(fn -> Query.match(User, {4, :_, 1}) end) == [%User{id: 4, name: "u4", age: 1}]
      assert run!(fn -> Query.match(User, {4, :_, 2}) end) == []
      assert ids(run!(fn -> Query.match(User, {:"$1", :_, :"$1"}) end)) == [1, 2]
      assert ids(run!(fn -> Query.all(User, lock: :write) end)) == Enum.to_list(1..9)
      assert run!(fn -> Enum.map(Query.all(Movie), & &1.id) end) == [1, 2, 3]
    end

    test "are refused" do
      assert_raise Remnesia.Error,
                   "Match Pattern length is not equal to the no. of attributes",
                   fn ->
                     run(fn -> Query.match(User, {:_, :_}) end)
                   end

      assert run(fn -> Query.match(User, {:_, :_, :_}, lock: :foo) end) ==
               {:error, {:bad_type, User, :foo}}

      assert run(fn -> Query.all(User, lock: :foo) end) == {:error, {:bad_type, User, :foo}}
      Remnesia.Table.delete!(User)
      assert run(fn -> Query.all(User) end) == {:error, {:no_exists, User}}
    end
  end

  describe "select" do
    setup do
      users(30)
      :ok
    end

    test "guards" do
      assert ids(run!(fn -> Query.select(User, []) end)) == Enum.to_list(1..30)
      assert ids(run!(fn -> Query.select(User, {:==, :id, 5.0}) end)) == [5]
      assert ids(run!(fn -> Query.select(User, {:===, :id, 5.0}) end)) == []
      assert ids(run!(fn -> Query.select(User, [{:<=, :id, 6}, {:==, :age, 0}]) end)) == [3, 6]

      assert ids(run!(fn -> Query.select(User, {:or, {:<, :id, 2}, {:>, :id, 29}}) end)) == [
               1,
               30
             ]

      assert ids(run!(fn -> Query.select(User, {:==, :id, :age}) end)) == [1, 2]
      assert run!(fn -> Query.select(User, {:==, :nonsense, 1}) end) == []
    end

    test "unary guards" do
      run!(fn -> Query.write(%User{id: :odd, age: nil}) end)
      assert run!(fn -> Query.select(User, {:not, {:is_integer, :id}}) end) == [%User{id: :odd}]
      assert run!(fn -> Query.select(User, {:is_nil, :age}) end) == [%User{id: :odd}]

      assert ids(
               run!(fn ->
                 Query.select(User, {:and, {:is_integer, :id}, {:not, {:<, :id, 30}}})
               end)
             ) == [30]
    end

    test "what is no guard" do
      assert_raise ArgumentError, fn ->
        run(fn -> Query.select(User, {:frobnicate, :id, 1}) end)
      end

      assert_raise ArgumentError, fn -> run(fn -> Query.select(User, {:==, :id, {1, 2}}) end) end
      assert_raise FunctionClauseError, fn -> run(fn -> Query.select(User, :guard) end) end
      assert run!(fn -> Query.select(User, {:==, :id, {:const, {1, 2}}}) end) == []
    end

    test "options" do
      assert run!(fn -> Query.select(User, {:==, :id, 1}, coerce: false) end) == [
               {User, 1, "u1", 1}
             ]

      assert run(fn -> Query.select(User, [], lock: :foo) end) ==
               {:error, {:bad_type, User, :foo}}

      assert ids(run!(fn -> Query.select(User, {:<, :id, 3}, lock: :write) end)) == [1, 2]
      assert length(run!(fn -> Query.select(User, [], limit: 5) end)) == 5
      assert run!(fn -> Query.select(User, {:==, :id, 99}, limit: 5) end) == []
    end

    test "raw" do
      spec = [{{User, :"$1", :_, 2}, [{:<, :"$1", 9}], [:"$1"]}]
      assert Enum.sort(run!(fn -> Query.select_raw(User, spec, coerce: false) end)) == [2, 5, 8]
      assert_raise FunctionClauseError, fn -> run(fn -> Query.select_raw(User, spec) end) end
      assert run(fn -> Query.select_raw(User, :x) end) == {:error, {:badarg, User, :x}}
      assert_raise ArgumentError, fn -> run(fn -> Query.select_raw(User, [:x]) end) end

      assert run(fn -> Query.select_raw(User, [], limit: :x) end) ==
               {:error, {:badarg, User, [], :x}}

      assert_raise ArgumentError, fn -> run(fn -> Query.select_raw(User, spec, limit: 0) end) end
    end

    test "a limit is exact with pending writes" do
      records =
        run!(fn ->
          Query.write(%User{id: 1001, name: "new", age: 1})
          Query.select(User, [], limit: 2)
        end)

      assert length(records) == 2
    end

    test "with a limit and its continuation" do
      all = [{User.__info__().query_base, [], [:"$_"]}]

      run!(fn ->
        {first, continuation} = Query.select_raw(User, all, limit: 20, coerce: false)
        assert length(first) == 20
        assert [{User, _, _, _} | _] = first
        assert {:mnesia_select, User, _, _, _, _, _, _, _, _} = continuation
        assert {second, continuation} = Query.select_continue(continuation)
        assert [%User{} | _] = second
        assert Query.select_continue(continuation) == :"$end_of_table"
        assert ids(Enum.map(first, &Query.Data.load/1) ++ second) == Enum.to_list(1..30)

        assert Query.select_raw(User, [{{User, 99, :_, :_}, [], [:"$_"]}], limit: 5, coerce: false) ==
                 :"$end_of_table"
      end)
    end

    test "continuations of other transactions, and what is none" do
      {_records, continuation} = run!(fn -> Query.select(User, [], limit: 20, coerce: false) end)
      assert run(fn -> Query.select_continue(continuation) end) == {:error, :wrong_transaction}

      assert Example.elsewhere(fn -> run(fn -> Query.select_continue(continuation) end) end) ==
               {:error, :wrong_transaction}

      assert_raise ArgumentError, fn -> run(fn -> Query.select_continue(:x) end) end
      assert run!(fn -> Query.select_continue(:"$end_of_table") end) == :"$end_of_table"
    end

    test "a stream" do
      for limit <- [1, 7, 30, 100, nil] do
        assert ids(run!(fn -> Enum.to_list(Query.stream(User, [], limit: limit)) end)) ==
                 Enum.to_list(1..30)
      end

      assert run!(fn -> User |> Query.stream({:==, :age, 1}, limit: 2) |> Enum.count() end) == 10

      assert run!(fn -> Movie |> Query.stream([], limit: 1, coerce: false) |> Enum.take(2) end)
             |> Enum.map(&elem(&1, 1)) == [1, 2]
    end
  end

  describe "delete" do
    test "by key" do
      assert run(fn -> Query.delete(Email, 2) end) == :ok
      assert run!(fn -> Query.read_all(Email, 2) end) == []
      assert run(fn -> Query.delete(Email, 2) end) == :ok
      assert run(fn -> Query.delete(Email, 1, lock: :sticky_write) end) == :ok

      assert run(fn -> Query.delete(Email, 1, lock: :read) end) ==
               {:error, {:bad_type, Email, :read}}

      assert run(fn -> Query.delete(NoTable, 1) end) == {:error, {:no_exists, NoTable}}
    end

    test "by record, which must be equal" do
      assert run(fn -> Query.delete_record(%Email{user_id: 2, address: "else"}) end) == :ok
      assert length(run!(fn -> Query.read_all(Email, 2) end)) == 2

      assert run(fn -> Query.delete_record(%Email{user_id: 2, address: "two@example.com"}) end) ==
               :ok

      assert [%{address: "also.two@example.com"}] = run!(fn -> Query.read_all(Email, 2) end)
    end

    test "by a record that could be a pattern" do
      for value <- [:_, :"$1", {:x, [:_]}, [1 | :"$23"]] do
        record = {Email, 2, value}

        assert run(fn -> Query.delete_record(%Email{user_id: 2, address: value}) end) ==
                 {:error, {:bad_type, Email, record}}
      end

      for value <- [:"$x", :"$", %{a: :_}, "_"] do
        assert run(fn -> Query.delete_record(%Email{user_id: 2, address: value}) end) == :ok
      end

      assert run(fn -> Query.delete_record(%Email{user_id: 2}, lock: :read) end) ==
               {:error, {:bad_type, Email, :read}}
    end
  end

  describe "keys" do
    test "of an ordered_set" do
      assert run!(fn -> Query.all_keys(Movie) end) == [1, 2, 3]
      assert run!(fn -> {Query.first(Movie), Query.last(Movie)} end) == {1, 3}

      assert run!(fn -> {Query.next(Movie, 1), Query.next(Movie, 3), Query.next(Movie, 2.5)} end) ==
               {2, :"$end_of_table", 3}

      assert run!(fn -> {Query.prev(Movie, 3), Query.prev(Movie, 1), Query.prev(Movie, 2.5)} end) ==
               {2, :"$end_of_table", 2}
    end

    test "of others" do
      users(20)
      assert Enum.sort(run!(fn -> Query.all_keys(User) end)) == Enum.to_list(1..20)
      assert Enum.sort(run!(fn -> Query.all_keys(Email) end)) == [1, 2]

      walked =
        run!(fn ->
          User
          |> Query.first()
          |> Stream.iterate(&Query.next(User, &1))
          |> Enum.take_while(&(&1 != :"$end_of_table"))
        end)

      assert Enum.sort(walked) == Enum.to_list(1..20)
      assert_raise ArgumentError, fn -> run(fn -> Query.next(User, 99) end) end
    end

    test "of an empty table" do
      assert run!(fn -> {Query.all_keys(User), Query.first(User), Query.last(User)} end) ==
               {[], :"$end_of_table", :"$end_of_table"}
    end
  end
end
