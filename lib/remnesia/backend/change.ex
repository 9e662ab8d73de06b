defmodule Remnesia.Backend.Change do
  @moduledoc false

  # Changes of a table that Mnesia has committed. They happen in the writing process or, on other replicas, in `mnesia_tm`. Nothing that is
  # raised here reaches anybody: Mnesia swallows it and answers that all is well. So what can be refused is refused before the commit
  # (`accepts!/1`), and a change that then fails halts the node, before it can show a state that other replicas do not have.

  alias Remnesia.Backend.{Fatal, Table}
  alias Remnesia.Engine.Local.{Disc, Wait}
  alias Remnesia.Native

  # Tables whose changes this process leaves out: Mnesia replays its log.
  @replay :"$remnesia_replay"

  @doc "The answer that lets Mnesia go on, unless the disc takes no commits at present."
  @spec accepts!(answer) :: answer | no_return when answer: tuple
  def accepts!(answer) do
    case Disc.refusal() do
      nil -> answer
      reason -> exit({:aborted, {:not_durable, reason}})
    end
  end

  @spec insert(atom, tuple) :: :ok
  def insert(table, record) do
    case :erlang.get(@replay) do
      :undefined ->
        case Native.write(nil, {:mnesia, table}, record, :write) do
          :ok -> :ok
          other -> settle(other, :write, [nil, {:mnesia, table}, record, :write])
        end

      replayed ->
        if table in replayed, do: :ok, else: run(:write, table, [record, :write])
    end
  end

  @spec delete(atom, term) :: :ok
  def delete(table, key), do: unless_replayed(:delete, table, [key])

  @spec delete_object(atom, tuple) :: :ok
  def delete_object(table, record), do: unless_replayed(:delete_object, table, [record])

  @spec clear(atom) :: :ok
  def clear(table), do: unless_replayed(:table_clear, table, [])

  # Mnesia wants an error for a key that is not there, and then writes the increment, or 0 below it. The native counter has the same
  # outcome in one step.
  @spec update_counter(atom, term, integer) :: integer
  def update_counter(table, key, increment) do
    if replayed?(table), do: increment, else: run(:update_counter, table, [key, increment])
  end

  defp unless_replayed(operation, table, arguments),
    do: if(replayed?(table), do: :ok, else: run(operation, table, arguments))

  defp replayed?(table) do
    case :erlang.get(@replay) do
      :undefined -> false
      replayed -> table in replayed
    end
  end

  defp run(operation, table, arguments) do
    arguments = [nil, {:mnesia, table} | arguments]
    settle(apply(Native, operation, arguments), operation, arguments)
  end

  @doc "Leaves out the changes of a table by this process, or no longer."
  @spec replay(atom, boolean) :: :ok
  def replay(table, leave_out?) do
    replayed = List.wrap(with :undefined <- :erlang.get(@replay), do: [])
    replayed = if leave_out?, do: Enum.uniq([table | replayed]), else: replayed -- [table]
    if replayed == [], do: :erlang.erase(@replay), else: :erlang.put(@replay, replayed)
    :ok
  end

  # --- what is not a value ---

  defp settle(:ok, _operation, _arguments), do: :ok
  defp settle(value, :update_counter, _arguments) when is_integer(value), do: value

  defp settle({:"$room", bytes}, operation, arguments) do
    Wait.room(bytes)
    settle(apply(Native, operation, arguments), operation, arguments)
  end

  defp settle({:"$sync", position}, operation, arguments),
    do: durable(position, :ok, operation, arguments)

  defp settle({:"$sync", position, value}, operation, arguments),
    do: durable(position, value, operation, arguments)

  defp settle(busy, operation, arguments) when busy in [:"$commit_wait", :"$frozen"] do
    Process.sleep(1)
    settle(apply(Native, operation, arguments), operation, arguments)
  end

  # What the table cannot have is not there to be deleted.
  defp settle({:"$error", {:bad_type, _}}, :delete_object, _arguments), do: :ok

  # transform_table writes records of another size; nothing is said to the plug-in before.
  defp settle({:"$error", {:bad_type, record}}, :write, [_, {:mnesia, table} | _] = arguments) do
    if is_tuple(record) and Table.reshape(table, tuple_size(record)),
      do: settle(apply(Native, :write, arguments), :write, arguments),
      else: Fatal.halt(:write, table, {:bad_type, record})
  end

  defp settle({:"$error", {:bad_type, _, _}}, :update_counter, [_, {:mnesia, table}, key, by]),
    do: large_counter(table, key, by)

  # The table was deleted meanwhile, as ETS says it.
  defp settle({:"$error", {:no_exists, _}}, _operation, _arguments), do: :erlang.error(:badarg)

  defp settle({:"$error", reason}, operation, [_, {:mnesia, table} | _]),
    do: Fatal.halt(operation, table, reason)

  # Not made either, whatever it means.
  defp settle(other, operation, [_, {:mnesia, table} | _]),
    do: Fatal.halt(operation, table, other)

  defp durable(position, value, operation, [_, {:mnesia, table} | _]) do
    with {:"$error", reason} <- Wait.durable(position), do: Fatal.halt(operation, table, reason)
    value
  end

  # An increment that is no small integer.
  defp large_counter(table, key, increment) do
    case Native.read(nil, {:mnesia, table}, key, :read) do
      [{name, key, value}] when is_integer(value) ->
        value = max(value + increment, 0)
        :ok = insert(table, {name, key, value})
        value

      _no_number ->
        :erlang.error(:badarg)
    end
  end
end
