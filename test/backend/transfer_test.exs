defmodule Remnesia.BackendTransferTest do
  # A table goes into another one as between two nodes, chunk by chunk, here in one VM.
  use ExUnit.Case, async: true

  alias Remnesia.Backend.{Search, Table, Transfer}
  alias Remnesia.{Backend, Native}

  @attributes [:key, :value, :more]

  setup context do
    for side <- [:from, :to], do: on_exit(fn -> Table.delete(name(context, side)) end)
    :ok
  end

  defp name(context, side), do: :"transfer_#{context.line}_#{side}"

  defp made(context, type) do
    from = name(context, :from)
    properties = [type: type, attributes: @attributes, record_name: :r, index: [{3, :ordered}]]
    Table.load(:remnesia_ram, from, {:dumper, :create_table}, properties)
    Table.load(:remnesia_ram, name(context, :to), {:net_load, node()}, properties)
    from
  end

  # What the messages held.
  defp transfer(from, to, storage) do
    {:standard, first, next} = Transfer.sender(from, storage, self())
    state = Transfer.receiver(self(), to, Table.info(from, :size))
    {chunks, state} = pump(first.(), next, to, state, [])
    Transfer.finish(to, state)
    chunks
  end

  defp pump(:"$end_of_table", _next, _to, state, chunks), do: {chunks, state}

  defp pump({data, continuation}, next, to, state, chunks),
    do: pump(next.(continuation), next, to, Transfer.take(data, to, state), [data | chunks])

  defp fill(table, count) do
    for i <- 1..count do
      record = {:r, Nasty.term(), rem(i, 5), Nasty.term()}

      with {:"$error", reason} <- Native.write(nil, Table.name(table), record, :write),
           do: flunk(inspect(reason))
    end
  end

  defp content(table) do
    Search.select(Table.name(table), [{:_, [], [:"$_"]}])
  end

  defp same!(from, to) do
    assert length(content(from)) == Table.info(to, :size)
    # As maps, whose keys are compared as they are: 1 is not 1.0.
    same? = Enum.frequencies(content(from)) == Enum.frequencies(content(to))
    assert same?
    assert Native.table_check(Table.name(to)) == :ok
  end

  for type <- [:set, :ordered_set, :bag] do
    test "any terms, #{type}", context do
      :rand.seed(:exsss, {context.line, 1, 2})
      from = made(context, unquote(type))
      fill(from, 1_500)
      chunks = transfer(from, name(context, :to), {:ext, :remnesia_ram, Backend})
      # Pids and the like go beside the parcel, the rest within.
      assert Enum.any?(chunks, fn {_, parcel, records} -> parcel != "" and records != [] end)
      same!(from, name(context, :to))
    end
  end

  test "many parcels, and none", context do
    from = made(context, :set)
    empty = transfer(from, name(context, :to), {:ext, :remnesia_ram, Backend})
    assert empty == []

    for i <- 1..20_000,
        do:
          :ok =
            Native.write(
              nil,
              Table.name(from),
              {:r, i, i, "#{i} #{String.duplicate("x", 60)}"},
              :write
            )

    chunks = transfer(from, name(context, :to), {:ext, :remnesia_ram, Backend})
    assert length(chunks) > 2 and Enum.all?(chunks, &match?({_, _, []}, &1))
    same!(from, name(context, :to))
  end

  test "stock Mnesia gets lists", context do
    :rand.seed(:exsss, {context.line, 1, 2})
    from = made(context, :set)
    fill(from, 500)
    assert from |> transfer(name(context, :to), :disc_copies) |> Enum.all?(&is_list/1)
    same!(from, name(context, :to))
  end

  test "a parcel that is none is refused, and nothing of a record of another size is there",
       context do
    from = made(context, :set)
    for i <- 1..10, do: :ok = Native.write(nil, Table.name(from), {:r, i, i, :atom}, :write)
    {parcel, [], :done} = all(Table.name(from))
    to = Table.name(name(context, :to))

    for size <- 0..(byte_size(parcel) - 1), rem(size, 3) == 0 do
      cut = binary_part(parcel, 0, size)
      # Between two keys it is whole.
      with {rows, number} when is_integer(number) <- Native.transfer_open(cut) do
        assert number < 10 and Native.transfer_put(to, rows, 0, 10) == number
      else
        answer -> assert {:"$error", _reason} = answer
      end
    end

    wide = {:mnesia, :"#{name(context, :to)}_wide"}
    :ok = Native.table_create(wide, {:set, 7, :r, []}, nil, nil, false)
    {rows, 10} = Native.transfer_open(parcel)
    assert {:"$error", {:bad_type, ^wide}} = Native.transfer_put(wide, rows, 0, 10)
    assert Native.table_size(wide) == 0
    Native.table_delete(nil, wide)
  end

  defp all(name, place \\ nil, parcels \\ "") do
    case Native.transfer_take(name, place) do
      {parcel, [], :done} -> {parcels <> parcel, [], :done}
      {"", [], place} -> all(name, place, parcels)
    end
  end
end
