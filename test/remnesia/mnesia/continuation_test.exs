defmodule Remnesia.Mnesia.ContinuationTest do
  use ExUnit.Case

  # Searches in chunks, by both sides: continuations that are used again, in other activities and processes, and what was changed in
  # between.

  alias Remnesia.Door

  @types [door_cs: :set, door_co: :ordered_set, door_cb: :bag]
  @tables Keyword.keys(@types)
  @kinds [:transaction, :async_dirty, :sync_dirty, :ets]
  @everything [{:_, [], [:"$_"]}]

  setup do
    Door.delete(@tables)
    for {table, type} <- @types, do: Door.create(table, attributes: [:k, :v], type: type)
    fill()
    on_exit(fn -> Door.delete(@tables) end)
  end

  defp fill do
    for m <- [:mnesia, :remnesia], table <- @tables do
      m.clear_table(table)
      for k <- 1..30, do: m.dirty_write({table, k, rem(k, 2)})
    end
  end

  defp same(what, fun) do
    {stock, ours} = Door.both(fun)
    assert {what, ours} == {what, stock}
    ours
  end

  defp rest(m, continuation, each \\ & &1) do
    case m.select(continuation) do
      :"$end_of_table" -> []
      {found, continuation} -> each.(found) && found ++ rest(m, continuation, each)
    end
  end

  defp caught(fun) do
    fun.()
  catch
    kind, reason -> {kind, reason}
  end

  test "the same continuation is the same chunk, as often as it is used" do
    for table <- @tables, kind <- @kinds do
      {:value, chunks} =
        same({table, kind}, fn m ->
          m.activity(kind, fn ->
            {_, first} = m.select(table, @everything, 7, :read)
            {again, second} = m.select(first)
            {_, third} = m.select(second)

            for c <- [first, second, third, second, first] do
              {found, continuation} = m.select(c)
              {length(found), found == again, length(rest(m, continuation))}
            end
          end)
        end)

      assert List.first(chunks) == {7, true, 16}
    end
  end

  test "the end is the end, again and again" do
    for table <- @tables, kind <- @kinds do
      same({table, kind}, fn m ->
        m.activity(kind, fn ->
          {all, continuation} = m.select(table, @everything, 100, :read)
          {length(all), m.select(continuation), m.select(continuation)}
        end)
      end)
    end
  end

  test "changes in a transaction between two chunks are not met" do
    for table <- @tables, before <- [false, true], change <- [:write_more, :delete, :update] do
      fill()

      {:value, {:atomic, {found, _}}} =
        same({table, before, change}, fn m ->
          m.transaction(fn ->
            if before, do: m.write({table, 0, 0}) && m.delete({table, 30})
            {first, continuation} = m.select(table, @everything, 5, :read)

            change = fn records ->
              for {_, k, v} <- records do
                if k > 10_000, do: exit(:never_ends)

                case change do
                  :write_more -> m.write({table, k + 1000, v})
                  :delete -> for k <- 0..30, do: m.delete({table, k})
                  :update -> m.write({table, rem(k + 15, 30), :changed})
                end
              end
            end

            change.(first)
            {Enum.sort(first ++ rest(m, continuation, change)), length(m.all_keys(table))}
          end)
        end)

      assert length(found) == 30
    end
  end

  test "changes outside of transactions are" do
    for kind <- [:async_dirty, :ets] do
      fill()

      same(kind, fn m ->
        m.activity(kind, fn ->
          {first, continuation} = m.select(:door_co, @everything, 7, :read)
          for k <- 1..30, rem(k, 3) == 0, do: m.delete({:door_co, k})
          first ++ rest(m, continuation)
        end)
      end)
    end

    for table <- @tables do
      fill()

      same(table, fn m ->
        {_, continuation} = m.async_dirty(fn -> m.select(table, @everything, 7, :read) end)
        m.clear_table(table)
        m.async_dirty(fn -> rest(m, continuation) end) |> length() |> Kernel.<(7)
      end)
    end
  end

  test "in another activity, another process, and outside" do
    for table <- @tables, kind <- @kinds do
      same({table, kind}, fn m ->
        {_, continuation} = m.activity(kind, fn -> m.select(table, @everything, 7, :read) end)

        elsewhere = fn ->
          for other <- [:transaction, :async_dirty, :sync_dirty, :ets],
              do: caught(fn -> m.activity(other, fn -> length(rest(m, continuation)) end) end)
        end

        {elsewhere.(), Task.await(Task.async(elsewhere)),
         caught(fn -> m.select(continuation) end)}
      end)
    end
  end

  test "sizes that are none" do
    for size <- [0, -1, :x, 1.5, 1_000_000_000_000_000_000_000_000], kind <- @kinds do
      same({size, kind}, fn m ->
        m.activity(kind, fn -> m.select(:door_cs, @everything, size, :read) end)
      end)
    end
  end

  test "many keys of an or, in chunks, used again" do
    guards = {:orelse, {:"=:=", :"$1", 3}, {:orelse, {:<, :"$1", 9}, {:>, :"$1", 25}}}
    spec = [{{:door_co, :"$1", :_}, [guards], [:"$1"]}]

    same(:gather, fn m ->
      m.transaction(fn ->
        {first, continuation} = m.select(:door_co, spec, 4, :read)
        {first, rest(m, continuation), rest(m, continuation)}
      end)
    end)
  end

  # Rows of guides/differences.md.

  test "a malformed specification after writes" do
    for spec <- [[:x], [{:_, [], []}], [{:_, [{:nonsense}], [1]}]] do
      {stock, ours} =
        Door.both(fn m ->
          m.transaction(fn -> m.write({:door_cs, 1, 1}) && m.select(:door_cs, spec) end)
        end)

      assert {:value, {:aborted, _}} = stock
      assert ours == {:value, {:aborted, {:badarg, [:door_cs, spec]}}}
    end
  end

  test "cut after writes" do
    {stock, ours} =
      Door.both(fn m ->
        m.transaction(fn ->
          m.write({:door_co, 0, 0})
          spec = [{{:door_co, :"$1", 7}, [], [:"$1"]}]
          {first, _} = m.select(:door_co, @everything, 100, :read)

          none =
            case m.select(:door_co, spec, 5, :read) do
              {[], _continuation} -> :nothing
              :"$end_of_table" -> :end
            end

          {length(first), none}
        end)
      end)

    assert {stock, ours} == {{:value, {:atomic, {31, :nothing}}}, {:value, {:atomic, {31, :end}}}}
  end
end
