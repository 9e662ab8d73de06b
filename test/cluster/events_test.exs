defmodule Remnesia.Cluster.EventsTest do
  # What events say otherwise than stock's: the rest is in calls/events.txt.
  use Remnesia.PeerCase, async: true

  setup %{names: names, options: options} do
    peers = [ours, stock] = Peers.start(Enum.take(names, 2), options)
    on_exit(fn -> Enum.each(peers, &Peers.stop/1) end)

    for {peer, side} <- [{ours, :remnesia}, {stock, :mnesia}] do
      on(peer, do: Application.put_env(:remnesia, :engine, :cluster))
      :ok = Peers.call(peer, side, :create_schema, [[elem(peer, 1)]])
      :ok = Peers.call(peer, side, :start, [])
      disc = [:t, [disc_copies: [elem(peer, 1)]]]
      {:atomic, :ok} = Peers.call(peer, side, :create_table, disc)
    end

    {:ok, sides: [{ours, :remnesia}, {stock, :mnesia}]}
  end

  test "counters", %{sides: sides} do
    [ours, stock] =
      for {peer, side} <- sides do
        on peer, m: side do
          {:ok, _} = m.subscribe({:table, :t, :detailed})
          for by <- [3, -5, 2], do: m.dirty_update_counter(:t, :n, by)

          for _ <- 1..3 do
            receive do
              {:mnesia_table_event, {:write, :t, new, old, {:dirty, _}}} -> {new, old}
            end
          end
        end
      end

    assert stock == [{{:t, :n, 3}, []}, {{:t, :n, 0}, []}, {{:t, :n, 2}, [{:t, :n, 0}]}]

    assert ours ==
             [
               {{:t, :n, 3}, [{:t, :n, 0}]},
               {{:t, :n, 0}, [{:t, :n, 5}]},
               {{:t, :n, 2}, [{:t, :n, 0}]}
             ]
  end

  test "the schema", %{sides: sides} do
    [ours, stock] =
      for {peer, side} <- sides do
        on peer, m: side do
          {:ok, _} = m.subscribe({:table, :schema})
          {:atomic, :ok} = m.change_table_load_order(:t, 5)

          receive do
            {:mnesia_table_event, {:write, {:schema, :t, definition}, _}} -> definition
          end
        end
      end

    assert {[_node], []} = {stock[:disc_copies], Keyword.get(stock, :remnesia_disc, [])}
    assert {[], [_node]} = {ours[:disc_copies], ours[:remnesia_disc]}
  end
end
