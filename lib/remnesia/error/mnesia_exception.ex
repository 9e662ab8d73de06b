defmodule Remnesia.MnesiaException do
  @moduledoc """
  Raised for a reason that has no exception of its own: Mnesia's description in the message, the reason itself in `:data`.
  """

  defexception [:message, :data]

  @type t :: %__MODULE__{message: String.t(), data: term}

  @doc """
  Raises the exception for a reason. A macro; needs `require Remnesia.MnesiaException`.

      iex> require Remnesia.MnesiaException
      iex> try do
      ...>   Remnesia.MnesiaException.raise({:bad_type, :city})
      ...> rescue
      ...>   error in Remnesia.MnesiaException -> error.data
      ...> end
      {:bad_type, :city}
  """
  defmacro raise(reason) do
    quote do: Kernel.raise(Remnesia.MnesiaException.build(unquote(reason)))
  end

  @doc """
  The exception for a reason.

      iex> Remnesia.MnesiaException.build({:node_not_running, :a@b}).message
      "Mnesia operation failed\\n   Node not running\\n   Mnesia Error: {:node_not_running, :a@b}"
  """
  @spec build(term) :: t
  def build({:aborted, reason}), do: exception_for(reason)
  def build({:error, reason}), do: exception_for(reason)
  def build(reason), do: exception_for(reason)

  defp exception_for(reason) do
    lines = ["Mnesia operation failed", describe(reason), "Mnesia Error: " <> inspect(reason)]
    %__MODULE__{data: reason, message: Enum.join(lines, "\n   ")}
  end

  # The description belongs to the code, which comes first in a reason of two or three parts.
  defp describe({code, _}), do: describe(code)
  defp describe({code, _, _}), do: describe(code)

  defp describe(code) do
    case Remnesia.Engine.error_description(code) do
      text when is_list(text) -> to_string(text)
      other -> inspect(other)
    end
  end
end
