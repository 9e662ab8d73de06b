defmodule QueryCheck do
  use ExUnit.Case

  import Check

  alias Memento.Query
  alias MementoApp.{Movie, Post, Tag}

  setup :tables

  defp transaction(fun), do: Memento.transaction(fun)
  defp inside(fun), do: Memento.transaction!(fun)
  defp ids(movies), do: movies |> Enum.map(& &1.id) |> Enum.sort()

  test "outside of a transaction everything exits" do
    for fun <- [
          fn -> Query.read(Movie, 1) end,
          fn -> Query.write(%Movie{id: 1}) end,
          fn -> Query.all(Movie) end,
          fn -> Query.match(Movie, {1, :_, :_, :_}) end,
          fn -> Query.select(Movie, {:==, :id, 1}) end,
          fn -> Query.select_raw(Movie, []) end,
          fn -> Query.delete(Movie, 1) end,
          fn -> Query.delete_record(%Movie{id: 1}) end
        ] do
      assert exit_of(fun) == {:aborted, :no_transaction}
    end
  end

  test "read" do
    assert inside(fn -> Query.read(Movie, 1) end) == hd(MementoApp.movies())
    assert inside(fn -> Query.read(Movie, 9, lock: :write) end) == nil

    assert transaction(fn -> Query.read(Movie, 1, lock: :bad) end) ==
             {:error, {:bad_type, Movie, :bad}}

    assert transaction(fn -> Query.read(Missing, 1) end) == {:error, {:no_exists, Missing}}

    MementoApp.write([%Tag{post: 1, name: :a}, %Tag{post: 1, name: :b}])
    assert inside(fn -> Query.read(Tag, 1) end) == %Tag{post: 1, name: :a}
  end

  test "write" do
    assert inside(fn -> Query.write(%Movie{id: false}, lock: :sticky_write) end) == %Movie{
             id: false
           }

    assert transaction(fn -> Query.write(%Movie{id: 1}, lock: :read) end) ==
             {:error, {:bad_type, Movie, :read}}

    message = "Memento records cannot have a nil primary key unless autoincrement is enabled"
    assert_raise Memento.Error, message, fn -> transaction(fn -> Query.write(%Movie{}) end) end
    assert_raise FunctionClauseError, fn -> transaction(fn -> Query.write({Movie, 1}) end) end
  end

  test "autoincrement" do
    assert [%Post{id: 1}, %Post{id: 2}] = MementoApp.write([%Post{}, %Post{}])
    inside(fn -> Query.delete(Post, 2) end)

    assert [%Post{id: 2}, _, %Post{id: 8.5}] =
             MementoApp.write([%Post{}, %Post{id: 7.5}, %Post{}])

    assert [_, %Post{id: 9.5}] = MementoApp.write([%Post{id: :name}, %Post{}])
  end

  test "all" do
    assert ids(inside(fn -> Query.all(Movie) end)) == [1, 2, 3]
    assert ids(inside(fn -> Query.all(Movie, lock: :write) end)) == [1, 2, 3]
    MementoApp.write([%Post{id: 3}, %Post{id: 1}, %Post{id: 2.0}])
    assert Enum.map(inside(fn -> Query.all(Post) end), & &1.id) == [1, 2.0, 3]
  end

  test "match" do
    assert ids(inside(fn -> Query.match(Movie, {:_, :_, :_, "Fritz Lang"}) end)) == [1, 2]
    assert inside(fn -> Query.match(Movie, {9, :_, :_, :_}, lock: :write) end) == []

    assert_raise Memento.Error,
                 "Match Pattern length is not equal to the no. of attributes",
                 fn ->
                   transaction(fn -> Query.match(Movie, {:_, :_}) end)
                 end

    assert_raise FunctionClauseError, fn -> transaction(fn -> Query.match(Movie, [:_]) end) end
  end

  test "select" do
    select = fn guards -> ids(inside(fn -> Query.select(Movie, guards) end)) end
    assert select.([]) == [1, 2, 3]
    assert select.({:==, :title, "M"}) == [2]
    assert select.([{:<, :year, 1970}, {:>=, :year, 1931}]) == [2]
    assert select.({:or, {:==, :id, 1}, {:and, {:>, :id, 2}, {:!=, :title, "M"}}}) == [1, 3]
    assert select.({:<=, :year, 1931}) == [1, 2]
    assert select.({:xor, {:==, :id, 1}, {:<, :id, 3}}) == [2]
    assert select.({:==, :id, 1.0}) == [1]
    assert select.({:===, :id, 1.0}) == []
    assert select.({:!==, :id, 1.0}) == [1, 2, 3]
    assert select.({:==, :id, {:-, :id, 0}}) == [1, 2, 3]
    assert select.({:==, :id, :year}) == []
    assert select.({:==, :id, {:const, {1, 2}}}) == []

    assert_raise ArgumentError, fn -> select.({:==, :id, {1, 2}}) end
    assert_raise ArgumentError, fn -> select.({:like, :id, 1}) end
    assert_raise FunctionClauseError, fn -> select.(:id) end
  end

  test "select with options" do
    assert [_, _, _] = inside(fn -> Query.select(Movie, [], coerce: false, lock: :write) end)
    assert Enum.all?(inside(fn -> Query.select(Movie, [], coerce: false) end), &is_tuple/1)
    assert [%Movie{}, %Movie{}] = inside(fn -> Query.select(Movie, [], limit: 2) end)

    assert {[{Movie, _, _, _, _}], _} =
             inside(fn -> Query.select(Movie, [], limit: 1, coerce: false) end)

    MementoApp.write([%Tag{post: 1, name: :a}])
    Memento.Table.clear(Tag)
    assert inside(fn -> Query.select(Tag, [], limit: 1) end) == []
    assert inside(fn -> Query.select(Tag, [], limit: 1, coerce: false) end) == :"$end_of_table"
  end

  test "select_raw" do
    all = [{Movie.__info__().query_base, [], [:"$_"]}]
    titles = [{Movie.__info__().query_base, [{:<, :"$3", 1930}], [:"$2"]}]
    assert ids(inside(fn -> Query.select_raw(Movie, all) end)) == [1, 2, 3]
    assert inside(fn -> Query.select_raw(Movie, titles, coerce: false) end) == ["Metropolis"]

    assert_raise FunctionClauseError, fn ->
      transaction(fn -> Query.select_raw(Movie, titles) end)
    end

    assert_raise ArgumentError, fn -> transaction(fn -> Query.select_raw(Movie, [:bad]) end) end
  end

  test "delete and delete_record" do
    assert inside(fn -> Query.delete(Movie, 1) end) == :ok
    assert inside(fn -> Query.delete(Movie, 1, lock: :write) end) == :ok
    assert inside(fn -> Query.delete_record(%Movie{id: 2}) end) == :ok
    assert ids(inside(fn -> Query.all(Movie) end)) == [2, 3]
    m = Enum.at(MementoApp.movies(), 1)
    assert inside(fn -> Query.delete_record(m, lock: :write) end) == :ok
    assert ids(inside(fn -> Query.all(Movie) end)) == [3]

    wild = %Movie{id: 3, title: :_}

    assert transaction(fn -> Query.delete_record(wild) end) ==
             {:error, {:bad_type, Movie, {Movie, 3, :_, nil, nil}}}
  end

  test "records by hand" do
    assert Query.Data.dump(%Post{id: 1, title: "A"}) == {Post, 1, "A"}
    assert Query.Data.load({Post, 1, "A"}) == %Post{id: 1, title: "A"}
    assert_raise FunctionClauseError, fn -> Query.Data.dump({Post, 1, "A"}) end
    assert_raise FunctionClauseError, fn -> Query.Data.load("A") end
    assert_raise UndefinedFunctionError, ~r/__info__\/0/, fn -> Query.Data.load({Enum, 1}) end

    assert Query.Spec.build([{:and, {:==, :a, 1}, {:<=, 2, :b}}], %{a: :"$1", b: :"$2"}) ==
             [{:andalso, {:==, :"$1", 1}, {:"=<", 2, :"$2"}}]
  end
end
