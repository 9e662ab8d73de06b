defmodule Remnesia.Query.DataTest do
  use ExUnit.Case, async: true

  alias Example.User
  alias Remnesia.Query.Data

  doctest Remnesia.Query.Data

  defmodule ByHand do
    defstruct [:a, :b]
    def __info__, do: %{attributes: [:a, :b]}
  end

  defmodule Enforced do
    @enforce_keys [:id]
    use Remnesia.Table, attributes: [:id, :value]
  end

  test "there and back" do
    assert Data.load({User, 1, "a", nil}) == %User{id: 1, name: "a", age: nil}
    assert Data.dump(%User{id: 1, name: "a"}) == {User, 1, "a", nil}
    assert Data.load({Enforced, 1, 2}) == struct(Enforced, id: 1, value: 2)
  end

  test "records of another size and incomplete structs" do
    assert Data.load({User, 1}) == %User{id: 1}
    assert Data.load({User, 1, 2, 3, 4, 5}) == %User{id: 1, name: 2, age: 3}
    assert Data.dump(%{__struct__: User, id: 1}) == {User, 1, nil, nil}
  end

  test "modules that only have __info__/0" do
    assert Data.load({ByHand, 1, 2}) == %ByHand{a: 1, b: 2}
    assert Data.dump(%ByHand{a: 1}) == {ByHand, 1, nil}
  end

  test "everything else" do
    assert %{function: :__info__, arity: 0} =
             assert_raise(UndefinedFunctionError, fn -> Data.load({:nothing, 1}) end)

    assert %{function: :__info__, arity: 0} =
             assert_raise(UndefinedFunctionError, fn -> Data.dump(1..2) end)

    assert_raise FunctionClauseError, fn -> Data.load([1]) end
    # By apply: a compiler that knows types would warn.
    assert_raise FunctionClauseError, fn -> apply(Data, :dump, [{User, 1}]) end
    assert_raise FunctionClauseError, fn -> apply(Data, :dump, [%{id: 1}]) end
  end
end
