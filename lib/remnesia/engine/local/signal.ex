defmodule Remnesia.Engine.Local.Signal do
  @moduledoc false

  # What the native side may answer in place of a value, and what to do then. All of it is off the hot path: an operation
  # calls the NIF itself and comes here only with an answer that is not its value.

  alias Remnesia.Engine.Local.{Wait, Watch}
  alias Remnesia.Native

  @doomed :"$remnesia_doomed"

  # The reason of the exit that unwinds the user's function before a rerun. Whoever catches it gains nothing: the
  # transaction stays doomed, in the native side until txn_restart and in the process dictionary until it was seen.
  @restart {:aborted, {:remnesia, :restart}}

  @doc """
  Acts on an answer in place of a value: waits and does the operation again until there is a value, or leaves by exit.

  `operation` is the name of the NIF, `arguments` begins with the transaction.
  """
  @spec settle(term, atom, [term]) :: term | no_return
  def settle(:"$wait", operation, [txn | _] = arguments) do
    case Wait.lock(txn) do
      :ok -> settle(apply(Native, operation, arguments), operation, arguments)
      :restart -> restart()
      {:"$error", reason} -> abort(reason(reason))
    end
  end

  def settle({:"$room", bytes}, operation, arguments) do
    Wait.room(bytes)
    settle(apply(Native, operation, arguments), operation, arguments)
  end

  def settle({:"$sync", position}, _operation, _arguments) do
    with {:"$error", reason} <- Wait.durable(position), do: abort(reason)
  end

  def settle(:"$watched", operation, arguments), do: Watch.note(operation, arguments)
  def settle(:"$restart", _operation, _arguments), do: restart()

  # Mnesia shows what was to be written where no table can have such a name.
  def settle({:"$error", {:no_exists, table}}, :write, [_txn, table, record, kind])
      when not is_atom(table) or table == :schema,
      do: abort({:bad_type, table, record, kind})

  # What the table cannot have is not there to be deleted.
  def settle({:"$error", {:bad_type, record}}, :delete_object, [_txn, _table, record]), do: :ok

  def settle({:"$error", :not_running}, _operation, [txn | _]) when is_reference(txn) do
    if Native.txn_depth(txn) > 0, do: abort(reason(:not_running)), else: no_transaction()
  end

  def settle({:"$error", reason}, _operation, _arguments), do: abort(reason(reason))
  def settle(value, _operation, _arguments), do: value

  @doc "Leaves the user's function so that the outermost level can run it again."
  @spec restart() :: no_return
  def restart do
    :erlang.put(@doomed, true)
    exit(@restart)
  end

  @doc "True once after a restart signal was seen, however the user's function ended."
  @spec doomed?() :: boolean
  def doomed?, do: :erlang.get(@doomed) == true

  @spec forget_doom() :: term
  def forget_doom, do: :erlang.erase(@doomed)

  @doc "Leaves as Mnesia's abort does."
  @spec abort(term) :: no_return
  def abort(reason), do: exit({:aborted, reason})

  @spec no_transaction() :: no_return
  def no_transaction, do: exit({:aborted, :no_transaction})

  @doc "The native side's reason in Mnesia's words."
  @spec reason(term) :: term
  def reason(:not_running), do: {:node_not_running, node()}
  # No table can have such a name, which Mnesia says before it looks.
  def reason({:no_exists, table}) when not is_atom(table), do: {:bad_type, table}
  def reason({:no_exists, :schema}), do: {:bad_type, :schema}
  # To a writer a read-only table is one that is nowhere.
  def reason({:read_only, table}), do: {:no_exists, table}

  def reason({:unique, table, positions, value}),
    do: {:unique, table, names(table, positions), value}

  def reason(reason), do: reason

  # The native side knows attributes by their positions.
  defp names(table, positions) do
    case Native.table_props(table) do
      {:ok, %{attributes: attributes}} -> Enum.map(positions, &Enum.at(attributes, &1 - 2))
      _gone -> positions
    end
  end
end
