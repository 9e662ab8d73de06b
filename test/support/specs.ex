defmodule Specs do
  @moduledoc false

  # Random records and match specs that meet each other: few keys and values, numbers of both types, tuples that share their first
  # elements, and now and then anything at all. `:rand` is the only source of chance. Records are `{table, key, a, b}`.

  @keys [0, 1, 2, 3, 4, 5, 0.0, -0.0, 1.0, 2.0, 2.5, -1, :a, :b, nil, "k", "kk", <<1::3>>] ++
          [{1, :a}, {1, :b}, {1.0, :a}, {2, :a}, {1, {2, :a}}, {1, {2.0, 3}}, {1}, {}, {1, 2, 3}] ++
          [%{}, %{1 => 1}, %{1.0 => 1}, %{1 => 1, 2 => 2}, [], [1], [1.0], [1, 2], [1 | 2]] ++
          [18_446_744_073_709_551_616, 1.8446744073709552e19, 9_007_199_254_740_993]

  def value do
    case :rand.uniform(20) do
      1 -> known(Nasty.leaf())
      2 -> known(Nasty.term(2))
      _ -> pick(@keys)
    end
  end

  # ETS of OTP 25 does not always find foreign references of one number again.
  defp known(term) do
    if inspect(term, limit: :infinity) =~ ~r/#Reference<\d+\.\d+>/, do: value(), else: term
  end

  def record(table), do: {table, value(), value(), value()}

  def spec(table), do: for(_ <- 1..pick([1, 1, 1, 2, 3]), do: clause(table))

  defp clause(table) do
    key = pick([:"$1", :"$1", :"$1", :_, value(), pattern(:"$4", :"$5")])
    a = pick([:"$2", :"$2", :"$2", :_, value(), pattern(:"$6", :"$7")])
    b = pick([:"$3", :"$3", :_, :"$1", :"$2", value()])
    head = pick([{table, key, a, b}, {table, key, a, b}, {table, key, a, b}, {:_, key, a, b}])
    variables = variables(head)

    guards =
      if variables == [], do: [], else: for(_ <- 1..:rand.uniform(3), do: guard(variables, 2))

    {head, pick([guards, guards, guards, []]), [pick([:"$_", :"$_", :"$$", {{:"$_", 1}}])]}
  end

  defp pattern(one, two) do
    pick([
      {one, :_},
      {pick([1, 2, 1.0]), two},
      {one, two},
      {pick([1, 1.0]), {two, :_}},
      [one | two],
      %{1 => one},
      {one, {2, two}},
      {one}
    ])
  end

  defp variables(term) when is_tuple(term),
    do: term |> Tuple.to_list() |> Enum.flat_map(&variables/1) |> Enum.uniq()

  defp variables([head | tail]), do: variables(head) ++ variables(tail)
  defp variables(%{} = map), do: map |> Map.values() |> Enum.flat_map(&variables/1)

  defp variables(atom) when is_atom(atom),
    do: if(Atom.to_string(atom) =~ ~r/^\$\d$/, do: [atom], else: [])

  defp variables(_other), do: []

  defp guard(variables, depth) do
    case :rand.uniform(if(depth > 0, do: 12, else: 6)) do
      n when n <= 6 ->
        comparison(variables)

      7 ->
        {:not, guard(variables, depth - 1)}

      8 ->
        pick([
          {:is_integer, pick(variables)},
          {:==, {:hd, pick(variables)}, 1},
          {:is_tuple, :"$_"}
        ])

      9 ->
        {pick([:and, :andalso]), guard(variables, depth - 1), guard(variables, depth - 1)}

      n ->
        List.to_tuple([
          pick([:or, :orelse]) | for(_ <- 1..(n - 8), do: guard(variables, depth - 1))
        ])
    end
  end

  defp comparison(variables) do
    op = pick([:==, :==, :"=:=", :<, :"=<", :>, :>=, :"/=", :"=/="])
    {left, right} = {pick(variables), pick([constant(), constant(), constant(), pick(variables)])}
    if :rand.uniform(2) == 1, do: {op, left, right}, else: {op, right, left}
  end

  defp constant, do: {:const, value()}

  def pick(list), do: Enum.random(list)
end
