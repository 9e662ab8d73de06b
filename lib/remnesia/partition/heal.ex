defmodule Remnesia.Partition.Heal do
  @moduledoc false

  # One look at the nodes, and what follows from it. Every node may do this at any time: what is to be done is read from how things are, not from what was
  # announced, and one at a time does it, on the winning side, under a lock on all nodes concerned.

  alias Remnesia.Partition.{Decision, Policy, Repair, Side, View}

  # What is on its way settles in that time: links come back one after the other.
  @tries 20
  @pause 250
  @start_timeout 10_000

  @type outcome ::
          :whole
          | {:found, map}
          | {:healed, map}
          | {:failed, map}

  @doc "Looks, and heals if that is the policy."
  @spec run(Policy.t(), non_neg_integer) :: outcome
  def run(policy, tries \\ @tries) do
    kind = Policy.kind(policy)

    case Decision.decide(View.all(), kind) do
      :whole ->
        :whole

      {:wait, _reason} when tries > 0 ->
        Process.sleep(@pause)
        run(policy, tries - 1)

      {:wait, reason} ->
        {:found, %{reason: reason}}

      {:undecided, reason, islands} ->
        {:found, %{reason: reason, islands: islands}}

      {:heal, islands} when kind == :report ->
        {:found, %{reason: :report, islands: Enum.sort(islands)}}

      {:heal, [winners | _] = islands} ->
        if node() in winners, do: alone(policy, islands, tries), else: :whole
    end
  end

  # The lock is on the nodes themselves, so no state of `:global` that has to be resolved after a partition matters.
  defp alone(policy, islands, tries) do
    nodes = List.flatten(islands)
    lock = {__MODULE__, self()}

    if :global.set_lock(lock, nodes, 0) do
      try do
        # What was seen may be over.
        if Decision.decide(View.all(), Policy.kind(policy)) == {:heal, islands},
          do: heal(policy, islands),
          else: :again
      after
        :global.del_lock(lock, nodes)
      end
    else
      :again
    end
    |> case do
      :again when tries > 0 ->
        Process.sleep(@pause)
        run(policy, tries - 1)

      :again ->
        :whole

      outcome ->
        outcome
    end
  end

  defp heal(policy, [winners | losing] = islands) do
    copies = View.copies()
    active = View.active(copies)
    plan = Decision.plan(islands, copies, active)
    about = %{strategy: Policy.kind(policy), kept: winners, reloaded: List.flatten(losing)}

    with {:ok, repaired} <- repair(Decision.repairs(winners, active)),
         {:ok, sides} <- begin(plan, winners, policy),
         monitors = Map.new(sides, fn {node, side} -> {Process.monitor(side), {node, side}} end),
         :ok <- compared(sides, monitors) do
      pids = for {_node, side} <- sides, do: side
      for side <- pids, do: send(side, {:commit, pids})
      {done, failed} = results(monitors, [], [])
      about = about |> Map.merge(summary(done, failed)) |> add(repaired)
      {if(failed == [], do: :healed, else: :failed), about}
    else
      {:error, reason} -> {:failed, Map.put(about, :failed, reason)}
    end
  end

  # The winners among themselves first: as long as the partition is there, who begins again does that again.
  defp repair(repairs) do
    Enum.reduce_while(repairs, {:ok, []}, fn {node, tables}, {:ok, done} ->
      case call(node, Repair, :run, [tables], :infinity) do
        {:ok, path, counts} -> {:cont, {:ok, [{node, path, counts} | done]}}
        {:error, reason} -> {:halt, {:error, [{node, reason}]}}
      end
    end)
  end

  defp add(about, repaired) do
    files = for {node, path, _} when path != nil <- repaired, do: {node, path}
    counts = total(for {_, _, counts} <- repaired, do: counts)
    about |> Map.update!(:files, &(&1 ++ files)) |> Map.put(:repaired, counts)
  end

  # In the order of the nodes' names, which is that of the stops.
  defp begin(plan, winners, policy) do
    Enum.reduce_while(Enum.sort(plan), {:ok, []}, fn {node, work}, {:ok, sides} ->
      arguments = [self(), Map.put(work, :winners, winners), policy]

      case call(node, Side, :begin, arguments) do
        {:ok, side} ->
          {:cont, {:ok, sides ++ [{node, side}]}}

        {:error, reason} ->
          give_up(sides)
          {:halt, {:error, [{node, reason}]}}
      end
    end)
  end

  defp call(node, module, function, arguments, timeout \\ @start_timeout) do
    :erpc.call(node, module, function, arguments, timeout)
  catch
    _class, reason -> {:error, reason}
  end

  defp give_up(sides), do: for({_node, side} <- sides, do: send(side, {:give_up, self()}))

  # All of them, or none.
  defp compared(sides, monitors) do
    waiting = for {_node, side} <- sides, do: side
    wait_compared(waiting, sides, monitors)
  end

  defp wait_compared([], _sides, _monitors), do: :ok

  defp wait_compared(waiting, sides, monitors) do
    receive do
      {:compared, side} ->
        wait_compared(List.delete(waiting, side), sides, monitors)

      {:DOWN, monitor, _, _, reason} when is_map_key(monitors, monitor) ->
        give_up(sides)
        {node, _side} = monitors[monitor]
        {:error, [{node, reason}]}
    end
  end

  defp results(monitors, done, failed) when map_size(monitors) == 0, do: {done, failed}

  defp results(monitors, done, failed) do
    receive do
      {:done, side, result} ->
        {monitor, {node, _}} = Enum.find(monitors, fn {_, {_, pid}} -> pid == side end)
        Process.demonitor(monitor, [:flush])
        results(Map.delete(monitors, monitor), [{node, result} | done], failed)

      {:DOWN, monitor, _, _, reason} when is_map_key(monitors, monitor) ->
        {{node, _side}, monitors} = Map.pop(monitors, monitor)
        results(monitors, done, [{node, reason} | failed])
    end
  end

  defp summary(done, failed) do
    unfinished = for {node, %{finished: {:error, reason}}} <- done, do: {node, reason}

    %{
      files: for({node, %{path: path}} when path != nil <- done, do: {node, path}),
      losing: total(for {_, %{losing: counts}} <- done, do: counts),
      merged: total(for {_, %{finished: {:ok, %{merged: counts}}}} <- done, do: counts),
      refused: total(for {_, %{finished: {:ok, %{refused: counts}}}} <- done, do: counts),
      failed: failed ++ unfinished
    }
  end

  defp total(maps), do: Enum.reduce(maps, %{}, &Map.merge(&1, &2, fn _table, a, b -> a + b end))
end
