defmodule Remnesia.Mnesia.Activity do
  @moduledoc """
  Transactions and other activities of `:remnesia`, by Mnesia's names.

  | kind | what it is |
  |---|---|
  | `:transaction` | all of it or nothing, serializable, run again where that is needed |
  | `:sync_transaction` | the same; answers when the commit has reached every node and its log |
  | `:async_dirty`, `:sync_dirty` | no transaction: each operation for itself |
  | `:ets` | the same, on the table itself |

  All of them nest in all of them. Whatever begins inside a transaction is an inner transaction; a transaction inside a dirty activity is
  one of its own.
  """

  alias Remnesia.Engine

  @typedoc "How often a function may run: at least once, whatever the number."
  @type retries :: :infinity | non_neg_integer

  @typedoc "The kinds of activity."
  @type kind ::
          :transaction
          | :sync_transaction
          | {:transaction, retries}
          | {:sync_transaction, retries}
          | :async_dirty
          | :sync_dirty
          | :ets

  @typedoc "What a transaction answers."
  @type result(value) :: {:atomic, value} | {:aborted, term}

  @doc """
  Runs a function as a transaction.

  Answers `{:atomic, value}`, or `{:aborted, reason}`: the reason given to `abort/1` or `exit/1`, `{:throw, value}`, or `{error, stacktrace}`.
  What is no function is answered with `{:aborted, {:badarg, fun, arguments, retries, access_module}}`.

      iex> :remnesia.transaction(fn -> :remnesia.read(:city, :oslo) end)
      {:atomic, [{:city, :oslo, :norway, 700_000}]}
      iex> :remnesia.transaction(fn -> :remnesia.abort(:enough) end)
      {:aborted, :enough}
  """
  @spec transaction((() -> value)) :: result(value) when value: term
  def transaction(fun), do: Engine.transaction(fun)

  @doc """
  The same with a number of retries, or with a list of arguments for the function.

      iex> :remnesia.transaction(fn a, b -> a + b end, [1, 2])
      {:atomic, 3}
      iex> :remnesia.transaction(fn -> :once end, 1)
      {:atomic, :once}
  """
  @spec transaction(fun, retries | [term]) :: result(term)
  def transaction(fun, retries_or_arguments), do: Engine.transaction(fun, retries_or_arguments)

  @doc """
  The same with both.

      iex> :remnesia.transaction(fn a -> a end, [1], :infinity)
      {:atomic, 1}
  """
  @spec transaction(fun, [term], retries) :: result(term)
  def transaction(fun, arguments, retries), do: Engine.transaction(fun, arguments, retries)

  @doc """
  A transaction that answers when its commit is everywhere and in the log.

      iex> :remnesia.sync_transaction(fn -> :done end)
      {:atomic, :done}
  """
  @spec sync_transaction((() -> value)) :: result(value) when value: term
  def sync_transaction(fun), do: Engine.sync_transaction(fun)

  @doc """
  See `sync_transaction/1` and `transaction/2`.

      iex> :remnesia.sync_transaction(&String.upcase/1, ["done"])
      {:atomic, "DONE"}
  """
  @spec sync_transaction(fun, retries | [term]) :: result(term)
  def sync_transaction(fun, retries_or_arguments),
    do: Engine.sync_transaction(fun, retries_or_arguments)

  @doc """
  See `sync_transaction/1` and `transaction/3`.

      iex> :remnesia.sync_transaction(&String.upcase/1, ["done"], 5)
      {:atomic, "DONE"}
  """
  @spec sync_transaction(fun, [term], retries) :: result(term)
  def sync_transaction(fun, arguments, retries),
    do: Engine.sync_transaction(fun, arguments, retries)

  @doc """
  Runs a function without a transaction, each operation for itself. Answers its value; what it aborts with leaves as an exit.

      iex> :remnesia.async_dirty(fn -> :remnesia.read(:city, :oslo) end)
      [{:city, :oslo, :norway, 700_000}]
  """
  @spec async_dirty(fun, [term]) :: term
  def async_dirty(fun, arguments \\ []),
    do: Engine.dirty_activity(:async_dirty, fun, arguments, :remnesia)

  @doc """
  The same; where there are more nodes it waits for them.

      iex> :remnesia.sync_dirty(fn -> :remnesia.all_keys(:city) end)
      [:oslo]
  """
  @spec sync_dirty(fun, [term]) :: term
  def sync_dirty(fun, arguments \\ []),
    do: Engine.dirty_activity(:sync_dirty, fun, arguments, :remnesia)

  @doc """
  The same on the table itself: what is wrong is a bad argument.

      iex> :remnesia.ets(fn -> :remnesia.first(:city) end)
      :oslo
  """
  @spec ets(fun, [term]) :: term
  def ets(fun, arguments \\ []), do: Engine.dirty_activity(:ets, fun, arguments, :remnesia)

  @doc """
  Runs a function as an activity of a kind. Answers its value; what it aborts with leaves as an exit with `{:aborted, reason}`.

      iex> :remnesia.activity(:transaction, fn -> :remnesia.read(:city, :rome) end)
      []
      iex> :remnesia.activity(:party, fn -> :ok end)
      {:aborted, {:bad_type, :party}}
  """
  @spec activity(kind, fun) :: term
  def activity(kind, fun), do: activity(kind, fun, [])

  @doc """
  The same with a list of arguments for the function, or with an access module, see `activity/4`.

      iex> :remnesia.activity(:async_dirty, fn city -> :remnesia.read(:city, city) end, [:rome])
      []
  """
  @spec activity(kind, fun, [term] | module) :: term
  def activity(kind, fun, arguments) when is_list(arguments) do
    activity(
      kind,
      fun,
      arguments,
      Application.get_env(:remnesia, :access_module, :remnesia)
    )
  end

  def activity(kind, fun, module), do: activity(kind, fun, [], module)

  @doc """
  The same with both. The access module is called for each operation in the function, with the activity's id and store in front of the
  operation's own arguments; it hands them on to the functions of `:remnesia` of these names and arities:

  `lock/4`, `write/5`, `delete/5`, `delete_object/5`, `read/5`, `match_object/5`, `all_keys/4`, `index_match_object/6`, `index_read/6`,
  `first/3`, `last/3`, `next/4`, `prev/4`, `foldl/6`, `foldr/6`, `select/5`, `select/6`, `select_cont/3`, `table_info/4`, `clear_table/4`.

      iex> :remnesia.activity(:transaction, fn key -> :remnesia.read(:city, key) end, [:rome], :remnesia)
      []
  """
  @spec activity(kind, fun, [term], module) :: term
  def activity(kind, fun, arguments, module) when kind in [:ets, :async_dirty, :sync_dirty],
    do: Engine.dirty_activity(kind, fun, arguments, module)

  def activity(kind, fun, arguments, module) when kind in [:transaction, :sync_transaction],
    do: activity({kind, :infinity}, fun, arguments, module)

  def activity({:transaction, retries}, fun, arguments, module),
    do: value(Engine.transaction(fun, arguments, retries, module))

  def activity({:sync_transaction, retries}, fun, arguments, module),
    do: value(Engine.sync_transaction(fun, arguments, retries, module))

  def activity(kind, _fun, _arguments, _module), do: {:aborted, {:bad_type, kind}}

  defp value({:atomic, value}), do: value
  defp value(aborted), do: exit(aborted)

  @doc """
  Leaves the activity with a reason.

      iex> :remnesia.transaction(fn -> :remnesia.abort({:too_many, 3}) end)
      {:aborted, {:too_many, 3}}
  """
  @spec abort(term) :: no_return
  def abort(reason), do: Engine.abort(reason)

  @doc """
  True in a transaction, also in the dirty activities that begin inside one.

      iex> :remnesia.is_transaction()
      false
  """
  @spec is_transaction() :: boolean
  def is_transaction, do: Engine.is_transaction()

  @doc """
  The activity of the process: `{access_module, id, store}`, or `:undefined`.

      iex> :remnesia.async_dirty(fn -> {:remnesia, {:async_dirty, pid}, :non_transaction} = :remnesia.get_activity_id(); pid == self() end)
      true
  """
  @spec get_activity_id() :: {module, tuple, term} | :undefined
  def get_activity_id, do: Engine.get_activity_id()

  @doc """
  Puts the process into an activity, which may be the transaction of another process; `:undefined` takes it out.

      iex> :remnesia.put_activity_id(:undefined)
      iex> :remnesia.get_activity_id()
      :undefined
  """
  @spec put_activity_id({module, tuple, term} | :undefined) :: term
  def put_activity_id(id), do: Engine.put_activity_id(id)
end
