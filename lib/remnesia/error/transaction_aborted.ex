defmodule Remnesia.TransactionAborted do
  @moduledoc """
  Raised by the bang functions for a transaction that was given up with `Remnesia.Transaction.abort/1`.
  """

  defexception [:message]

  @type t :: %__MODULE__{message: String.t()}

  @doc """
  Raises the exception for the reason given to `abort`. A macro; needs `require Remnesia.TransactionAborted`.

      iex> require Remnesia.TransactionAborted
      iex> Remnesia.TransactionAborted.raise(:sold_out)
      ** (Remnesia.TransactionAborted) Transaction aborted with: :sold_out
  """
  defmacro raise(reason) do
    quote do:
            Kernel.raise(Remnesia.TransactionAborted,
              message: Remnesia.TransactionAborted.text(unquote(reason))
            )
  end

  @doc false
  @spec text(term) :: String.t()
  def text(reason), do: "Transaction aborted with: #{inspect(reason)}"
end
