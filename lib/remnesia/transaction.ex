defmodule Remnesia.Transaction do
  @moduledoc """
  Runs functions as transactions: all of their writes happen, or none, and nobody sees them half done.

      {:ok, user} =
        Remnesia.Transaction.execute(fn ->
          user = Remnesia.Query.read(User, 1, lock: :write)
          Remnesia.Query.write(%{user | visits: user.visits + 1})
        end)

  Transactions are serializable: the result is as if they had run one after the other. Where two of them cannot both go
  on, the younger one is **run again**, by itself, as soon as the older one is done. So the function should have no other
  effects than those on tables, and must not rely on catching exits: a caught one does not stop the rerun.

  Transactions nest. An inner one returns its own result; when it fails, its writes are undone and the outer one goes on.

  A process that is killed inside a transaction leaves nothing behind. A process spawned inside one is outside.
  """

  alias Remnesia.Engine
  alias Remnesia.Mnesia

  require Remnesia.Error
  require Remnesia.TransactionAborted

  @typedoc "How often the function may run before the transaction fails with `:nomore`; at least once."
  @type retries :: :infinity | non_neg_integer

  @typedoc "What a transaction answers: `:ok` alone if the function returned `:ok`."
  @type result :: :ok | {:ok, term} | {:error, reason :: term}

  @doc """
  Runs the function as a transaction.

  | the function | the result |
  |---|---|
  | returns `value` | `{:ok, value}`, but `:ok` for `:ok` |
  | calls `abort(reason)` | `{:error, {:transaction_aborted, reason}}` |
  | violates a unique index | `{:error, {:unique, table, attributes, value}}` |
  | exits with `reason`, or is refused something by the database | `{:error, reason}` |
  | raises, or throws | the same, raised or thrown again |

  While the database is stopped the result is `{:error, {:node_not_running, node}}`, for what is not a function or not a
  number of retries `{:error, {:badarg, function, _, _, _}}`.

  ## Examples

      iex> Remnesia.Transaction.execute(fn -> 1 + 1 end)
      {:ok, 2}
      iex> Remnesia.Transaction.execute(fn -> Remnesia.Transaction.abort(:enough) end)
      {:error, {:transaction_aborted, :enough}}
      iex> Remnesia.Transaction.execute(fn -> exit(:stop) end)
      {:error, :stop}
  """
  @spec execute((() -> term), retries) :: result
  def execute(function, retries \\ :infinity),
    do: Mnesia.handle_result(Engine.transaction(function, retries))

  @doc """
  Runs the function as a transaction and returns its value, or raises.

  An `abort` raises `Remnesia.TransactionAborted`, every other failure `Remnesia.Error`.

  ## Examples

      iex> Remnesia.Transaction.execute!(fn -> 1 + 1 end)
      2
  """
  @spec execute!((() -> term), retries) :: term | no_return
  def execute!(function, retries \\ :infinity), do: function |> execute(retries) |> value!()

  @doc """
  Like `execute/2`, and returns when the commit has reached every node and its log. For tables in RAM on one node that is
  when `execute/2` returns.

  ## Examples

      iex> Remnesia.Transaction.execute_sync(fn -> :ok end)
      :ok
  """
  @spec execute_sync((() -> term), retries) :: result
  def execute_sync(function, retries \\ :infinity),
    do: Mnesia.handle_result(Engine.sync_transaction(function, retries))

  @doc """
  Like `execute!/2`, with the promise of `execute_sync/2`.

      iex> Remnesia.Transaction.execute_sync!(fn -> :done end)
      :done
  """
  @spec execute_sync!((() -> term), retries) :: term | no_return
  def execute_sync!(function, retries \\ :infinity),
    do: function |> execute_sync(retries) |> value!()

  @doc """
  True inside a transaction.

      iex> Remnesia.Transaction.inside?()
      false
      iex> Remnesia.transaction(&Remnesia.Transaction.inside?/0)
      {:ok, true}
  """
  @spec inside?() :: boolean
  def inside?, do: Engine.is_transaction()

  @doc """
  Gives up the innermost transaction: its result is `{:error, {:transaction_aborted, reason}}`.

  Raises `Remnesia.NoTransactionError` outside of a transaction.

  ## Examples

      iex> Remnesia.transaction(fn -> Remnesia.Transaction.abort() end)
      {:error, {:transaction_aborted, :no_reason_given}}
  """
  @spec abort(term) :: no_return
  def abort(reason \\ :no_reason_given) do
    if inside?() do
      Engine.abort({:transaction_aborted, reason})
    else
      Remnesia.Error.raise_from_code(:no_transaction)
    end
  end

  @doc """
  Locks a whole table until the transaction ends. For a transaction that is going to touch much of it, so that it waits
  once, at the beginning.

  An unknown lock fails the transaction with `{:bad_type, table, lock}`, an unknown table with `{:no_exists, table}`.

  ## Examples

      iex> Remnesia.transaction(fn -> Remnesia.Transaction.lock_table(Example.Movie, :write) end)
      :ok
  """
  @spec lock_table(Remnesia.Table.name(), Remnesia.Query.lock()) :: :ok
  def lock_table(table, lock), do: Engine.lock_table(table, lock)

  @doc """
  Locks one key of a table until the transaction ends, whether there is a record or not.

  ## Examples

      iex> Remnesia.transaction(fn -> Remnesia.Transaction.lock_record(Example.Movie, 1, :read) end)
      :ok
  """
  @spec lock_record(Remnesia.Table.name(), term, Remnesia.Query.lock()) :: :ok
  def lock_record(table, key, lock), do: Engine.lock_record(table, key, lock)

  @doc """
  Locks a term that means something to the program, until the transaction ends.

  ## Examples

      iex> Remnesia.transaction(fn -> Remnesia.Transaction.lock_global(:nightly_report, :write) end)
      :ok
  """
  @spec lock_global(term, Remnesia.Query.lock()) :: :ok
  def lock_global(term, lock), do: Engine.lock_global(term, lock)

  defp value!({:ok, value}), do: value

  defp value!({:error, {:transaction_aborted, reason}}),
    do: Remnesia.TransactionAborted.raise(reason)

  defp value!({:error, reason}),
    do: Remnesia.Error.raise("Transaction Failed with: #{inspect(reason)}")

  defp value!(:ok), do: :ok
end
