defmodule Remnesia.Engine.Local.FragmentChange do
  @moduledoc false

  # change_table_frag: tables become fragmented and plain again, get a fragment more or lose the last one. The fragments of tables whose
  # foreign key names this one change with it.

  alias Remnesia.Engine.Cstruct
  alias Remnesia.Engine.Local.{Definitions, FragmentCstruct, FragmentMove, Fragments}
  alias Remnesia.Engine.Local.{Schema, Signal, Tables}
  alias Remnesia.Events

  @doc "Changes the fragments of a table."
  @spec change(term, term) :: {:atomic, :ok} | {:aborted, term}
  def change(table, change) do
    Schema.change(fn txn ->
      if not is_atom(table) or table == :schema, do: Signal.abort({:bad_type, table})
      apply_change(txn, table, change)
      :ok
    end)
  end

  # --- fragmented or not ---

  defp apply_change(_txn, table, {:activate, properties}) do
    case next(table) do
      %{frag_properties: []} = cstruct ->
        [changed] = FragmentCstruct.expand!(%{cstruct | frag_properties: properties}, :activate)
        stored(changed)

      %{frag_properties: properties} ->
        Signal.abort({:already_exists, table, {:frag_properties, properties}})
    end
  end

  defp apply_change(_txn, table, :deactivate) do
    cstruct = next(table)
    foreigners = Fragments.foreigners(table)
    base = Fragments.property!(table, :base_table)
    {:frag_state, _, n, _, _} = Fragments.state!(table)

    cond do
      base != table ->
        Signal.abort({:combine_error, table, ~c"Not a base table"})

      foreigners != [] ->
        Signal.abort({:combine_error, table, ~c"Too many foreigners", foreigners})

      n > 1 ->
        Signal.abort({:combine_error, table, ~c"Too many fragments"})

      true ->
        stored(%{cstruct | frag_properties: []})
    end
  end

  # --- fragments ---

  defp apply_change(txn, table, {:add_frag, nodes}) when is_list(nodes) do
    leading!(table)
    steps = for one <- [table | Fragments.foreigners(table)], do: plan_add(one, nodes)
    FragmentMove.run(txn, steps)
  end

  defp apply_change(_txn, table, {:add_frag, nodes}), do: Signal.abort({:bad_type, table, nodes})

  defp apply_change(txn, table, :del_frag) do
    leading!(table)
    steps = for one <- [table | Fragments.foreigners(table)], do: plan_remove(one)
    FragmentMove.run(txn, steps)
  end

  # --- the nodes that fragments may be on ---

  defp apply_change(_txn, table, {:add_node, node}) do
    leading!(table)

    change_pools(table, node, fn pool, one ->
      if node in pool, do: Signal.abort({:already_exists, one, node}), else: pool ++ [node]
    end)
  end

  defp apply_change(_txn, table, {:del_node, node}) do
    leading!(table)

    change_pools(table, node, fn pool, one ->
      if node in pool, do: pool -- [node], else: Signal.abort({:no_exists, one, node})
    end)
  end

  defp apply_change(_txn, table, other), do: Signal.abort({:bad_type, table, other})

  defp change_pools(table, node, fun) do
    changed =
      for one <- [table | Fragments.foreigners(table)] do
        if not is_atom(node), do: Signal.abort({:bad_type, one, node})
        pool = one |> Fragments.property!(:node_pool) |> fun.(one)
        cstruct = next(one)

        %{
          cstruct
          | frag_properties:
              List.keyreplace(cstruct.frag_properties, :node_pool, 0, {:node_pool, pool})
        }
      end

    Enum.each(changed, &stored/1)
  end

  # --- plans ---

  # One that follows another table changes with that.
  defp leading!(table) do
    case Fragments.state!(table) do
      {:frag_state, :undefined, _, _, _} ->
        :ok

      {:frag_state, foreign, _, _, _} ->
        text = ~c"Op only allowed via foreign table"
        Signal.abort({:combine_error, table, text, {:foreign_key, foreign}})
    end
  end

  defp plan_add(table, nodes) do
    cstruct = next(table)
    {state, from, all} = Fragments.add(Fragments.state!(table))
    {:frag_state, _, n, _, _} = state

    counts = for kind <- [:ram_copies, :disc_copies, :disc_only_copies], do: count(cstruct, kind)

    empty = %{
      cstruct
      | name: Fragments.name(table, n),
        frag_properties: [base_table: table],
        ram_copies: [],
        disc_copies: [],
        disc_only_copies: []
    }

    {new, _used, _rest} = FragmentCstruct.copies!(empty, counts ++ [0], nodes)
    Tables.free!(new.name)
    Cstruct.check!(new)
    plan = plan(table, cstruct, state, from, all)
    Map.merge(plan, %{what: :add_frag, new: new, last: nil})
  end

  defp count(cstruct, kind), do: length(Map.fetch!(cstruct, kind))

  defp plan_remove(table) do
    case Fragments.state!(table) do
      {:frag_state, _, n, _, _} = before when n > 1 ->
        cstruct = next(table)
        {state, from, all} = Fragments.remove(before)
        last = Fragments.name(table, n)
        Schema.writable!(last)
        plan = plan(table, cstruct, state, from, all)
        Map.merge(plan, %{what: :del_frag, new: nil, last: last})

      _the_last_one ->
        Signal.abort({:no_exists, table})
    end
  end

  # `locked`: the fragments that may change, by their numbers.
  defp plan(table, cstruct, state, from, all) do
    %{
      base: Fragments.put_state(cstruct, state),
      state: state,
      from: from,
      locked: Map.new(all, &{&1, Fragments.name(table, &1)})
    }
  end

  # --- definitions ---

  defp next(table),
    do: table |> Schema.existing!({:no_exists, {table, :cstruct}}) |> Cstruct.next_version()

  @doc "Puts a changed definition in the place of the one before."
  @spec stored(Cstruct.t()) :: :ok
  def stored(cstruct) do
    {:ok, before} = Definitions.fetch(cstruct.name)
    Definitions.store(cstruct)
    told(cstruct, before)
  end

  @doc "Tells of a changed definition."
  @spec told(Cstruct.t(), Cstruct.t()) :: :ok
  def told(cstruct, before) do
    Events.refresh(cstruct.name)
    Schema.tell(:write, cstruct, [before])
  end
end
