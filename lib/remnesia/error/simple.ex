defmodule Remnesia.NoTransactionError do
  @moduledoc "Raised when an operation needs a transaction and there is none. See `Remnesia.Error`."
  defexception [:message]
end

defmodule Remnesia.DoesNotExistError do
  @moduledoc "Raised when a table does not exist. See `Remnesia.Error`."
  defexception [:message]
end

defmodule Remnesia.AlreadyExistsError do
  @moduledoc "Raised when a table exists already. See `Remnesia.Error`."
  defexception [:message]
end

defmodule Remnesia.InvalidOperationError do
  @moduledoc "Raised for an operation that the table's definition does not allow. See `Remnesia.Error`."
  defexception [:message]
end
