defmodule Remnesia.Mnesia.Handle do
  @moduledoc """
  Tables of `:remnesia` as handles for `:qlc`.

      :remnesia.transaction(fn ->
        :qlc.e(:qlc.q([name || {:city, name, :norway, _} <- :remnesia.table(:city)]))
      end)

  A query uses the key and the indexes where it can, and sees what the transaction has written. A cursor (`:qlc.cursor/1`) reads in a process of its own,
  as a guest of the transaction that made it, until that ends.
  """

  alias Remnesia.Engine

  @defaults [traverse: :select, lock: :read, n_objects: 100]

  @doc """
  A handle for a table.

    * `:traverse` - `:select` (the default), or `{:select, spec}` for the records and projections of a match specification
    * `:lock` - `:read` (the default) or `:write`
    * `:n_objects` - records asked for at once, 100

  Other options are those of `:qlc.table/2`, which refuses unknown ones with `:badarg`.

      iex> {:atomic, all} = :remnesia.transaction(fn -> :qlc.e(:remnesia.table(:city)) end)
      iex> all
      [{:city, :oslo, :norway, 700_000}]
  """
  @spec table(atom, keyword | tuple) :: term
  def table(table, options \\ []) do
    {own, others} = options |> listed() |> split()
    {traversal, lookup} = traversal(table, own, options)

    :qlc.table(
      traversal,
      [
        pre_fun: &enter(&1, table),
        post_fun: fn -> :ok end,
        info_fun: &info(table, &1),
        parent_fun: fn -> {:remnesia_activity, Engine.get_activity_id()} end,
        format_fun: &format(&1, table, own, options)
      ] ++ lookup ++ others
    )
  end

  defp listed(options), do: if(is_list(options), do: options, else: [options])

  defp split(options) do
    Enum.reduce(@defaults, {%{}, options}, fn {key, default}, {own, rest} ->
      case List.keyfind(rest, key, 0) do
        {^key, value} -> {Map.put(own, key, value), List.keydelete(rest, key, 0)}
        nil -> {Map.put(own, key, default), rest}
      end
    end)
  end

  defp traversal(table, %{traverse: :select} = own, _options) do
    {fn spec -> chunks(table, spec, own) end, [lookup_fun: &lookup(table, own.lock, &1, &2)]}
  end

  defp traversal(table, %{traverse: {:select, spec}} = own, _options),
    do: {fn -> chunks(table, spec, own) end, []}

  defp traversal(table, %{traverse: other}, options),
    do: :erlang.error({:badarg, {other, [table, options]}})

  defp chunks(table, spec, own),
    do: chunk(Engine.select(table, spec, own.n_objects, own.lock))

  defp chunk(:"$end_of_table"), do: []
  defp chunk({[], continuation}), do: chunk(Engine.select(continuation))
  defp chunk({found, continuation}), do: found ++ fn -> chunk(Engine.select(continuation)) end

  defp lookup(table, lock, 2, keys), do: Enum.flat_map(keys, &Engine.read(table, &1, lock))

  defp lookup(table, _lock, position, values),
    do: Enum.flat_map(values, &Engine.index_read(table, &1, position))

  # The process of a cursor is in no activity of its own: it joins that of the process that made the query.
  defp enter(options, table) do
    if Engine.get_activity_id() == :undefined do
      case List.keyfind(options, :parent_value, 0) do
        {:parent_value, {:remnesia_activity, id}} when id != :undefined ->
          Engine.put_activity_id(id)

        _none ->
          Engine.abort(:no_transaction)
      end
    end

    if not Engine.is_transaction() and not Engine.table?(table),
      do: Engine.abort({:no_exists, [table, true, self()]})

    :ok
  end

  defp info(table, :num_of_objects), do: Engine.table_info(table, :size)
  defp info(_table, :keypos), do: 2
  defp info(_table, :is_unique_objects), do: true
  defp info(table, :is_unique_keys), do: Engine.table_info(table, :type) in [:set, :ordered_set]

  # The fragments of a table have an order each.
  defp info(table, :is_sorted_objects) do
    sorted? = Engine.table_info(table, :type) == :ordered_set and not Engine.fragmented?(table)
    if sorted?, do: :ascending, else: :no
  end

  defp info(table, :indices), do: Engine.table_info(table, :index)
  defp info(_table, _other), do: :undefined

  # How qlc:info/1,2 shows the handle.
  defp format(:all, table, own, options),
    do: {:remnesia, :table, [table, shown(own) ++ listed(options)]}

  defp format({:match_spec, spec}, table, own, options),
    do:
      {:remnesia, :table, [table, [{:traverse, {:select, spec}} | shown(own) ++ listed(options)]]}

  defp format({:lookup, 2, keys}, table, own, _options) do
    text = ~c"lists:flatmap(fun(V) -> remnesia:read(~tw, V, ~w) end, ~tw)"
    :io_lib.format(text, [table, own.lock, keys])
  end

  defp format({:lookup, position, values}, table, _own, _options) do
    text = ~c"lists:flatmap(fun(V) -> remnesia:index_read(~tw, V, ~w) end, ~tw)"
    :io_lib.format(text, [table, position, values])
  end

  defp shown(own), do: [n_objects: own.n_objects, lock: own.lock]
end
