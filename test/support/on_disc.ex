defmodule Remnesia.OnDisc do
  @moduledoc false

  # A database in a directory of its own for one test, and the one of the other tests back afterwards.

  import ExUnit.Callbacks, only: [on_exit: 1]

  alias Remnesia.Native

  @doc "A database on disc, which runs. Its directory."
  def start do
    dir = directory()
    # A flush begins a new segment, which is written in full.
    Application.put_env(:remnesia, :segment_bytes, 256 * 1024)
    :ok = Remnesia.Schema.create([node()])
    :ok = Remnesia.start()
    dir
  end

  @doc "A directory that is not there yet, of a database that does not run; what the test changes of the configuration is changed back."
  def directory do
    dir = Path.join(System.tmp_dir!(), "remnesia-test-#{System.unique_integer([:positive])}")
    before = Application.get_all_env(:remnesia)
    Application.stop(:remnesia)
    Application.put_env(:remnesia, :dir, dir)

    on_exit(fn ->
      Application.stop(:remnesia)

      for {key, _value} <- Application.get_all_env(:remnesia),
          do: Application.delete_env(:remnesia, key)

      Application.put_all_env(remnesia: before)
      System.cmd("chmod", ["-R", "u+rwx", dir], stderr_to_stdout: true)
      File.rm_rf!(dir)
      File.rm_rf!(dir <> ".files")
      Application.ensure_all_started(:remnesia)
    end)

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

  @doc "Stopped, started, and its tables loaded within so many milliseconds."
  def restart(timeout \\ 30_000) do
    :ok = Remnesia.stop()
    :ok = Remnesia.start()
    :ok = Remnesia.wait(Native.tables() ++ for({t, _} <- Native.tables_loading(), do: t), timeout)
  end
end
