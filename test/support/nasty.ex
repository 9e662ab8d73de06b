defmodule Nasty do
  @moduledoc false

  # Random terms that find bugs: small, so that equal ones meet, and from every corner of the term order. Lists have at most
  # three elements on purpose. Give the generator a seed by `:rand.seed/2`; it is the only source of chance.

  @doc "Any term."
  def term(depth \\ 3)
  def term(0), do: leaf()

  def term(depth) do
    case :rand.uniform(10) do
      1 -> list(depth)
      2 -> improper(depth)
      3 -> List.to_tuple(list(depth))
      4 -> map(depth)
      _ -> leaf()
    end
  end

  defp list(depth), do: for(_ <- 1..:rand.uniform(3), do: term(depth - 1))
  defp improper(depth), do: [term(depth - 1), term(depth - 1) | leaf()]

  defp map(depth),
    do: Map.new(1..:rand.uniform(4), fn _ -> {term(depth - 1), term(depth - 1)} end)

  @doc "A term without parts, as most are in a key."
  def leaf, do: pick(:leaves, &leaves/0)

  @doc "An integer or float; the same value often in both forms."
  def number, do: pick(:numbers, &numbers/0)

  # Each list is made once per process.
  defp pick(name, make) do
    all =
      case Process.get({__MODULE__, name}) do
        nil -> tap(List.to_tuple(make.()), &Process.put({__MODULE__, name}, &1))
        all -> all
      end

    elem(all, :rand.uniform(tuple_size(all)) - 1)
  end

  defp leaves do
    numbers() ++ atoms() ++ binaries() ++ living() ++ foreign() ++ [[], {}, %{}, [[]], {1}, {1.0}]
  end

  defp numbers do
    around =
      for shift <- [7, 8, 15, 16, 31, 32, 53, 59, 60, 63, 64, 65, 127, 200],
          base <- [Bitwise.bsl(1, shift)],
          delta <- [-1, 0, 1],
          sign <- [1, -1],
          do: sign * (base + delta)

    [0, 1, 2, -1, 127, 128, 0.0, -0.0, 1.0, 2.0, -1.0, 0.5, -0.5, 1.5e300, -1.5e300, 5.0e-324] ++
      [9_007_199_254_740_992.0, 9_007_199_254_740_994.0, 9.223372036854775807e18, 1.0e19] ++
      around
  end

  defp atoms, do: [:a, :b, nil, true, false, :"", :é, :漢字, :ab, :undefined, :"with\0zero"]

  defp binaries do
    [<<>>, <<0>>, <<0, 0>>, <<0, 255>>, "a", "ab", <<255>>, <<1::1>>, <<2::2>>, <<128>>, <<0::7>>] ++
      [String.duplicate("x", 254), String.duplicate("x", 256), :binary.copy(<<0>>, 300)] ++
      [:binary.copy("y", 16_383), :binary.copy("y", 16_384), :binary.copy("z", 16_385)]
  end

  # Terms of this VM.
  defp living do
    [self(), Process.whereis(:init), hd(Port.list()), make_ref(), make_ref()] ++
      [:erlang.alias(), :erlang.alias(), :counters.new(1, [])] ++
      [closure(1), closure(2), closure(1.0), closure(0.0), closure(-0.0), closure(%{0.0 => -0.0})] ++
      [closure(closure(1)), closure({make_ref(), self()}), closure(1, 2), other(1), &nested/1] ++
      [fn -> 1 end, fn x -> x end, &{&1, 1}]
  end

  @doc "A closure over a value."
  def closure(value), do: fn x -> {x, value} end

  @doc "A closure over two values, and one from another place."
  def closure(a, b), do: fn -> {a, b} end
  def other(value), do: fn x -> {value, x} end

  def nested(x), do: x

  # Terms of other nodes, from the external term format. Numbers of more than 28 and of more than 32 bits have forms of their own;
  # references have three numbers, those of aliases five, those of old nodes one. Some claim to be from a node without a name.
  defp foreign do
    for node <- ["a@elsewhere", "b@elsewhere", "nonode@nohost"],
        number <- [1, 2, 0x1000_0000, 0xFFFF_FFFF],
        kind <- [:pid, :port, :ref, :alias, :short] do
      foreign(kind, <<119, byte_size(node), node::binary>>, number)
    end ++
      [foreign(:port, <<119, 1, "c">>, 0x1_0000_0000), foreign(:port, <<119, 1, "c">>, 3)] ++
      [&:lists.map/2, &:lists.foldl/3, &Enum.map/2]
  end

  defp foreign(:pid, node, n),
    do: external(<<88, node::binary, n::32, rem(3 * n, 7)::32, 1::32>>)

  defp foreign(:port, node, n), do: external(<<120, node::binary, n::64, 1::32>>)

  defp foreign(:ref, node, n),
    do: external(<<90, 3::16, node::binary, 1::32, n::32, rem(3 * n, 7)::32, n::32>>)

  defp foreign(:alias, node, n),
    do: external(<<90, 5::16, node::binary, 1::32, n::32, 1::32, rem(n, 3)::32, n::32, 1::32>>)

  defp foreign(:short, node, n), do: external(<<90, 1::16, node::binary, 1::32, n::32>>)

  defp external(bytes), do: :erlang.binary_to_term(<<131, bytes::binary>>)
end
