defmodule Remnesia.Mnesia.FragmentAccessTest do
  use ExUnit.Case

  # Reads, writes and searches through `mnesia_frag`: in every kind of activity the answers and reasons of stock.

  import Remnesia.FragmentTables

  alias Remnesia.{Door, Modulo}

  setup do
    remove()
    on_exit(&remove/0)
  end

  # Each through the access module, in each kind of activity.
  defp calls(table) do
    wild = {:door_f, :_, :_, :_}

    [
      read: [{table, 3}],
      read: [table, 3],
      read: [table, 3, :write],
      read: [table, 3, :loose],
      read: [{table, 3}, 3, :read],
      wread: [{table, 99}],
      write: [{:door_f, 41, 1, 1}],
      write: [{:door_f, 41, 1}],
      write: [table, {:door_f, 41, 1, 1}, :write],
      write: [table, {:other, 41, 1, 1}, :write],
      write: [table, {:door_f}, :write],
      write: [table, :x, :write],
      s_write: [{:door_f, 42, 1, 1}],
      delete: [{table, 3}],
      delete: [table, 3, :loose],
      s_delete: [{table, 3}],
      delete_object: [{:door_f, 3, 3, -3}],
      delete_object: [{:door_f, :_, 3, -3}],
      delete_object: [table, {:door_f}, :write],
      match_object: [{:door_f, 3, :_, :_}],
      match_object: [put_elem(wild, 2, 1)],
      match_object: [table, :x, :read],
      match_object: [table, wild, :loose],
      select: [table, [{wild, [], [:"$_"]}]],
      select: [table, [{{:door_f, 3, :"$1", :_}, [], [:"$1"]}], :write],
      select: [table, [{{:door_f, :"$1", 2, :_}, [{:<, :"$1", 20}], [:"$1"]}]],
      select: [table, :x],
      select: [table, [:x]],
      select: [table, []],
      all_keys: [table],
      index_read: [table, 2, :a],
      index_read: [table, 2, :b],
      index_match_object: [put_elem(wild, 2, 2), :a],
      index_match_object: [wild, :a],
      index_match_object: [table, put_elem(wild, 2, 2), :a, :read],
      foldl: [&[&1 | &2], [], table],
      foldr: [&[&1 | &2], [], table],
      foldl: [&[&1 | &2], [], table, :write],
      lock: [{:table, table}, :write],
      lock: [{:table, table}, :loose],
      lock: [{:record, table, 3}, :write],
      write_lock_table: [table],
      clear_table: [table],
      first: [:door_g],
      next: [table, :absent],
      table_info: [table, :size],
      table_info: [{table, 7}, :name],
      table_info: [{table, 7}, :frag_names],
      table_info: [table, :all]
    ]
  end

  for type <- [:set, :ordered_set, :bag] do
    test "of a #{type}" do
      for n <- [1, 4], kind <- [:transaction, :sync_transaction, :async_dirty, :sync_dirty] do
        Door.both(fn m ->
          create(m, unquote(type), n)
          m.create_table(:door_g, frag_properties: properties(3))
          fill(m)
        end)

        for {function, arguments} <-
              calls(:door_f) ++
                [read: [:nowhere, 1], foldl: [&{&1, &2}, 1, :nowhere], select: [:nowhere, []]],
            written <- [false, true] do
          {stock, ours} =
            Door.both(fn m ->
              answer =
                Door.answer(m, fn ->
                  frag(m, kind, fn ->
                    if written, do: for(k <- 30..50, do: m.write({:door_f, k, rem(k, 3), -k}))
                    sorted(apply(m, function, arguments), unquote(type))
                  end)
                end)

              contents = contents(m, :door_f)
              frag(m, :async_dirty, fn -> m.clear_table(:door_f) end)
              fill(m)
              {answer, contents}
            end)

          assert {kind, n, written, function, arguments, ours} ==
                   {kind, n, written, function, arguments, stock}
        end

        remove()
      end
    end
  end

  # Records of an ordered_set come in its order, fragment by fragment.
  defp sorted([{item, _} | _] = all, _type) when is_atom(item), do: Keyword.drop(all, [:memory])
  defp sorted(list, type) when is_list(list) and type != :ordered_set, do: Enum.sort(list)
  defp sorted(other, _type), do: other

  test "chunks, and the walk through all keys" do
    for type <- [:set, :ordered_set, :bag],
        size <- [1, 3, 100],
        spec <- [{:_, :_}, {3, :_}, {:_, 2}] do
      {stock, ours} =
        Door.both(fn m ->
          create(m, type, 3)
          fill(m)
          {k, a} = spec
          spec = [{{:door_f, k, a, :_}, [], [:"$_"]}]
          chunks = fn -> chunks(m, m.select(:door_f, spec, size, :read)) end
          found = for kind <- [:transaction, :async_dirty], do: Enum.sort(frag(m, kind, chunks))
          written = frag(m, fn -> fill(m, 41..50) && Enum.sort(chunks.()) end)
          forward = frag(m, fn -> walk(m, m.first(:door_f), :next) end)
          back = frag(m, fn -> walk(m, m.last(:door_f), :prev) end)
          frag(m, :async_dirty, fn -> m.clear_table(:door_f) end)
          empty = frag(m, fn -> {m.first(:door_f), m.last(:door_f), m.all_keys(:door_f)} end)
          m.delete_table(:door_f)
          ordered? = type == :ordered_set
          walks = if ordered?, do: {forward, back}, else: {Enum.sort(forward), Enum.sort(back)}
          {found, written, walks, empty}
        end)

      assert {type, size, spec, ours} == {type, size, spec, stock}
    end
  end

  defp chunks(_m, :"$end_of_table"), do: []
  defp chunks(m, {found, continuation}), do: found ++ chunks(m, m.select(continuation))
  defp walk(_m, :"$end_of_table", _to), do: []
  defp walk(m, key, to), do: [key | walk(m, apply(m, to, [:door_f, key]), to)]

  test "queries" do
    Remnesia.TestErlang.load(:door_qlc)

    same(fn m ->
      create(m, :ordered_set, 3)
      fill(m)

      frag(m, fn ->
        table = m.table(:door_f)
        m.write({:door_f, 99, 2, 7})

        for {way, value} <- [by_key: 7, by_a: 2, greater: -5],
            do: Enum.sort(apply(:door_qlc, way, [table, value]))
      end)
    end)
  end

  test "a hash module that answers nonsense" do
    same(fn m ->
      create(m, :set, 2, hash_module: Modulo, hash_state: :none)

      for call <- [
            fn -> m.read(:door_f, :no_number) end,
            fn -> m.select(:door_f, [{:_, [], [1]}]) end,
            fn -> m.next(:door_f, :no_number) end
          ],
          do: m.transaction(fn -> frag(m, call) end)
    end)
  end

  test "the activity's identity is Mnesia's" do
    same(fn m -> frag(m, fn -> elem(m.get_activity_id(), 0) end) end)
  end
end
