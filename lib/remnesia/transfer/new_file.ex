defmodule Remnesia.Transfer.NewFile do
  @moduledoc false

  alias Remnesia.Engine.Local.Directory

  # A file that is there as a whole or not at all: written under another name, for its owner alone, brought to disc, checked, and only then named.

  @doc """
  Writes a file. `fill` gets the open file, for `put!/2`, and ends early by `stop/1`; its value is answered. `check` gets the path of what is on disc.
  """
  @spec write(Path.t(), (:file.fd() -> result), (Path.t() -> {:ok, term} | {:error, reason})) ::
          {:ok, result} | {:error, reason}
        when result: term, reason: term
  def write(path, fill, check \\ &{:ok, &1}) do
    temporary = "#{path}.#{System.pid()}.new"
    File.rm(temporary)

    with {:ok, file} <- :file.open(temporary, [:write, :exclusive, :raw, :binary, :delayed_write]) do
      try do
        ok!(File.chmod(temporary, Application.get_env(:remnesia, :file_mode, 0o600)))
        result = fill.(file)
        ok!(:file.sync(file))
        ok!(:file.close(file))
        with {:error, reason} <- check.(temporary), do: stop(reason)
        ok!(File.rename(temporary, path))
        Directory.sync(Path.dirname(path))
        {:ok, result}
      catch
        :throw, {__MODULE__, reason} -> {:error, reason}
      after
        :file.close(file)
        File.rm(temporary)
      end
    end
  end

  @doc "Writes bytes, or ends with the reason why they cannot be written."
  @spec put!(:file.fd(), iodata) :: :ok | no_return
  def put!(file, bytes), do: ok!(:file.write(file, bytes))

  @doc "Ends the writing with a reason; there is no file then."
  @spec stop(term) :: no_return
  def stop(reason), do: throw({__MODULE__, reason})

  defp ok!(:ok), do: :ok
  defp ok!({:error, reason}), do: stop(reason)
end
