defmodule Remnesia.BackupTables do
  @moduledoc false

  # What the tests of backups back up, on both sides: stock's and ours.

  import ExUnit.Callbacks, only: [on_exit: 1]

  alias Remnesia.{Door, MemoryBackup}

  @tables [:bup_set, :bup_bag, :bup_ordered, :bup_named]

  @doc "No tables, no backups in memory, and a directory that goes with the test."
  def start do
    Door.delete_all()
    MemoryBackup.new()

    directory =
      Path.join(System.tmp_dir!(), "remnesia_backup_#{System.unique_integer([:positive])}")

    File.mkdir_p!(directory)

    on_exit(fn ->
      Door.delete_all()
      File.rm_rf!(directory)
    end)

    %{directory: directory, path: to_charlist(Path.join(directory, "one.bup"))}
  end

  def create(side) do
    {:atomic, :ok} = side.create_table(:bup_set, attributes: [:k, :a, :b], index: [:a])
    {:atomic, :ok} = side.create_table(:bup_bag, type: :bag)

    {:atomic, :ok} =
      side.create_table(:bup_ordered, type: :ordered_set, user_properties: [{:p, 1}])

    {:atomic, :ok} = side.create_table(:bup_named, record_name: :entry, load_order: 3)
  end

  @values [
    :a,
    "b",
    1.5,
    -0.0,
    12_345_678_901_234_567_890,
    [1 | 2],
    %{1 => :x, 1.0 => :y},
    {<<3::5>>, []}
  ]

  def fill(side) do
    for n <- 1..1500, do: side.dirty_write({:bup_set, n, rem(n, 7), {n, "text"}})
    for {value, n} <- Enum.with_index(@values), do: side.dirty_write({:bup_set, value, n, value})
    for n <- 1..50, m <- 1..3, do: side.dirty_write({:bup_bag, n, m})
    for n <- [1, 2.5, :z, "s", {1, 2}], do: side.dirty_write({:bup_ordered, n, n})
    for n <- 1..20, do: side.dirty_write(:bup_named, {:entry, n, self()})
  end

  def contents(side),
    do: for(table <- @tables, do: {table, contents(side, table)})

  def contents(side, table), do: Enum.sort(side.dirty_select(table, [{:_, [], [:"$_"]}]))

  # Records in RAM are only in the backup of a checkpoint that says so.
  def backup(side, file, tables \\ @tables) do
    {:ok, name, [_node]} = side.activate_checkpoint(max: tables, ram_overrides_dump: true)
    :ok = side.backup_checkpoint(name, file)
    :ok = side.deactivate_checkpoint(name)
  end

  # Stock writes what it finds, and behind that, for each key that was changed, its deletion and what was there before.
  def meant(items) do
    Enum.reduce(items, [], fn
      {table, key}, records when table in @tables ->
        Enum.reject(records, &(elem(&1, 0) == table and elem(&1, 1) == key))

      item, records when elem(item, 0) in @tables ->
        [item | records]

      _other, records ->
        records
    end)
  end
end
