defmodule Remnesia.Engine.Cluster.Explain do
  @moduledoc false

  # What a search does where Mnesia reads the table, here or on another node. Stock's storage knows a key that is bound in the head, and looks at every
  # record else. Mnesia locks the table unless the key is bound there.

  alias Remnesia.Engine.Cluster.Info
  alias Remnesia.Engine.Local.{Explain, Signal}
  alias Remnesia.Native

  @spec plan(atom, list) :: tuple
  def plan(table, spec) do
    with plan when elem(plan, 0) != :bad_spec <- at(table, :plan_here, [table, spec]),
         do: put_elem(plan, 2, if(key(spec), do: :record, else: :table))
  end

  @spec run(atom, list) :: {non_neg_integer, non_neg_integer, non_neg_integer}
  def run(table, spec), do: at(table, :run_here, [table, spec])

  defp at(table, function, arguments) do
    case where(table) do
      node when node == node() -> apply(__MODULE__, function, arguments)
      :nowhere -> Signal.abort({:no_exists, table})
      node -> answer(:rpc.call(node, __MODULE__, function, arguments), node)
    end
  end

  defp where(table) do
    Info.table(table, :where_to_read)
  catch
    :exit, {:aborted, {:no_exists, ^table, _item}} -> :nowhere
  end

  defp answer({:badrpc, {:EXIT, {:aborted, reason}}}, _node), do: Signal.abort(reason)
  defp answer({:badrpc, reason}, node), do: Signal.abort({:not_reachable, node, reason})
  defp answer(answer, _node), do: answer

  @doc "The plan of a search of the copy that is here."
  @spec plan_here(atom, list) :: tuple
  def plan_here(table, spec),
    do: if(native?(table), do: Explain.plan({:mnesia, table}, spec), else: stock(table, spec))

  @doc "What a search of the copy that is here looks at and finds, and how long it takes."
  @spec run_here(atom, list) :: {non_neg_integer, non_neg_integer, non_neg_integer}
  def run_here(table, spec) do
    if native?(table) do
      Explain.run({:mnesia, table}, spec)
    else
      {time, found} = :timer.tc(:mnesia, :dirty_select, [table, spec])
      {rows(table, key(spec)), length(found), time}
    end
  end

  defp native?(table), do: Native.table_props({:mnesia, table}) != :error

  defp stock(table, spec) do
    record = List.to_tuple([Info.table(table, :record_name) | Info.table(table, :attributes)])

    with {:ok, _result} <- Native.spec_test(record, spec) do
      scan = {:exact, rows(table, nil)}

      case key(spec) do
        nil ->
          {:scan, [], :table, scan, [{:scan, scan}], []}

        {key} = bound ->
          found = {:exact, rows(table, bound)}
          only = {nil, {key, true}, {key, true}}
          {:key, [{2, [only]}], :record, found, [{:key, found}, {:scan, scan}], []}
      end
    else
      {:error, reason} -> {:bad_spec, reason}
    end
  end

  defp rows(table, nil), do: Info.table(table, :size)
  defp rows(table, {key}), do: length(:mnesia.dirty_read(table, key))

  # The key that a spec of one clause binds.
  defp key([{head, _guards, _body}]) when is_tuple(head) and tuple_size(head) > 1 do
    key = elem(head, 1)
    if :mnesia.has_var(key), do: nil, else: {key}
  end

  defp key(_spec), do: nil
end
