defmodule Remnesia.Engine.Local.Dirty do
  @moduledoc false

  # Access without a transaction: one NIF call, no lock, committed data only. A dirty function stays dirty inside a
  # transaction. What goes wrong leaves as an exit, in the shapes Mnesia gives to each.

  alias Remnesia.Engine.Cstruct
  alias Remnesia.Engine.Local.{Index, Pattern, Scan, Signal, Wait, Watch}
  alias Remnesia.Native

  # --- by key ---

  @spec read(term, term) :: [tuple] | no_return
  def read(table, key) do
    case Native.read(nil, table, key, :read) do
      records when is_list(records) -> records
      {:"$error", reason} -> refuse(table, [table, key], reason)
    end
  end

  @spec write(term, term) :: :ok | no_return
  def write(table, record)
      when is_atom(table) and table != :schema and is_tuple(record) and tuple_size(record) > 2 do
    case Native.write(nil, table, record, :write) do
      :ok -> :ok
      {:"$watched", old, :ok} -> Watch.written(table, record, old)
      signal -> written(signal, table, record)
    end
  end

  def write(table, record), do: Signal.abort({:bad_type, table, record})

  defp written(signal, table, record),
    do: settle(signal, :write, [nil, table, record, :write], elem(record, 1), table)

  @spec delete(term, term) :: :ok | no_return
  def delete(table, key) do
    case Native.delete(nil, table, key) do
      :ok -> :ok
      signal -> settle(signal, :delete, [nil, table, key], key, {table, :where_to_commit})
    end
  end

  @spec delete_object(term, term) :: :ok | no_return
  def delete_object(table, record)
      when is_atom(table) and table != :schema and is_tuple(record) and tuple_size(record) > 2 do
    if Pattern.variable?(record), do: Signal.abort({:bad_type, table, record})
    arguments = [nil, table, record]
    key = elem(record, 1)

    settle(apply(Native, :delete_object, arguments), :delete_object, arguments, key, {
      table,
      :where_to_commit
    })
  end

  def delete_object(table, record), do: Signal.abort({:bad_type, table, record})

  @spec update_counter(term, term, term) :: integer | no_return
  def update_counter(table, key, increment)
      when is_atom(table) and table != :schema and is_integer(increment) do
    case Native.update_counter(nil, table, key, increment) do
      value when is_integer(value) ->
        value

      signal ->
        settle(signal, :update_counter, [nil, table, key, increment], key, table)
    end
  end

  def update_counter(table, _key, increment), do: Signal.abort({:bad_type, table, increment})

  # --- searches ---

  @spec match_object(term, term) :: [tuple] | no_return
  def match_object(table, pattern)
      when is_atom(table) and table != :schema and is_tuple(pattern) and tuple_size(pattern) > 2 do
    spec = [{pattern, [], [:"$_"]}]

    answer =
      case Native.select(nil, table, spec, :read, 0) do
        {:done, found} -> found
        answer -> scanned(answer, :select, [nil, table, spec, :read, 0], [table, pattern])
      end

    with [] <- answer do
      Index.check_length(table, pattern)
      []
    end
  end

  def match_object(table, pattern), do: Signal.abort({:bad_type, table, pattern})

  @spec select(term, term) :: [term] | no_return
  def select(table, spec) when is_atom(table) and table != :schema and is_list(spec) do
    # What is found in one slice costs one call and no lists of arguments.
    case Native.select(nil, table, spec, :read, 0) do
      {:done, found} -> found
      answer -> scanned(answer, :select, [nil, table, spec, :read, 0], [table, spec])
    end
  end

  def select(table, spec), do: Signal.abort({:bad_type, table, spec})

  @doc "The first chunk of a search, in the activity of this id."
  @spec select(term, list, integer, term) ::
          {[term], Scan.continuation()} | :"$end_of_table" | no_return
  def select(table, spec, limit, id) do
    stored!(table)
    if limit not in chunk_sizes(), do: refuse_chunk(table, spec, limit)
    arguments = [nil, table, spec, :read, limit]
    answer = apply(Native, :select, arguments)
    if match?({:"$error", {:badarg, _}}, answer), do: refuse_chunk(table, spec, limit)
    answer = checked(answer, table, [table, spec, limit])
    Scan.chunk(answer, :select, arguments, Scan.dirty_template(id, table, spec))
  end

  @doc "What `ets` takes for a limit."
  @spec chunk_sizes() :: Range.t()
  def chunk_sizes, do: 1..576_460_752_303_423_487

  @doc "A search in chunks that is none."
  @spec refuse_chunk(atom, term, term) :: no_return
  def refuse_chunk(table, spec, limit) do
    {:ok, cstruct} = Native.table_props(table)
    type = Cstruct.storage_type(cstruct, node())
    Signal.abort({:badarg, [type, table, spec, limit]})
  end

  @doc "Where Mnesia asks how a table is stored, it says so of one that is not there."
  @spec stored!(term) :: :ok | no_return
  def stored!(table), do: known!(table, :disc_copies)

  @doc "Where Mnesia asks something of a table, it says what it asked of one that is not there, or that it does not run."
  @spec known!(term, atom) :: :ok | no_return
  def known!(table, item) do
    cond do
      Native.table_size(table) != :error -> :ok
      Native.running() -> Signal.abort({:no_exists, {table, item}})
      true -> Signal.abort({:node_not_running, node()})
    end
  end

  @spec index_read(term, term, term) :: [tuple] | no_return
  def index_read(table, value, attribute), do: Index.dirty_lookup(table, value, attribute)

  @spec index_match_object(term, term, term) :: [tuple] | no_return
  def index_match_object(table, pattern, attribute) do
    Index.check_pattern(table, pattern, attribute, & &1)
    match_object(table, pattern)
  end

  @doc "The records that have a value at an indexed position."
  @spec index_lookup(term, term, pos_integer) :: [tuple] | no_return
  def index_lookup(table, value, position) do
    case Native.index_read(nil, table, value, position) do
      {:done, records} ->
        records

      answer ->
        scanned(answer, :index_read, [nil, table, value, position], [table, value, position])
    end
  end

  defp scan(operation, arguments, item),
    do: operation |> call(arguments) |> scanned(operation, arguments, item)

  defp call(operation, arguments), do: apply(Native, operation, arguments)

  defp scanned(answer, operation, [_ctx, table | _] = arguments, item),
    do: answer |> checked(table, item) |> Scan.all(operation, arguments)

  defp checked({:"$error", reason}, table, item), do: refuse(table, item, reason)
  defp checked(answer, _table, _item), do: answer

  # --- keys ---

  @spec all_keys(term) :: [term] | no_return
  def all_keys(table) when is_atom(table) and table != :schema,
    do: scan(:all_keys, [nil, table], table)

  def all_keys(table), do: Signal.abort({:bad_type, table})

  # The NIFs are called by name: a call of one by its name in a variable costs as much as what it does.
  @spec first(term) :: term | no_return
  def first(table), do: found(Native.first(nil, table), table, :none)
  @spec last(term) :: term | no_return
  def last(table), do: found(Native.last(nil, table), table, :none)
  @spec next(term, term) :: term | no_return
  def next(table, key), do: found(Native.next(nil, table, key), table, {:of, key})
  @spec prev(term, term) :: term | no_return
  def prev(table, key), do: found(Native.prev(nil, table, key), table, {:of, key})

  @spec last_number(term) :: number | nil | no_return
  def last_number(table) do
    case Native.last_number(nil, table) do
      {:"$error", reason} -> refuse(table, [table], reason)
      number -> number
    end
  end

  defp found({:ok, key}, _table, _of), do: key
  defp found(:"$end_of_table", _table, _of), do: :"$end_of_table"
  defp found({:"$error", reason}, table, :none), do: refuse(table, [table], reason)
  defp found({:"$error", reason}, table, {:of, key}), do: refuse(table, [table, key], reason)

  # --- what is not a value ---

  # A large commit may hold the key: wait for it, then do the call again.
  defp settle(:"$commit_wait", operation, arguments, key, item) do
    Wait.commit(Enum.at(arguments, 1), key)
    settle(apply(Native, operation, arguments), operation, arguments, key, item)
  end

  # The log has no room: wait for it, then do the call again.
  defp settle({:"$room", bytes}, operation, arguments, key, item) do
    Wait.room(bytes)
    settle(apply(Native, operation, arguments), operation, arguments, key, item)
  end

  defp settle({:"$sync", position}, _operation, arguments, _key, item),
    do: durable(position, :ok, arguments, item)

  defp settle({:"$sync", position, value}, _operation, arguments, _key, item),
    do: durable(position, value, arguments, item)

  # The table is being rebuilt by a transaction.
  defp settle(:"$frozen", operation, arguments, key, item) do
    Process.sleep(1)
    settle(apply(Native, operation, arguments), operation, arguments, key, item)
  end

  # What has to be done again is told again: the arguments stay as they are.
  defp settle(:"$watched", operation, arguments, key, item),
    do: settle(Watch.dirty(operation, arguments), operation, arguments, key, item)

  defp settle({:"$watched", old, answer}, :write, [_, table, record, _] = arguments, key, item) do
    Watch.written(table, record, old)
    settle(answer, :write, arguments, key, item)
  end

  # What a table cannot count comes before what it may not.
  defp settle({:"$error", {:read_only, table}}, :update_counter, _arguments, _key, _item) do
    case Native.table_props(table) do
      {:ok, %{attributes: [_, _], type: type}} when type in [:set, :ordered_set] ->
        Signal.abort({:no_exists, table})

      _other ->
        Signal.abort({:combine_error, table, :update_counter})
    end
  end

  # What the table cannot have is not there to be deleted.
  defp settle({:"$error", {:bad_type, record}}, :delete_object, [_, table, record], _key, _item) do
    case Native.table_props(table) do
      {:ok, %{access_mode: :read_only}} -> Signal.abort({:no_exists, table})
      _writable -> :ok
    end
  end

  defp settle({:"$error", reason}, _operation, arguments, _key, item),
    do: refuse(Enum.at(arguments, 1), item, reason)

  defp settle(value, _operation, _arguments, _key, _item), do: value

  defp durable(position, value, arguments, item) do
    case Wait.durable(position) do
      :ok -> value
      {:"$error", reason} -> refuse(Enum.at(arguments, 1), item, reason)
    end
  end

  @doc "Leaves as Mnesia does where there is no such table, or else with the reason."
  @spec refuse(term, term, term) :: no_return
  def refuse(table, _item, {:no_exists, table}) when not is_atom(table) or table == :schema,
    do: Signal.abort({:bad_type, table})

  def refuse(table, _item, :not_running) when not is_atom(table) or table == :schema,
    do: Signal.abort({:bad_type, table})

  def refuse(_table, {_, :where_to_commit}, :not_running),
    do: Signal.abort({:node_not_running, node()})

  def refuse(table, item, reason) when reason == :not_running or reason == {:no_exists, table},
    do: Signal.abort({:no_exists, item})

  def refuse(table, item, reason) do
    # A bad argument of a function that looks for the table itself: there may be none.
    if match?({:badarg, _}, reason) and Native.table_props(table) == :error,
      do: Signal.abort({:no_exists, item}),
      else: Signal.abort(Signal.reason(reason))
  end
end
