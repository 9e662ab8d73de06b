defmodule Remnesia.Query.WhereTest do
  use ExUnit.Case

  # Conditions written as Elixir mean what they mean there: each is a guard here too, over the same record.

  import Bitwise
  import Example, only: [tables: 1]
  import Remnesia.Query, only: [where: 2]

  alias Example.{Movie, User}
  alias Remnesia.Query
  alias Remnesia.Query.Where

  doctest Remnesia.Query.Where

  setup :tables

  @limit 5
  @values [nil, true, false, 0, 1, -1, 5, 5.0, 2.5, 12, :a, "", "Al", "Alfred", <<1::3>>] ++
            [[], [1], [1, 2], {}, {1}, {1, 2}, %{}, %{a: 1}, %{1 => 2}]

  # The same condition as a where and as a function.
  defmacrop both(condition) do
    quoted =
      Macro.prewalk(condition, fn
        {:^, _, [value]} ->
          value

        {name, _, context} when name in [:id, :name, :age] and is_atom(context) ->
          {{:., [], [quote(do: var!(record)), name]}, [no_parens: true], []}

        other ->
          other
      end)

    quote do
      {where(User, unquote(condition)),
       fn var!(record) ->
         _ = var!(record)

         try do
           Function.identity(unquote(quoted)) == true
         rescue
           _ -> false
         end
       end, unquote(Macro.to_string(condition))}
    end
  end

  test "conditions mean what they mean in Elixir" do
    five = 5
    list = [1, 5.0, :a, {1, 2}]
    text = "Al"

    conditions = [
      both(age == 5),
      both(age === 5),
      both(age != ^five),
      both(age !== 5),
      both(age < 5 and id >= 1),
      both(age > ^five or name == "Al"),
      both(not (age <= 5)),
      both(5 < age),
      both(age == @limit),
      both(is_nil(age)),
      both(not is_nil(age)),
      both(age == nil),
      both(name == id),
      both(age + 1 == 6),
      both(age - id * 2 == 3),
      both(age / 2 == 2.5),
      both(div(age, 2) == 2),
      both(rem(age, 2) == 1),
      both(-age == -5),
      both(age == -1),
      both(abs(age) == 1),
      both(round(age) == 3),
      both(trunc(age) == 2),
      both((age &&& 4) == 4),
      both((age ||| 1) == 1),
      both(age <<< 1 == 10),
      both(age >>> 1 == 2),
      both(bxor(age, 1) == 4),
      both(bnot(age) == -6),
      both(is_atom(age)),
      both(is_binary(age)),
      both(is_boolean(age)),
      both(is_float(age)),
      both(is_integer(age)),
      both(is_list(age)),
      both(is_map(age)),
      both(is_number(age)),
      both(is_tuple(age)),
      both(is_pid(age) or is_port(age) or is_reference(age) or is_function(age)),
      both(age),
      both(age == true),
      both(elem(age, 1) == 2),
      both(elem(age, id - 2) == 1),
      both(hd(age) == 1),
      both(tl(age) == [2]),
      both(length(age) == 2),
      both(map_size(age) == 1),
      both(is_map_key(age, :a)),
      both(:erlang.map_get(:a, age) == 1),
      both(age.a == 1),
      both(byte_size(age) == 2),
      both(bit_size(age) == 3),
      both(age in [1, 5, "Al", nil]),
      both(age in [^five, -1]),
      both(age in ^list),
      both(age in []),
      both(age in 1..5),
      both(age in 1..12//2),
      both(age in -1..^five),
      both(age not in [1, 5]),
      both(age not in ^list),
      both(String.starts_with?(age, "Al")),
      both(String.starts_with?(age, ^text)),
      both(String.starts_with?(age, "")),
      both(age == {1, 2}),
      both(age == {1, id}),
      both({age, id} == {5, 2}),
      both({age, id, 1} > {5, 2, ^five}),
      both([age, id] == [5, 2]),
      both([1 | [id]] == age),
      both(age == %{a: 1}),
      both(age == ^%{a: 1}),
      both(age == []),
      both(age == <<1, 2>> or age == "Al"),
      both(age == ~s(Alfred)),
      both(age == ~w(a b)a or age == [1]),
      both(age == :"$1" or age == :_),
      both(age == :a and true),
      both(node() == node(age)),
      both(self() == age)
    ]

    Remnesia.transaction!(fn ->
      for {age, n} <- Enum.with_index(@values), id = n + 1 do
        Query.write(%User{id: id, name: Enum.at(@values, rem(n * 7, length(@values))), age: age})
      end

      all = Query.all(User)

      for {where, holds?, text} <- conditions do
        assert %Where{table: User} = where

        for record <- Enum.take(all, 1),
            do: assert({text, elem(Query.test(record, where), 0)} == {text, :ok})

        ours = where |> Query.select(order_by: :id) |> Enum.map(& &1.id)
        expected = all |> Enum.filter(holds?) |> Enum.map(& &1.id) |> Enum.sort()
        assert {text, ours} == {text, expected}
      end
    end)
  end

  test "a specification is made while compiling; only what is pinned comes later" do
    year = 1990

    assert where(Movie, year < 2000 and director == ^"x").spec == [
             {{Movie, :"$1", :"$2", :"$3", :"$4"},
              [{:andalso, {:<, :"$3", 2000}, {:==, :"$4", {:const, "x"}}}], [:"$_"]}
           ]

    assert [{_, [{:<, :"$3", {:const, 1990}}], _}] = where(Movie, year < ^year).spec
    # As a literal, no list or tuple is made: it is the same term each time.
    same = fn -> where(Movie, year < 2000 and title in ["a", "b"]) end
    assert :erts_debug.same(same.(), same.())
  end

  test "every function of queries takes it" do
    old = where(Movie, year < 2000)

    Remnesia.transaction!(fn ->
      assert Enum.map(Query.select(old), & &1.id) == [1, 2]
      assert Enum.map(Query.select(old, order_by: :year, limit: 1), & &1.id) == [2]
      assert [{Movie, 1, _, _, _}, _] = Query.select(old, coerce: false)
      assert {[_], _continuation} = Query.select(old, limit: 1, coerce: false)
      assert Enum.map(Query.stream(old, limit: 1), & &1.id) == [1, 2]

      assert {Query.count(old), Query.count(old, lock: :write), Query.exists?(old)} ==
               {2, 2, true}

      assert {Query.min(old, :year), Query.max(old, :year)} == {1975, 1992}
      assert Query.max(old, :year, lock: :write) == 1992
      assert Query.update_all(old, director: "x") == 2
      assert Query.delete_all(where(Movie, director == "x")) == 2
      assert Query.select_raw(Movie, where(Movie, id > 0).spec) == Query.all(Movie)
    end)

    assert Query.explain(where(Movie, id in 1..3)).plan == :key_range
    assert Query.explain(where(Movie, id == 3), analyze: true).matched == 1

    assert {:ok, {Movie, 1, nil, 3, nil}} =
             Query.test(%Movie{id: 1, year: 3}, where(Movie, year == 3))
  end

  test "beside its table, and beside another" do
    old = where(Movie, year < 2000)

    Remnesia.transaction!(fn ->
      assert Query.select(Movie, old) == Query.select(old)

      assert Query.select(Movie, old, order_by: :year, limit: 1) ==
               Query.select(old, order_by: :year, limit: 1)

      assert {Query.count(Movie, old), Query.exists?(Movie, old)} == {2, true}
      assert Query.explain(Movie, old) == Query.explain(old)

      assert_raise ArgumentError,
                   ~r/expected conditions for Example.User, got conditions for Example.Movie/,
                   fn ->
                     Query.select(User, old)
                   end

      assert Query.delete_all(Movie, old) == 2
    end)
  end

  defmodule Own do
    use Remnesia.Table, attributes: [:id, :rank]
    require Remnesia.Query

    def high(least), do: Remnesia.Query.where(__MODULE__, rank >= ^least)
  end

  test "in the table's own module" do
    assert Own.high(3).spec == [{{Own, :"$1", :"$2"}, [{:>=, :"$2", {:const, 3}}], [:"$_"]}]
  end

  defp refusal(code) do
    assert %CompileError{line: line, description: text} =
             catch_error(Code.eval_string("\nimport Remnesia.Query, only: [where: 2]\n" <> code))

    assert line == 3
    text
  end

  test "what does not compile" do
    assert refusal("where(Example.Movie, yaer < 2000)") ==
             "unknown field yaer of Example.Movie, known ones are id, title, year, director; " <>
               "if it is a variable, pin it: ^yaer"

    for {code, part} <- [
          {"where(Example.Movie, id > 1 and not is_nil(nme))", "unknown field nme"},
          {"where(Example.Movie, {id, x} == {1, 2})", "unknown field x"},
          {"where(Example.Movie, String.upcase(title) == \"A\")",
           "pin it: ^(String.upcase(title))"},
          {"where(Example.Movie, foo(id))", "foo(id) cannot be part of a condition"},
          {"where(Example.Movie, id && true)", "write and instead of &&"},
          {"where(Example.Movie, id in title)", "in takes a list"},
          {"where(Example.Movie, id in [title])",
           "expected a constant or a pinned value, got: title"},
          {"where(Example.Movie, id in 1..year)", "expected a constant or a pinned value"},
          {"where(Example.Movie, String.starts_with?(title, director))",
           "String.starts_with? takes"},
          {"where(Example.Movie, title == %{a: id})", "is no constant"},
          {"where(Example.Movie, title == \"\#{id}\")", "is no constant"},
          {"where(Example.Movie, id = 1)", "id = 1 cannot be part"},
          {"where(Example.Movie, fn -> 1 end)", "cannot be part"},
          {"where(Enum, id == 1)", "Enum is not a Remnesia table"},
          {"where(No.Such.Module, id == 1)", "No.Such.Module is not a Remnesia table"},
          {"table = 1; where(table, id == 1)", "expected the name of a table module, got: table"}
        ] do
      assert refusal(code) =~ part
    end
  end

  test "what only newer releases know" do
    code =
      "import Remnesia.Query, only: [where: 2]; where(Example.Movie, tuple_size(id) == 2).spec"

    if String.to_integer(System.otp_release()) < 26 do
      assert_raise CompileError, ~r/from OTP 26 on/, fn -> Code.eval_string(code) end
    else
      assert {[{_, [{:==, {:tuple_size, :"$1"}, 2}], _}], _} = Code.eval_string(code)
    end
  end

  test "what is pinned must fit" do
    prefix = :x

    assert_raise ArgumentError, ~r/expected a prefix/, fn ->
      where(Movie, String.starts_with?(title, ^prefix))
    end

    assert_raise ArgumentError, ~r/expected members in a list/, fn ->
      where(Movie, id in ^prefix)
    end
  end
end
