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
    :erlang.halt(1, flush: false)
  end
end
