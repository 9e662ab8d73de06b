defmodule Remnesia.Links do
  @moduledoc false

  # Cuts the links between peers, and joins them again. Peers are spoken to through their standard input, so a cut node still answers the test.
  #
  # `cut/2` ends the connection and gives each node another cookie for the other one, so that neither can connect.

  alias Remnesia.Peers

  @doc "No node of the one side reaches one of the other."
  def cut(side, other) do
    for {_, a} = one <- side, {_, b} = two <- other do
      for {peer, node} <- [{one, b}, {two, a}], do: cookie(peer, node, elem(peer, 1))

      for {peer, node} <- [{one, b}, {two, a}],
          do: Peers.call(peer, :erlang, :disconnect_node, [node])
    end

    wait_apart(side, other)
  end

  @doc "All reach all again, and are connected."
  def join(side, other) do
    for {_, a} = one <- side, {_, b} = two <- other do
      for {peer, node} <- [{one, b}, {two, a}], do: cookie(peer, node, :remnesia)
      # An attempt may fail while the other one goes on.
      wait(fn -> Peers.call(one, :net_kernel, :connect_node, [b]) end)
    end

    :ok
  end

  defp cookie(peer, node, cookie),
    do: true = Peers.call(peer, :erlang, :set_cookie, [node, cookie])

  # Mnesia's own view has changed, too.
  defp wait_apart(side, other) do
    nodes = for {_, node} <- other, do: node

    for peer <- side do
      wait(fn ->
        Enum.all?(nodes, &(&1 not in Peers.mnesia(peer, :system_info, [:running_db_nodes])))
      end)

      wait(fn -> Enum.all?(nodes, &(&1 not in Peers.call(peer, :erlang, :nodes, []))) end)
    end

    nodes = for {_, node} <- side, do: node

    for peer <- other do
      wait(fn ->
        Enum.all?(nodes, &(&1 not in Peers.mnesia(peer, :system_info, [:running_db_nodes])))
      end)
    end

    :ok
  end

  @patience 180_000

  @doc "Waits until this is true; only what is broken takes as long."
  def wait(fun, until \\ System.monotonic_time(:millisecond) + @patience) do
    cond do
      value = fun.() ->
        value

      System.monotonic_time(:millisecond) > until ->
        raise "waited in vain"

      true ->
        Process.sleep(50)
        wait(fun, until)
    end
  end
end
