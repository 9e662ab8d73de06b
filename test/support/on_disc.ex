defmodule Remnesia.OnDisc do
  @moduledoc false

  # A database in a directory of its own for one test, and the one of the other tests back afterwards.

  import ExUnit.Callbacks, only: [on_exit: 1]

  alias Remnesia.Native

  def start do
    dir = Path.join(System.tmp_dir!(), "remnesia-test-#{System.unique_integer([:positive])}")
    was = Application.get_env(:remnesia, :dir)
    Application.stop(:remnesia)
    Application.put_env(:remnesia, :dir, dir)
    # A flush begins a new segment, which is written in full.
    Application.put_env(:remnesia, :segment_bytes, 256 * 1024)

    on_exit(fn ->
      Application.stop(:remnesia)
      Application.delete_env(:remnesia, :segment_bytes)

      if was,
        do: Application.put_env(:remnesia, :dir, was),
        else: Application.delete_env(:remnesia, :dir)

      File.rm_rf!(dir)
      Application.ensure_all_started(:remnesia)
    end)

    :ok = Remnesia.Schema.create([node()])
    :ok = Remnesia.start()
    dir
  end

  # Now and then, in the process that asks, so that rows are partly in memory and partly in their place. Costs nothing elsewhere.
  def flush_sometimes do
    with n when is_integer(n) <- Process.get(__MODULE__) do
      Process.put(__MODULE__, n + 1)
      if rem(n, 5) == 0, do: :ok = Native.disc_flush()
    end

    :ok
  end

  @doc "From now on this process flushes now and then."
  def flush_from_now, do: Process.put(__MODULE__, 1)

  def restart do
    :ok = Remnesia.stop()
    :ok = Remnesia.start()
    :ok = Remnesia.wait(Native.tables() ++ for({t, _} <- Native.tables_loading(), do: t), 30_000)
  end
end
