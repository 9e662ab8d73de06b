defmodule Remnesia.Error do
  @moduledoc """
  The error that Remnesia raises itself: a bad option, a module that is no table, a failed transaction in a bang function.

  What the database refuses becomes one of

    * `Remnesia.NoTransactionError` - an operation outside of a transaction
    * `Remnesia.DoesNotExistError` - no such table
    * `Remnesia.AlreadyExistsError` - the table is there already, or a value of a unique index
    * `Remnesia.InvalidOperationError` - autoincrement on a table that is not an `:ordered_set`
    * `Remnesia.MnesiaException` - everything else, with Mnesia's description and the reason in `:data`
    * `Remnesia.TransactionAborted` - `Remnesia.Transaction.abort/1` within a bang function

  All of them have a `:message`.

  ## Examples

      iex> Remnesia.Error.normalize({:error, {:no_exists, MyApp.User}})
      %Remnesia.DoesNotExistError{message: "MyApp.User does not exist or is not alive"}

      iex> Remnesia.Error.normalize({:aborted, :no_transaction})
      %Remnesia.NoTransactionError{message: "Not inside a Remnesia Transaction"}
  """

  alias Remnesia.{
    AlreadyExistsError,
    DoesNotExistError,
    InvalidOperationError,
    MnesiaException,
    NoTransactionError
  }

  defexception message: "Operation Failed"

  @type t :: %__MODULE__{message: String.t()}

  @doc """
  Raises a `Remnesia.Error`. A macro, so that the stacktrace begins at the caller; needs `require Remnesia.Error`.

      iex> require Remnesia.Error
      iex> Remnesia.Error.raise("No such city")
      ** (Remnesia.Error) No such city
  """
  defmacro raise(message \\ "Operation Failed") do
    quote do: Kernel.raise(Remnesia.Error, message: unquote(message))
  end

  @doc """
  Raises the exception that `normalize/1` finds for the reason. A macro; needs `require Remnesia.Error`.

      iex> require Remnesia.Error
      iex> Remnesia.Error.raise_from_code({:no_exists, :city})
      ** (Remnesia.DoesNotExistError) :city does not exist or is not alive
  """
  defmacro raise_from_code(reason) do
    quote do: Kernel.raise(Remnesia.Error.normalize(unquote(reason)))
  end

  @doc """
  The exception for a reason, which may be wrapped in `{:error, reason}` or `{:aborted, reason}`.

      iex> Remnesia.Error.normalize({:aborted, {:already_exists, :city}})
      %Remnesia.AlreadyExistsError{message: ":city already exists"}
  """
  @spec normalize(term) :: Exception.t()
  def normalize({:error, reason}), do: exception_for(reason)
  def normalize({:aborted, reason}), do: exception_for(reason)
  def normalize(reason), do: exception_for(reason)

  defp exception_for(:no_transaction),
    do: %NoTransactionError{message: "Not inside a Remnesia Transaction"}

  defp exception_for({:no_exists, item}),
    do: %DoesNotExistError{message: "#{inspect(item)} does not exist or is not alive"}

  defp exception_for({:already_exists, item}),
    do: %AlreadyExistsError{message: "#{inspect(item)} already exists"}

  defp exception_for({:unique, table, attributes, value}),
    do: %AlreadyExistsError{
      message:
        "#{inspect(table)} has a record with #{Enum.join(attributes, ", ")} #{inspect(value)} already"
    }

  defp exception_for({:autoincrement, message}),
    do: %InvalidOperationError{message: "Autoincrement #{message}"}

  defp exception_for(reason), do: MnesiaException.build(reason)
end
