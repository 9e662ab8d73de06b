defmodule Remnesia.SelectKeyTest do
  # Specs that bind the key and nothing else are not compiled; they find what ETS finds.
  use ExUnit.Case, async: true

  alias Remnesia.Native

  @heads [
    [:_, :_],
    [:"$1", :"$2"],
    [:"$2", :_],
    [:"$1", :"$1"],
    [:"$1", :"$01"],
    [:_, 1],
    [:"$_", :_]
  ]

  for type <- [:set, :ordered_set, :bag] do
    test "as ETS, #{type}", context do
      :rand.seed(:exsss, {context.line, 3, 4})
      type = unquote(type)
      name = {:mnesia, :"select_key_#{type}"}
      :ok = Native.table_create(name, {type, 4, :r, []}, nil, nil, false)
      on_exit(fn -> Native.table_delete(nil, name) end)
      ets = :ets.new(:select_key, [type, keypos: 2])

      keys =
        [:_, :"$1", {:a, :_}, {1, 2}, {1.0, 2}, [1 | 2], %{a: 1}] ++ for(_ <- 1..400, do: key())

      for key <- keys, rem(:erlang.phash2(key), 4) > 0, value <- [1, 1.0] do
        record = {:r, key, value, :b}
        :ok = Native.write(nil, name, record, :write)
        :ets.insert(ets, record)
      end

      wrong =
        for key <- keys, rest <- @heads, tag <- [:r, :_, :other] do
          spec = [{List.to_tuple([tag, key | rest]), [], [:"$_"]}]
          found = all(Native.select(nil, name, spec, :read, 0))
          # As maps, whose keys are compared as they are: 1 is not 1.0.
          same? = Enum.frequencies(found) == Enum.frequencies(:ets.select(ets, spec))
          if not same?, do: {inspect(key, limit: 5, printable_limit: 20), rest, tag}
        end

      assert Enum.filter(wrong, & &1) == []

      assert {:done, []} = Native.select(nil, name, [{{:r, 1}, [], [:"$_"]}], :read, 0)
      assert {:"$error", _} = Native.select(nil, name, [{{:r, 1, :_, :_}, [], []}], :read, 0)
    end
  end

  defp key do
    case :rand.uniform(4) do
      1 -> {scalar(), scalar()}
      2 -> [scalar(), {scalar()}]
      _ -> scalar()
    end
  end

  defp scalar do
    leaf = Nasty.leaf()
    if is_number(leaf) or is_atom(leaf) or is_binary(leaf), do: leaf, else: Nasty.number()
  end

  defp all({:done, list}), do: list
  defp all({:slice, list, continuation}), do: list ++ all(Native.select_next(nil, continuation))
end
