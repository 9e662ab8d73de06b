defmodule Remnesia.ReplacedTest do
  use ExUnit.Case

  # Searches outside of transactions while another table takes the place of theirs, again and again: each finds the rows of one or of the other, all of them.

  @rows 200

  setup do
    {:atomic, :ok} =
      :remnesia.create_table(:replaced, type: :ordered_set, attributes: [:k, :v], index: [:v])

    for k <- 1..@rows, do: :remnesia.dirty_write({:replaced, k, rem(k, 4)})
    on_exit(fn -> :remnesia.delete_table(:replaced) end)
  end

  @searches [
    guard:
      quote(
        do:
          length(
            :remnesia.dirty_select(:replaced, [
              {{:replaced, :_, :"$1"}, [{:==, :"$1", 1}], [:"$1"]}
            ])
          )
      ),
    scan:
      quote(
        do:
          length(
            :remnesia.dirty_select(:replaced, [
              {{:replaced, :"$1", :_}, [{:==, {:rem, :"$1", 4}, 1}], [:"$1"]}
            ])
          )
      ),
    index: quote(do: length(:remnesia.dirty_index_read(:replaced, 1, :v))),
    match: quote(do: length(:remnesia.dirty_match_object({:replaced, :_, 1}))),
    keys: quote(do: div(length(:remnesia.dirty_all_keys(:replaced)), 4)),
    walk: quote(do: div(walk(:remnesia.dirty_first(:replaced), 0), 4)),
    last: quote(do: div(:remnesia.dirty_last(:replaced), 4)),
    read: quote(do: 50 * length(:remnesia.dirty_read(:replaced, :rand.uniform(@rows))))
  ]

  for {name, search} <- @searches do
    defp search(unquote(name)), do: unquote(search)
  end

  defp walk(:"$end_of_table", count), do: count
  defp walk(key, count), do: walk(:remnesia.dirty_next(:replaced, key), count + 1)

  test "every search finds all of one table" do
    over = :atomics.new(1, [])

    searching =
      for {name, _} <- @searches, _ <- 1..2 do
        Task.async(fn -> {name, until_over(over, fn -> search(name) end)} end)
      end

    for _ <- 1..150 do
      assert :remnesia.transform_table(:replaced, & &1, [:k, :v]) == {:atomic, :ok}
    end

    :atomics.put(over, 1, 1)

    for {name, wrong} <- Task.await_many(searching, 60_000),
        do: assert({name, wrong} == {name, []})
  end

  defp until_over(over, search) do
    case search.() do
      found when found == div(@rows, 4) ->
        if :atomics.get(over, 1) == 0, do: until_over(over, search), else: []

      other ->
        [other]
    end
  catch
    kind, reason -> [{kind, reason}]
  end
end
