defmodule Remnesia.Cluster.StopTest do
  # Who asks for a transaction when the database is being stopped gets an answer.
  use Remnesia.PeerCase, async: true

  alias Remnesia.Links

  test "nobody waits for a transaction manager that has ended", context do
    [name | _] = context.names
    [peer] = Peers.start([name], context.options)
    on(peer, do: Application.put_env(:remnesia, :engine, :cluster))

    for stop <- [:ours, :stocks] do
      :ok = Peers.call(peer, Remnesia, :start, [])
      # What it is asked for now stays in its mailbox: it ends before it takes that.
      asker =
        on peer do
          {:atomic, :ok} = :remnesia.transaction(fn -> :ok end)
          :ok = :sys.suspend(:mnesia_tm)

          spawn(fn ->
            Process.register(self(), :asker)
            answer = :remnesia.transaction(fn -> :done end)
            Process.put(:answer, answer)
            receive(do: (:never -> :ok))
          end)
        end

      Links.wait(fn ->
        match?(
          {_, {:mnesia_tm, :rec, _}},
          Peers.call(peer, Process, :info, [asker, :current_function])
        )
      end)

      if stop == :ours,
        do: :stopped = Peers.call(peer, :remnesia, :stop, []),
        else: :stopped = Peers.mnesia(peer, :stop, [])

      answer = fn ->
        {:dictionary, kept} = Peers.call(peer, Process, :info, [asker, :dictionary])
        kept[:answer]
      end

      if stop == :ours do
        assert Links.wait(answer) == {:aborted, {:node_not_running, elem(peer, 1)}}
      else
        # Stock leaves it there.
        assert Peers.call(peer, Process, :info, [asker, :current_function]) ==
                 {:current_function, {:mnesia_tm, :rec, 2}}
      end

      on(peer, asker: asker, do: Process.exit(asker, :kill))
      if stop == :stocks, do: Peers.call(peer, Remnesia, :stop, [])
    end

    Peers.stop(peer)
  end
end
