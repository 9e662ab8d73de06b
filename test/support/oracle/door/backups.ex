defmodule Oracle.Door.Backups do
  @moduledoc false

  # Checkpoints, backups and restores in programs. A backup of each checkpoint goes to a file; a later step restores it.
  #
  # Named exclusions, each in guides/differences.md:
  #
  #   * `records then`: stock writes of a changed key what it is now, its deletion, and what it was; so what a backup means is compared, and no
  #     restore keeps a table.
  #   * `definitions then`: stock writes those of the moment of the backup, not of the checkpoint.
  #   * `told of a restore`: stock tells subscribers of each record; so nobody is subscribed then.

  alias Oracle.Door.Program

  @names [:door_c1, :door_c2]
  @tables Program.tables()

  @doc "A random step."
  def random do
    name = pick(@names)

    case :rand.uniform(8) do
      n when n <= 2 ->
        {:checkpoint, :activate, name, pick([@tables, [:door_set], [:door_bag, :door_ordered]])}

      3 ->
        {:checkpoint, :deactivate, name}

      n when n <= 6 ->
        {:checkpoint, :backup, name}

      _ ->
        {:checkpoint, :restore, name,
         pick([
           [],
           [default_op: :recreate_tables],
           [skip_tables: [:door_bag]],
           [clear_tables: [:door_ordered]]
         ])}
    end
  end

  def run(side, {:checkpoint, :activate, name, tables}),
    do: side.activate_checkpoint(name: name, max: tables, ram_overrides_dump: true)

  def run(side, {:checkpoint, :deactivate, name}), do: side.deactivate_checkpoint(name)

  def run(side, {:checkpoint, :backup, name}) do
    case side.backup_checkpoint(name, file(side, name)) do
      :ok -> {:ok, meant(side, name)}
      error -> error
    end
  end

  def run(side, {:checkpoint, :restore, name, options}) do
    for table <- @tables,
        level <- [:simple, :detailed],
        do: side.unsubscribe({:table, table, level})

    case side.restore(file(side, name), options) do
      {:atomic, tables} -> {:atomic, Enum.sort(tables)}
      other -> other
    end
  end

  @doc "Nothing is left of a program."
  def delete(side) do
    for name <- @names do
      side.deactivate_checkpoint(name)
      File.rm(file(side, name))
    end
  end

  defp meant(side, name) do
    fold = fn
      # The exclusion `definitions then`.
      {:schema, table, list}, rows ->
        {[],
         Map.put(
           rows,
           {:schema, table},
           Keyword.take(list, [:attributes, :name, :record_name, :type, :majority])
         )}

      {table, key}, rows ->
        {[], Map.delete(rows, {table, key})}

      record, rows ->
        {[], add(rows, record)}
    end

    {:ok, rows} =
      side.traverse_backup(file(side, name), :mnesia_backup, :none, :read_only, fold, %{})

    for {key, value} <- Enum.sort(rows), do: {key, Enum.sort(value)}
  end

  defp add(rows, record) do
    oid = {elem(record, 0), elem(record, 1)}

    if elem(oid, 0) == :door_bag,
      do: Map.update(rows, oid, [record], &[record | List.delete(&1, record)]),
      else: Map.put(rows, oid, [record])
  end

  defp file(side, name),
    do: to_charlist(Path.join(System.tmp_dir!(), "door-#{System.pid()}-#{side}-#{name}"))

  defp pick(list), do: Enum.at(list, :rand.uniform(length(list)) - 1)
end
