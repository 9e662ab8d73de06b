defmodule Remnesia.Engine.Local.Watch do
  @moduledoc false

  # Changes that subscribers are told of.
  #
  # The native side has a flag on each watched table. A change of one within a transaction answers `:"$watched"`, and is noted here, in
  # the process dictionary; the commit of such a transaction answers so too, and is cut in three (native/engine/src/txn/watch.rs),
  # so that messages about a record come in the order of its changes. Outside of transactions a change of a watched table is refused with
  # `:"$watched"` and made again from here, but for a write, which is made and answers what was there. Where nobody listens none of this is called.
  #
  # A note is `{level, operation}`; the level is the nesting depth, so that an inner transaction that fails takes its own with it.

  alias Remnesia.Engine.Local.{Activity, Dirty, Disc, Wait}
  alias Remnesia.{Events, Native}

  @key :"$remnesia_changes"
  @watched :"$watched"

  @type change ::
          {:write, atom, tuple} | {:delete, atom, term} | {:delete_object, atom, tuple}

  # --- within transactions ---

  @doc "Notes a change of the process's transaction."
  @spec note(atom, [term]) :: :ok
  def note(operation, [txn, table, item | _]) do
    serial = Native.txn_serial(txn)
    note = {Native.txn_depth(txn), {operation, table, item}}

    # Notes of an earlier transaction are those of a table that was not watched any more when it committed.
    case :erlang.get(@key) do
      {^serial, notes} -> :erlang.put(@key, {serial, [note | notes]})
      _none -> :erlang.put(@key, {serial, [note]})
    end

    :ok
  end

  @doc "The innermost level is part of the one below it now."
  @spec merge_level(reference) :: :ok
  def merge_level(txn) do
    level = Native.txn_depth(txn)
    change_notes(fn notes -> Enum.map(notes, fn {at, note} -> {min(at, level), note} end) end)
  end

  @doc "The innermost level fails."
  @spec drop_level(reference) :: :ok
  def drop_level(txn) do
    if :erlang.get(@key) != :undefined do
      level = Native.txn_depth(txn)
      change_notes(fn notes -> Enum.reject(notes, fn {at, _note} -> at >= level end) end)
    end

    :ok
  end

  defp change_notes(fun) do
    with {serial, notes} <- :erlang.get(@key), do: :erlang.put(@key, {serial, fun.(notes)})
    :ok
  end

  @doc "The transaction fails as a whole."
  @spec forget() :: term
  def forget, do: :erlang.erase(@key)

  @doc "Commits a transaction that is prepared, and tells."
  @spec commit(reference) :: :ok | {:"$error", term}
  def commit(txn) do
    id = Activity.id(txn)
    changes = take(txn)
    messages = changes |> resulting() |> Enum.flat_map(&messages(&1, id))

    with changed? when is_boolean(changed?) <-
           Wait.with_room(fn -> Native.txn_publish(txn) end) do
      Events.deliver(messages)
      if changed? or changes != [], do: Events.complete(id)
      # Nothing of it is left but its locks.
      Native.txn_end(txn)
      Disc.wait_if_synchronous(txn)
    end
  end

  defp take(txn) do
    serial = Native.txn_serial(txn)

    case :erlang.erase(@key) do
      {^serial, notes} -> notes |> Enum.reverse() |> Enum.map(&elem(&1, 1))
      _none -> []
    end
  end

  # --- what is left of the changes at commit, by Mnesia's rules ---

  @doc "The changes that a commit makes, as `{{table, key}, type, [change]}` in the order of the keys' first change."
  @spec resulting([change]) :: [{{atom, term}, atom, [change]}]
  def resulting(changes) do
    {order, by_record} =
      Enum.reduce(changes, {[], %{}}, fn change, {order, by_record} ->
        record = record_id(change)
        before = Map.get(by_record, record)
        order = if before == nil, do: [record | order], else: order
        {order, Map.put(by_record, record, add(type(record), change, before || []))}
      end)

    order |> Enum.reverse() |> Enum.map(&{&1, type(&1), Enum.reverse(by_record[&1])})
  end

  defp record_id({:delete, table, key}), do: {table, key}
  defp record_id({_operation, table, record}), do: {table, elem(record, 1)}

  defp type({table, _key}), do: table |> Events.table() |> elem(0)

  # The newest change comes first.
  defp add(_type, {:delete, _, _} = change, _before), do: [change]

  defp add(type, {:write, _, _} = change, before) when type in [:bag, :duplicate_bag],
    do: if(type == :bag and change in before, do: before, else: [change | before])

  defp add(_type, {:write, _, _} = change, _before), do: [change]

  defp add(type, {:delete_object, table, record} = change, before)
       when type in [:bag, :duplicate_bag],
       do: [change | before -- [{:write, table, record}, change]]

  defp add(_type, {:delete_object, table, record} = change, before) do
    cond do
      {:write, table, record} in before -> [{:delete, table, elem(record, 1)}]
      Enum.any?(before, &(elem(&1, 0) != :delete_object)) -> before
      true -> [change | before -- [change]]
    end
  end

  # --- messages ---

  @doc "What subscribers are told of the changes of a record, which has not been changed yet."
  @spec messages({{atom, term}, atom, [change]}, tuple) :: [{[pid], tuple}]
  def messages({{table, key}, type, changes}, id) do
    {simple, detailed} = Events.subscribers(table)
    old = if detailed == [], do: [], else: Dirty.read(table, key)

    {messages, _old} =
      Enum.map_reduce(changes, old, fn change, old ->
        told = [
          {simple, simple(change, id)},
          {detailed, if(detailed != [], do: detailed(change, old, id))}
        ]

        {told, after_change(type, change, old)}
      end)

    List.flatten(messages)
  end

  defp simple({:write, table, record}, id), do: {:write, put_elem(record, 0, table), id}
  defp simple({:delete, table, key}, id), do: {:delete, {table, key}, id}

  defp simple({:delete_object, table, record}, id),
    do: {:delete_object, put_elem(record, 0, table), id}

  defp detailed({:write, table, record}, old, id), do: {:write, table, record, old, id}
  defp detailed({:delete, table, key}, old, id), do: {:delete, table, {table, key}, old, id}

  defp detailed({:delete_object, table, record}, _old, id),
    do: {:delete, table, record, [record], id}

  defp after_change(_type, {:delete, _, _}, _old), do: []
  defp after_change(:bag, {:write, _, record}, old), do: List.delete(old, record) ++ [record]
  defp after_change(:duplicate_bag, {:write, _, record}, old), do: old ++ [record]
  defp after_change(_type, {:write, _, record}, _old), do: [record]
  defp after_change(_type, {:delete_object, _, record}, old), do: List.delete(old, record)

  # --- outside of transactions ---

  @doc "Makes a change of a watched table that is no transaction's, and tells."
  @spec dirty(atom, [term]) :: term
  def dirty(:update_counter, [_ctx, table, key, increment] = arguments) do
    {simple, detailed, _type, record_name} = Events.watchers(table)
    old = Dirty.read(table, key)
    answer = watched(:update_counter, arguments)

    with value when is_integer(value) <- counted(answer) do
      record = {record_name, key, value}
      # Mnesia tells the old record only where the new value is the sum.
      before = put_elem(record, 2, value - increment)
      old = if match?([{_, _, was}] when was == value - increment, old), do: [before], else: []
      tell({:write, table, record}, simple, detailed, old)
    end

    answer
  end

  def dirty(operation, [_ctx, table, item | _] = arguments) do
    change = {operation, table, item}
    {simple, detailed, _type, _record_name} = Events.watchers(table)
    old = if detailed == [], do: [], else: Dirty.read(table, key(change))
    answer = watched(operation, arguments)
    if done?(answer), do: tell(change, simple, detailed, old)
    answer
  end

  @doc "Tells of a write that is done: the most frequent change brings along what was there before."
  @spec written(atom, tuple, [tuple]) :: :ok
  def written(table, record, old) do
    {simple, detailed, _type, _record_name} = Events.watchers(table)
    tell({:write, table, record}, simple, detailed, old)
  end

  # Where every commit is waited for the answer is what to wait for.
  defp done?(answer), do: answer == :ok or match?({:"$sync", _position}, answer)

  defp counted({:"$sync", _position, value}), do: value
  defp counted(answer), do: answer

  defp key({:delete, _table, key}), do: key
  defp key({_operation, _table, record}), do: elem(record, 1)

  defp tell(change, simple, detailed, old) do
    id = {:dirty, self()}
    if simple != [], do: Events.tell(simple, simple(change, id))
    if detailed != [], do: Events.tell(detailed, detailed(change, old, id))
    :ok
  end

  defp watched(operation, [_ctx | arguments]),
    do: apply(Native, operation, [@watched | arguments])
end
