defmodule Soak.Copies do
  @moduledoc false

  # The bank at one moment: in backups, which are read and sometimes restored, and in snapshots.

  alias Remnesia.Engine.Local.Checkpoints
  alias Soak.{Tables, Work}

  @bank Tables.bank()

  @doc "Makes a backup, counts what is in it, and may put it back."
  def run(soak) do
    file = Path.join(soak.directory, "soak-#{System.unique_integer([:positive])}.bup")

    case backup(file) do
      :ok ->
        {:ok, sum} =
          :remnesia.traverse_backup(file, :mnesia_backup, :dummy, :read_only, &add/2, 0)

        if sum != Tables.sum(), do: Soak.wrong(soak, :backup, sum - Tables.sum())
        if :rand.uniform(3) == 1, do: restore(soak, file)

      # It was dropped meanwhile.
      {:error, {:no_exists, table}} when table not in @bank ->
        :ok

      other ->
        Soak.wrong(soak, :backup, other)
    end

    File.rm(file)
    Process.sleep(:rand.uniform(100))
  end

  defp backup(file) do
    if :rand.uniform(2) == 1 do
      :remnesia.backup(file)
    else
      with {:ok, name, _nodes} <- :remnesia.activate_checkpoint(max: Tables.bank()) do
        Process.sleep(:rand.uniform(20))
        answer = :remnesia.backup_checkpoint(name, file)
        :remnesia.deactivate_checkpoint(name)
        answer
      end
    end
  end

  defp add(row, sum) when is_tuple(row) do
    if elem(row, 0) in Tables.bank(), do: {[row], sum + elem(row, 2)}, else: {[row], sum}
  end

  # All tables of the bank are as they were, so the sum is what it was.
  defp restore(soak, file) do
    result = :remnesia.restore(file, clear_tables: Tables.bank(), default_op: :skip_tables)

    case result do
      {:atomic, tables} ->
        if Enum.sort(tables) != Enum.sort(Tables.bank()), do: Soak.wrong(soak, :restore, result)

      # Records of a table that was transformed meanwhile do not fit.
      _refused ->
        Work.sane(soak, :restore, result)
    end
  end

  @doc "Counts what a snapshot has."
  def snapshot(soak) do
    with {:ok, snapshot} <- Checkpoints.take(nil, Tables.bank()) do
      if :rand.uniform(2) == 1, do: Process.sleep(:rand.uniform(10))

      sums =
        for table <- Tables.bank(),
            do: Checkpoints.fold(snapshot, table, 0, &(Tables.total(&1) + &2))

      case Enum.reject(sums, &match?({:ok, _}, &1)) do
        [] ->
          sum = sums |> Enum.map(&elem(&1, 1)) |> Enum.sum()
          if sum != Tables.sum(), do: Soak.wrong(soak, :snapshot, sum - Tables.sum())

        refused ->
          Work.sane(soak, :snapshot, refused)
      end

      Checkpoints.release(snapshot)
    end

    Process.sleep(:rand.uniform(30))
  end
end
