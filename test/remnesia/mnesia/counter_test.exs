defmodule Remnesia.Mnesia.CounterTest do
  use ExUnit.Case

  # Counters by both sides: increments and stored values of all sizes and kinds.

  alias Remnesia.Door

  @tables [:door_c, :door_co, :door_cr, :door_ci, :door_cb, :door_c4]

  setup_all do
    Door.delete(@tables)
    Door.create(:door_c, attributes: [:k, :v])
    Door.create(:door_co, attributes: [:k, :v], type: :ordered_set)
    Door.create(:door_cr, attributes: [:k, :v], record_name: :count)
    Door.create(:door_ci, attributes: [:k, :v], index: [:v])
    Door.create(:door_cb, attributes: [:k, :v], type: :bag)
    Door.create(:door_c4, attributes: [:k, :v, :w])
    on_exit(fn -> Door.delete(@tables) end)
  end

  @large 0x7FFFFFFFFFFFFFFF
  @huge 0x1000000000000000000000000

  defp same(what, fun) do
    {stock, ours} = Door.both(fun)
    assert {what, ours} == {what, stock}
  end

  defp caught(fun) do
    fun.()
  catch
    kind, reason -> {kind, reason}
  end

  test "increments of all sizes, of what is stored" do
    for table <- @tables ++ [:nowhere, :schema, 1, nil],
        increment <- [1, -1, 0, 5, 1.0, :x, @large, -@large - 1, @huge, -@huge],
        stored <- [:nothing, 3, -7, 1.5, :text, @large, @huge, -@huge] do
      same({table, increment, stored}, fn m ->
        record = if table == :door_cr, do: :count, else: table

        if table in (@tables -- [:door_c4]) do
          m.clear_table(table)
          if stored != :nothing, do: m.dirty_write(table, {record, :key, stored})
        end

        {caught(fn -> m.dirty_update_counter(table, :key, increment) end),
         caught(fn -> m.dirty_update_counter({table, :key}, increment) end),
         caught(fn -> Enum.sort(m.dirty_read(table, :key)) end)}
      end)
    end
  end

  test "the two forms of a number, indexes, read-only tables, messages" do
    same(:forms, fn m ->
      m.clear_table(:door_co)
      m.dirty_update_counter(:door_co, 1, 1)
      m.dirty_update_counter(:door_co, 1.0, 1)
      m.dirty_read(:door_co, 1)
    end)

    same(:index, fn m ->
      m.clear_table(:door_ci)
      m.dirty_update_counter(:door_ci, :a, 5)
      m.dirty_update_counter(:door_ci, :a, @huge)
      for v <- [5, @huge + 5], do: m.dirty_index_read(:door_ci, v, :v)
    end)

    same(:read_only, fn m ->
      m.change_table_access_mode(:door_c, :read_only)
      answer = caught(fn -> m.dirty_update_counter(:door_c, :k, 1) end)
      m.change_table_access_mode(:door_c, :read_write)
      answer
    end)

    for stored <- [3, -7, :text, @large] do
      same({:messages, stored}, fn m ->
        m.clear_table(:door_c)
        m.dirty_write({:door_c, :k, stored})
        m.subscribe({:table, :door_c, :detailed})
        m.dirty_update_counter(:door_c, :k, 2)
        m.unsubscribe({:table, :door_c, :detailed})
        assert_received {:mnesia_table_event, event}
        event
      end)
    end
  end

  test "many at once lose nothing" do
    same(:race, fn m ->
      m.clear_table(:door_c)
      add = fn _ -> for _ <- 1..200, do: m.dirty_update_counter(:door_c, :r, @large) end
      answers = 1..8 |> Enum.map(&Task.async(fn -> add.(&1) end)) |> Enum.flat_map(&Task.await/1)
      Enum.sort(answers) == for(n <- 1..1600, do: n * @large)
    end)
  end
end
