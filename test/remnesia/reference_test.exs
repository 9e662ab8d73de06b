defmodule Remnesia.ReferenceTest do
  use ExUnit.Case

  # The reference of the oracle tests, checked against the facts about Memento over stock Mnesia.

  alias Example.{Email, Movie, User}
  alias Remnesia.Reference, as: R

  setup do
    for table <- [Movie, Email, User], do: :ok = R.create(table)
    on_exit(fn -> for table <- [Movie, Email, User], do: R.delete_table(table) end)
  end

  test "tables" do
    assert R.create(User) == {:error, {:already_exists, User}}

    assert R.create(User, autoincrement: true) ==
             {:error, {:autoincrement, "can only be used with :ordered_set"}}

    assert R.clear(User) == :ok
    assert R.delete_table(User) == :ok
    assert R.delete_table(User) == {:error, {:no_exists, User}}

    assert R.create(User, disc_copies: [node()]) ==
             {:error, {:bad_type, User, :disc_copies, node()}}
  end

  test "transactions" do
    assert R.transaction(fn -> :ok end) == :ok
    assert R.transaction(fn -> 1 end) == {:ok, 1}
    assert R.transaction(fn -> R.abort(:r) end) == {:error, {:transaction_aborted, :r}}
    assert R.transaction(fn -> exit(:r) end) == {:error, :r}
    assert {:error, {:my, [_ | _]}} = R.transaction(fn -> :erlang.error(:my) end)
    assert catch_throw(R.transaction(fn -> throw(:t) end)) == :t
    assert_raise RuntimeError, "x", fn -> R.transaction(fn -> raise "x" end) end

    assert R.transaction(fn -> R.transaction(fn -> R.abort(:inner) end) end) ==
             {:ok, {:error, {:transaction_aborted, :inner}}}

    assert R.transaction!(fn -> R.inside?() end)
  end

  test "records" do
    assert R.transaction!(fn -> R.write(%User{id: false, name: 1}) end) == %User{
             id: false,
             name: 1
           }

    assert R.transaction!(fn -> R.read(User, false) end) == %User{id: false, name: 1}
    assert R.transaction!(fn -> R.read(User, 9) end) == nil

    assert R.transaction(fn -> R.write(%User{id: 1}, lock: :read) end) ==
             {:error, {:bad_type, User, :read}}

    assert_raise RuntimeError, ~r/nil primary key/, fn ->
      R.transaction(fn -> R.write(%User{}) end)
    end

    R.transaction!(fn -> for a <- ["a", "b"], do: R.write(%Email{user_id: 1, address: a}) end)
    assert R.transaction!(fn -> R.read(Email, 1).address end) == "a"
    assert R.transaction!(fn -> R.read_all(Email, 1) |> length() end) == 2
    assert R.transaction(fn -> R.delete_record(%Email{user_id: 1, address: "c"}) end) == :ok
    assert R.transaction(fn -> R.delete_record(%Email{user_id: 1, address: "a"}) end) == :ok
    assert R.transaction!(fn -> R.all(Email) end) == [%Email{user_id: 1, address: "b"}]

    assert R.transaction(fn -> R.delete_record(%Email{user_id: 1, address: :_}) end) ==
             {:error, {:bad_type, Email, {Email, 1, :_}}}

    assert R.transaction(fn -> R.delete(Email, 1) end) == :ok
    assert R.transaction!(fn -> R.all(Email) end) == []
  end

  test "autoincrement" do
    ids = fn -> R.transaction!(fn -> R.write(%Movie{}).id end) end
    assert {ids.(), ids.()} == {1, 2}
    R.transaction!(fn -> for id <- [:a, "x", 7.5], do: R.write(%Movie{id: id}) end)
    assert ids.() == 8.5
    R.transaction!(fn -> R.delete(Movie, 8.5) end)
    assert ids.() == 8.5
    R.clear(Movie)
    R.transaction!(fn -> R.write(%Movie{id: -5}) end)
    assert ids.() == -4
  end

  test "queries" do
    R.transaction!(fn ->
      for id <- 1..6, do: R.write(%Movie{id: id, title: "t", year: 1990 + id})
    end)

    select = fn guards -> R.transaction!(fn -> for m <- R.select(Movie, guards), do: m.id end) end
    assert select.([]) == [1, 2, 3, 4, 5, 6]
    assert select.({:==, :id, 5.0}) == [5]
    assert select.({:===, :year, 1991.0}) == []
    assert select.([{:<=, :id, 4}, {:or, {:==, :year, 1991}, {:!=, :title, "t"}}]) == [1]
    assert select.({:==, :nonsense, 1}) == []
    # Not translated: the attribute stays an atom, and the answer is wrong without a word.
    assert select.({:not, {:==, :id, 1}}) == [1, 2, 3, 4, 5, 6]
    assert_raise ArgumentError, fn -> select.({:frobnicate, :id, 1}) end
    assert_raise ArgumentError, fn -> select.({:==, :id, {1, 2}}) end
    assert select.({:==, :id, {:const, {1, 2}}}) == []
    assert R.transaction!(fn -> for m <- R.match(Movie, {:_, :_, 1993, :_}), do: m.id end) == [3]
    assert_raise RuntimeError, fn -> R.transaction(fn -> R.match(Movie, {:_}) end) end
    assert R.transaction!(fn -> R.select(Movie, [], limit: 2) |> length() end) == 2

    assert {[{Movie, 1, _, _, _}, _], cont} =
             R.transaction!(fn -> R.select(Movie, [], limit: 2, coerce: false) end)

    assert {:mnesia_select, Movie, _, _, _, _, _, _, _, _} = cont

    assert R.transaction!(fn -> R.select(Movie, {:==, :id, 99}, limit: 2, coerce: false) end) ==
             :"$end_of_table"

    # A limit is the size of a chunk: what the transaction has written comes on top.
    assert R.transaction!(fn ->
             R.write(%Movie{id: 0})
             length(R.select(Movie, [], limit: 2))
           end) == 3
  end
end
