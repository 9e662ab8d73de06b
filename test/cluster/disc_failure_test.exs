defmodule Remnesia.Cluster.DiscFailureTest do
  # A replica whose disc refuses what is committed: it goes down with the reason in its log, the writer goes on.
  use Remnesia.PeerCase, async: true

  for storage <- [:remnesia_disc, :remnesia_disc_only] do
    test "#{storage}", context do
      [a, b] = Peers.cluster(Enum.take(context.names, 2), context.options)
      {pid, node_b} = b
      nodes = [elem(a, 1), node_b]
      {:atomic, :ok} = Peers.mnesia(a, :create_table, [:t, [{unquote(storage), nodes}]])
      log = Path.join(context.dir, "log")

      :ok =
        Peers.call(b, :logger, :add_handler, [
          :file,
          :logger_std_h,
          %{config: %{file: String.to_charlist(log)}}
        ])

      write = fn key ->
        on a, key: key do
          :mnesia.sync_transaction(fn -> :mnesia.write({:t, key, :value}) end)
        end
      end

      assert write.(1) == {:atomic, :ok}
      Process.unlink(pid)
      monitor = Process.monitor(pid)
      :ok = on(b, do: Remnesia.Native.disc_close(Remnesia.Engine.Local.Directory.data()))
      # It answers: no writer waits for the node that goes down.
      assert write.(2) == {:atomic, :ok}
      assert_receive {:DOWN, ^monitor, _, _, _}, 120_000
      assert File.read!(log) =~ "a committed change of :t (write) failed: {:not_durable, :closed}"
      assert write.(3) == {:atomic, :ok}

      b = Peers.restart(Enum.at(context.names, 1), [a], context.options)
      assert Peers.content(b, :t) == [{:t, 1, :value}, {:t, 2, :value}, {:t, 3, :value}]
      assert Peers.content(a, :t) == Peers.content(b, :t)
      Enum.each([a, b], &Peers.stop/1)
    end
  end
end
