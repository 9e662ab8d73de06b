defmodule Remnesia.Cluster.DiscFailureTest do
  # A replica whose disc refuses what is committed: it goes down with the reason in its log, the writer goes on.
  use ExUnit.Case, async: true

  import Remnesia.Peers, only: [on: 2, on: 3]
  alias Remnesia.Peers

  @moduletag :peers
  @moduletag timeout: 120_000

  setup context do
    dir = Path.join(System.tmp_dir!(), "remnesia-refused-#{System.pid()}-#{context.line}")
    on_exit(fn -> File.rm_rf!(dir) end)
    {:ok, dir: dir, names: [:"ad#{context.line}", :"bd#{context.line}"], options: [dir: dir]}
  end

  for storage <- [:remnesia_disc, :remnesia_disc_only] do
    test "#{storage}", context do
      [a, b] = Peers.cluster(context.names, context.options)
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
        on(a,
          key: key,
          do:
            :timer.tc(fn ->
              :mnesia.sync_transaction(fn -> :mnesia.write({:t, key, :value}) end)
            end)
        )
      end

      assert {_, {:atomic, :ok}} = write.(1)
      Process.unlink(pid)
      monitor = Process.monitor(pid)
      :ok = on(b, do: Remnesia.Native.disc_close(Remnesia.Engine.Local.Directory.data()))
      assert {microseconds, {:atomic, :ok}} = write.(2)
      assert microseconds < 10_000_000
      assert_receive {:DOWN, ^monitor, _, _, _}, 10_000
      assert File.read!(log) =~ "a committed change of :t (write) failed: {:not_durable, :closed}"
      assert {_, {:atomic, :ok}} = write.(3)

      b = Peers.restart(Enum.at(context.names, 1), [a], context.options)
      assert Peers.content(b, :t) == [{:t, 1, :value}, {:t, 2, :value}, {:t, 3, :value}]
      assert Peers.content(a, :t) == Peers.content(b, :t)
      Enum.each([a, b], &Peers.stop/1)
    end
  end
end
