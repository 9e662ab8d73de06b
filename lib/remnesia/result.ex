defmodule Remnesia.Mnesia do
  @moduledoc false

  # From the engine's answers, which are Mnesia's, to those of the Remnesia modules. The name is the one Memento gives to
  # the same three functions; lib/remnesia/mnesia.ex is the place of the Mnesia door.

  @doc "Calls a function of the engine by Mnesia's name."
  defmacro call(function, arguments \\ []) do
    quote do: apply(Remnesia.Engine, unquote(function), unquote(arguments))
  end

  @doc """
  The same, with an exit raised as an exception.

  Not for use inside a transaction: an exit there may be the signal that it must be run again.
  """
  defmacro call_and_catch(function, arguments \\ []) do
    quote do
      try do
        apply(Remnesia.Engine, unquote(function), unquote(arguments))
      catch
        :exit, reason -> raise Remnesia.Error.normalize(reason)
      end
    end
  end

  @doc """
  A transaction's or schema change's result as `:ok`, `{:ok, value}` or `{:error, reason}`.

  What was thrown or raised in the function is thrown or raised again, with its own stacktrace.
  """
  @spec handle_result(term) :: :ok | {:ok, term} | {:error, term} | no_return
  def handle_result({:atomic, :ok}), do: :ok
  def handle_result({:atomic, value}), do: {:ok, value}
  def handle_result(:ok), do: :ok
  def handle_result({:error, reason}), do: {:error, reason}
  def handle_result({:aborted, {:throw, value}}), do: throw(value)

  def handle_result({:aborted, {error, stacktrace} = reason}),
    do: reraised(error, stacktrace, reason)

  def handle_result({:aborted, reason}), do: {:error, reason}

  # A reason of two parts is an error with its stacktrace if the first is an exception or one of Erlang's own errors.
  # It may still be a reason like {:badarg, [table, spec]}, whose second part is no stacktrace: an ArgumentError too.
  defp reraised(error, stacktrace, reason) do
    trace? = stacktrace?(stacktrace)

    case Exception.normalize(:error, error, if(trace?, do: stacktrace, else: [])) do
      %ErlangError{original: ^error} -> {:error, reason}
      exception when trace? -> reraise exception, stacktrace
      _exception -> raise ArgumentError
    end
  end

  defp stacktrace?([{_module, _function, _arity, location} | rest]) when is_list(location),
    do: stacktrace?(rest)

  defp stacktrace?([{function, _arity, location} | rest])
       when is_function(function) and is_list(location),
       do: stacktrace?(rest)

  defp stacktrace?(rest), do: rest == []
end
