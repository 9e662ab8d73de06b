defmodule Remnesia.Namespaces do
  @moduledoc false

  # Peers in network namespaces of their own, where the machine allows it: each has a cable to a switch in a namespace in the middle, and a cable
  # that is cut loses packets without a word, as real ones do. Nothing of it is in the machine's own network.

  alias Remnesia.Peers

  @doc "Nil if there can be any, else why not."
  def unavailable do
    name = "rmn#{System.pid()}t"

    with nil <- Peers.unavailable(),
         ip when is_binary(ip) <- System.find_executable("ip") || "there is no `ip`",
         {_, 0} <- System.cmd(ip, ["netns", "add", name], stderr_to_stdout: true),
         {_, 0} <-
           System.cmd(ip, ["-n", name, "link", "add", "x", "type", "veth", "peer", "name", "y"],
             stderr_to_stdout: true
           ) do
      System.cmd(ip, ["netns", "del", name])
      nil
    else
      {text, _status} ->
        System.cmd("ip", ["netns", "del", name], stderr_to_stdout: true)
        String.trim(text)

      reason ->
        reason
    end
  end

  @doc "Makes the network for as many nodes."
  def network(count) do
    id = "rmn#{System.pid()}n#{rem(System.unique_integer([:positive]), 1000)}"
    hub = "#{id}h"
    ip!(["netns", "add", hub])
    ip!(["-n", hub, "link", "add", "switch", "type", "bridge"])
    ip!(["-n", hub, "link", "set", "switch", "up"])

    for n <- 1..count do
      ns = "#{id}_#{n}"
      ip!(["netns", "add", ns])
      ip!(["-n", hub, "link", "add", "v#{n}", "type", "veth", "peer", "name", "e0", "netns", ns])
      ip!(["-n", hub, "link", "set", "v#{n}", "master", "switch"])
      ip!(["-n", hub, "link", "set", "v#{n}", "up"])
      ip!(["-n", ns, "addr", "add", "10.77.7.#{n}/24", "dev", "e0"])
      ip!(["-n", ns, "link", "set", "e0", "up"])
      ip!(["-n", ns, "link", "set", "lo", "up"])
    end

    %{id: id, hub: hub, count: count}
  end

  @doc "Options of Remnesia.Peers for the node with this number."
  def options(network, n) do
    erl = System.find_executable("erl")

    exec =
      {String.to_charlist(System.find_executable("ip")),
       Enum.map(["netns", "exec", "#{network.id}_#{n}", erl], &String.to_charlist/1)}

    # A node that is silent for so many seconds is down.
    [host: ~c"10.77.7.#{n}", exec: exec, args: [~c"-kernel", ~c"net_ticktime", ~c"2"]]
  end

  def cut(network, n), do: ip!(["-n", network.hub, "link", "set", "v#{n}", "down"])
  def join(network, n), do: ip!(["-n", network.hub, "link", "set", "v#{n}", "up"])

  @doc "Takes everything away, with what still runs in it."
  def delete(network) do
    for ns <- [network.hub | for(n <- 1..network.count, do: "#{network.id}_#{n}")] do
      {pids, _} = System.cmd("ip", ["netns", "pids", ns], stderr_to_stdout: true)

      for pid <- String.split(pids),
          pid =~ ~r/^\d+$/,
          do: System.cmd("kill", ["-9", pid], stderr_to_stdout: true)

      System.cmd("ip", ["netns", "del", ns], stderr_to_stdout: true)
    end

    :ok
  end

  defp ip!(arguments) do
    case System.cmd("ip", arguments, stderr_to_stdout: true) do
      {_, 0} -> :ok
      {text, _} -> raise "ip #{Enum.join(arguments, " ")}: #{text}"
    end
  end
end
