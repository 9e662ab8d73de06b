defmodule Remnesia.Backend.Fatal do
  @moduledoc false

  # A committed change could not be made. The node stops at once: Mnesia on other nodes sees it go down, and it gets a full copy when it
  # comes back. `mnesia_lib:fatal/2` would keep the writer waiting for seconds; the reason goes to the log and to standard error.

  require Logger

  @spec halt(atom, atom, term) :: no_return
  def halt(operation, table, reason) do
    # A node that is being stopped goes down anyway.
    if match?({:stopping, _}, :init.get_status()), do: :erlang.error(:badarg)

    text =
      "remnesia: a committed change of #{inspect(table)} (#{operation}) failed: #{inspect(reason)}. " <>
        "The node is halted, because this replica would differ from others; it gets a copy when it is started again."

    Logger.error(text)
    IO.puts(:standard_error, text)
    write_logs()
    :erlang.halt(1, flush: false)
  end

  # Handlers write a little later. Nobody waits for one that cannot.
  @patience 500

  defp write_logs do
    {pid, monitor} =
      spawn_monitor(fn ->
        Logger.flush()

        for %{id: id, module: :logger_std_h} <- :logger.get_handler_config(),
            do: :logger_std_h.filesync(id)
      end)

    receive do
      {:DOWN, ^monitor, :process, ^pid, _reason} -> :ok
    after
      @patience -> :ok
    end
  end
end
