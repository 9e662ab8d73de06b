defmodule Remnesia.Query.SpecTest do
  use ExUnit.Case, async: true

  alias Remnesia.Query.Spec

  @variables %{id: :"$1", name: :"$2", age: :"$3"}

  defp build(guards), do: Spec.build(guards, @variables)

  test "operators get Erlang's names, others pass" do
    for {ours, erlang} <- [
          and: :andalso,
          or: :orelse,
          <=: :"=<",
          !=: :"/=",
          ===: :"=:=",
          !==: :"=/="
        ] do
      assert build({ours, :id, 1}) == [{erlang, :"$1", 1}]
    end

    for same <- [:==, :<, :>, :>=, :xor, :+, :nonsense],
        do: assert(build({same, :id, 1}) == [{same, :"$1", 1}])
  end

  test "a list is translated element by element, also as an operand" do
    assert build([{:==, :id, 1}, {:>, :age, 2}]) == [{:==, :"$1", 1}, {:>, :"$3", 2}]
    assert build({:==, :name, [:id, :x]}) == [{:==, :"$2", [:"$1", :x]}]

    assert build({:and, {:==, :id, 1}, {:or, {:<, :age, :id}, true}}) == [
             {:andalso, {:==, :"$1", 1}, {:orelse, {:<, :"$3", :"$1"}, true}}
           ]

    assert build([]) == []
  end

  test "attributes on the value side, unknown ones and literals" do
    assert build({:==, :id, :name}) == [{:==, :"$1", :"$2"}]
    assert build({:==, :unknown, nil}) == [{:==, :unknown, nil}]
    assert build({:==, :id, %{id: 1}}) == [{:==, :"$1", %{id: 1}}]
    assert build({:==, :id, {:const, {:id, 1}}}) == [{:==, :"$1", {:const, {:id, 1}}}]
    assert build({:==, :id, {:a, :b}}) == [{:==, :"$1", {:a, :b}}]
  end

  test "unary guards" do
    assert build({:not, {:==, :id, 1}}) == [{:not, {:==, :"$1", 1}}]
    assert build({:is_integer, :id}) == [{:is_integer, :"$1"}]
    assert build({:is_nil, :age}) == [{:"=:=", :"$3", nil}]

    assert build({:==, {:abs, :age}, {:length, :name}}) == [
             {:==, {:abs, :"$3"}, {:length, :"$2"}}
           ]
  end

  test "what is no guard" do
    for guard <- [:a, 1, "x", %{}], do: assert_raise(FunctionClauseError, fn -> build(guard) end)
  end
end
