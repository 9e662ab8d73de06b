defmodule Remnesia.SchemaKillTest do
  use ExUnit.Case

  # Who changes the schema may be killed at any moment: what the database says of its tables then is what it finds at the next start.

  alias Remnesia.{Engine, Native}

  setup do
    Remnesia.OnDisc.start()
    :ok
  end

  defp killed(fun) do
    {pid, monitor} = spawn_monitor(fun)
    spin(:rand.uniform(300))
    Process.exit(pid, :kill)
    receive do: ({:DOWN, ^monitor, _, _, _} -> :ok)
  end

  defp spin(0), do: :ok
  defp spin(n), do: :erlang.phash2(n) && spin(n - 1)

  @storages [:ram_copies, :disc_copies, :disc_only_copies]

  test "killed while a table is created, which another one creates then" do
    expected =
      for n <- 1..150 do
        table = :"schema_kill_#{n}"
        storage = Enum.random(@storages)
        create = fn -> Engine.create_table(table, [{storage, [node()]}]) end
        killed(create)
        if create.() != {:atomic, :ok}, do: assert(Engine.table?(table))
        {:atomic, :ok} = Engine.transaction(fn -> Engine.write(table, {table, 1, n}, :write) end)
        {table, storage, n}
      end

    tables = Enum.sort(Native.tables())
    Remnesia.OnDisc.restart()
    assert Enum.sort(Native.tables()) == tables

    for {table, storage, n} <- expected do
      rows = if storage == :ram_copies, do: [], else: [{table, 1, n}]
      assert {table, storage, Engine.dirty_read(table, 1)} == {table, storage, rows}
    end
  end

  test "killed while a table goes from one storage to another, gets an index or attributes" do
    table = :schema_kill
    {:atomic, :ok} = Engine.create_table(table, disc_copies: [node()])

    for n <- 1..60 do
      storage = Enum.random(@storages)

      killed(fn ->
        case rem(n, 3) do
          0 -> Engine.add_table_index(table, :val)
          1 -> Engine.change_table_copy_type(table, node(), storage)
          2 -> Engine.del_table_index(table, :val)
        end

        killer = self()
        spawn(fn -> Process.exit(killer, :kill) end)
        Engine.change_table_copy_type(table, node(), Enum.random(@storages))
      end)

      :ok = Engine.dirty_write(table, {table, n, n})
      # Whatever goes on is over when the schema can be locked.
      said = Engine.transaction(fn -> Engine.lock_global(:schema, :write) && said(table) end)

      if rem(n, 4) == 0 do
        rows = Enum.sort(Engine.dirty_select(table, [{:_, [], [:"$_"]}]))
        Remnesia.OnDisc.restart()
        assert said(table) == elem(said, 1)

        if Engine.table_info(table, :storage_type) == :ram_copies,
          do: for(row <- rows, do: Engine.dirty_write(table, row)),
          else: assert(Enum.sort(Engine.dirty_select(table, [{:_, [], [:"$_"]}])) == rows)
      end
    end

    assert Native.table_check(table) == :ok
  end

  defp said(table),
    do: for(item <- [:storage_type, :index, :attributes], do: Engine.table_info(table, item))
end
