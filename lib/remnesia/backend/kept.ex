defmodule Remnesia.Backend.Kept do
  @moduledoc false

  # Continuations of searches for other nodes. A native one lives as long as some process here has it; who asks from another node runs here in a
  # process that ends with each answer, so here it is kept, and the other node gets its name.
  #
  # A search has two at most: the last one, and the one before it, which may be used again. Those that nobody asks for any more go after a while.

  use GenServer

  @minutes 10
  @sweep 60_000

  @spec start_link(term) :: GenServer.on_start()
  def start_link(_), do: GenServer.start_link(__MODULE__, [], name: __MODULE__)

  @doc "Does this process end with the answer?"
  @spec wanted?() :: boolean
  def wanted? do
    [initial_call: {module, _, _}, links: links] = Process.info(self(), [:initial_call, :links])
    # One of :rpc, or of Mnesia's own since OTP 25.
    module == :erpc or Process.whereis(:mnesia_rpc) in links
  end

  @doc "The name of a continuation that is kept from now on; the one before `former` goes."
  @spec keep(term, reference | nil) :: {:kept, reference}
  def keep(continuation, former \\ nil) do
    name = make_ref()
    :ets.insert(__MODULE__, {name, now(), former, continuation})
    {:kept, name}
  end

  @doc "The continuation of that name, or nil."
  @spec fetch(reference) :: term | nil
  def fetch(name) do
    case :ets.lookup(__MODULE__, name) do
      [{_, _, former, continuation}] ->
        if former, do: :ets.delete(__MODULE__, former)
        :ets.update_element(__MODULE__, name, {2, now()})
        continuation

      [] ->
        nil
    end
  end

  @impl true
  def init(_) do
    :ets.new(__MODULE__, [:named_table, :public])
    {:ok, nil, @sweep}
  end

  @impl true
  def handle_info(_timeout, state) do
    :ets.select_delete(__MODULE__, [
      {{:_, :"$1", :_, :_}, [{:<, :"$1", now() - @minutes}], [true]}
    ])

    {:noreply, state, @sweep}
  end

  defp now, do: System.monotonic_time(:second) |> div(60)
end
