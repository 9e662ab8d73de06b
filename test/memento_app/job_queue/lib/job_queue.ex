defmodule JobQueue do
  @moduledoc false

  # Jobs in a table, oldest first, each taken once.

  defmodule Job do
    use Memento.Table,
      attributes: [:id, :worker, :arguments, :status],
      index: [:status],
      type: :ordered_set,
      autoincrement: true
  end

  def start do
    case Memento.Table.create(Job) do
      :ok -> :ok
      {:error, {:already_exists, Job}} -> :ok
    end
  end

  def push(worker, arguments) do
    Memento.transaction!(fn ->
      Memento.Query.write(%Job{worker: worker, arguments: arguments, status: :queued})
    end)
  end

  @doc "The oldest job that nobody has taken, which is taken now; `nil` if there is none."
  def take do
    Memento.transaction!(fn ->
      case Memento.Query.select(Job, {:==, :status, :queued}, lock: :write) do
        [%Job{} = job | _] -> Memento.Query.write(%{job | status: :taken})
        [] -> nil
      end
    end)
  end
end
