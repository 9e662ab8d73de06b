defmodule Remnesia.Mnesia.CheckpointTest do
  use ExUnit.Case

  # Checkpoints, modules that write and read backups, traversal of them: answered as stock answers.

  import ExUnit.CaptureLog
  import Remnesia.BackupTables

  alias Remnesia.{Door, MemoryBackup}

  @tables [:bup_set, :bup_bag, :bup_ordered, :bup_named]
  @sides [:mnesia, :remnesia]

  setup do
    start()
  end

  test "a module of the program's" do
    for side <- @sides do
      create(side)
      for n <- 1..5, do: side.dirty_write({:bup_set, n, n, n})
      for n <- 1..5, do: side.dirty_write(:bup_named, {:entry, n, n})
    end

    {stock, ours} =
      Door.both(fn side ->
        MemoryBackup.forget()

        {:ok, name, _} =
          side.activate_checkpoint(max: [:bup_set, :bup_named], ram_overrides_dump: true)

        :ok = side.backup_checkpoint(name, side, MemoryBackup)
        :ok = side.deactivate_checkpoint(name)
        items = MemoryBackup.items(side)
        side.clear_table(:bup_set)
        restored = side.restore(side, module: MemoryBackup)

        {header, definitions, records} =
          {hd(items), Enum.filter(items, &(elem(&1, 0) == :schema)),
           Enum.filter(items, &(elem(&1, 0) in @tables))}

        definitions =
          for {:schema, table, list} <- definitions,
              do: {table, Keyword.keys(list), list[:attributes]}

        {elem(header, 1), definitions, Enum.sort(records), restored, contents(side),
         MemoryBackup.log()}
      end)

    assert ours == stock
  end

  test "a module that fails" do
    for side <- @sides, do: create(side)
    for n <- 1..5, side <- @sides, do: side.dirty_write({:bup_set, n, n, n})

    for how <- [:fail, :raise],
        function <- [:open_write, :write, :commit_write],
        call <- [:backup, :backup_checkpoint] do
      {stock, ours} =
        Door.both(fn side ->
          MemoryBackup.forget()
          name = {how, function}

          answer =
            if call == :backup do
              side.backup(name, MemoryBackup)
            else
              {:ok, checkpoint, _} =
                side.activate_checkpoint(max: [:bup_set], ram_overrides_dump: true)

              answer = side.backup_checkpoint(checkpoint, name, MemoryBackup)
              side.deactivate_checkpoint(checkpoint)
              answer
            end

          {answer, MemoryBackup.log() |> Enum.uniq()}
        end)

      assert ours == stock, inspect({how, function, stock, ours})
    end

    good = for side <- @sides, do: side.backup(:good, MemoryBackup)
    assert good == [:ok, :ok]

    for how <- [:fail, :raise],
        function <- [:open_read, :read],
        target <- [:read_only, MemoryBackup] do
      MemoryBackup.put({how, function}, MemoryBackup.items(:good))

      for call <- [
            & &1.restore({how, function}, module: MemoryBackup),
            & &1.traverse_backup(
              {how, function},
              MemoryBackup,
              :out,
              target,
              fn i, a -> {[i], a} end,
              0
            )
          ] do
        {stock, ours} = Door.both(call)
        assert ours == stock, inspect({how, function, stock, ours})
      end
    end
  end

  test "traversal" do
    for side <- @sides, do: create(side)
    for n <- 1..7, side <- @sides, do: side.dirty_write({:bup_set, n, n, n})

    {:ok, name, _} =
      :mnesia.activate_checkpoint(max: [:bup_set, :bup_bag], ram_overrides_dump: true)

    :ok = :mnesia.backup_checkpoint(name, :source, MemoryBackup)
    :mnesia.deactivate_checkpoint(name)

    drop_even = fn
      {:bup_set, n, _, _}, acc when rem(n, 2) == 0 -> {[], [n | acc]}
      {:bup_set, n, a, b} = item, acc -> {[item, {:bup_set, n + 100, a, b}], acc}
      item, acc -> {[item], acc}
    end

    funs = [
      drop_even,
      fn _item, acc -> {[], acc} end,
      fn _item, _acc -> :what end,
      fn _item, acc -> {:no_list, acc} end,
      fn _item, _acc -> throw({:error, :mine}) end,
      fn _item, _acc -> exit(:mine) end
    ]

    for fun <- funs, target <- [:read_only, MemoryBackup] do
      {stock, ours} =
        Door.both(fn side ->
          MemoryBackup.put(:target, [])
          MemoryBackup.forget()
          answer = side.traverse_backup(:source, MemoryBackup, :target, target, fun, [])
          answer = with {:ok, list} <- answer, do: {:ok, Enum.sort(list)}

          {answer, MemoryBackup.items(:target) |> Enum.drop(1) |> Enum.sort(),
           MemoryBackup.log() |> Enum.uniq()}
        end)

      assert ours == stock, inspect({stock, ours})
    end
  end

  test "checkpoints: arguments and items" do
    for side <- @sides, do: create(side)

    arguments = [
      [name: :c, max: [:bup_set]],
      [name: :c, max: [:bup_bag]],
      [name: :d, min: [:bup_set], max: [:bup_set]],
      [name: :d],
      [name: :d, max: [:nowhere]],
      [name: :d, min: :bup_set],
      [name: :d, allow_remote: 1],
      [:what],
      :what,
      [name: :d, max: [:bup_set], ram_overrides_dump: [:bup_set]],
      [name: :d, max: [:bup_set], ram_overrides_dump: []],
      [name: :e, max: [:bup_set], ram_overrides_dump: :what],
      [name: {:e, "x"}, min: [:bup_ordered], allow_remote: false]
    ]

    {stock, ours} =
      Door.both(fn side ->
        answers = for list <- arguments, do: side.activate_checkpoint(list)

        items =
          {Enum.sort(side.system_info(:checkpoints)),
           for(table <- @tables, do: Enum.sort(side.table_info(table, :checkpoints))),
           side.table_info(:bup_ordered, :commit_work)}

        ended =
          for name <- [:c, :c, :d, :nowhere, {:e, "x"}], do: side.deactivate_checkpoint(name)

        {answers, items, ended, side.system_info(:checkpoints),
         side.table_info(:bup_ordered, :commit_work)}
      end)

    for {left, right, list} <-
          Enum.zip([elem(elem(stock, 1), 0), elem(elem(ours, 1), 0), arguments]),
        do: assert(right == left, inspect({list, left, right}))

    assert ours == stock
  end

  test "a checkpoint ends with each of its tables, and the system is told" do
    for delete <- [&{:delete_table, [&1]}, &{:del_table_copy, [&1, node()]}] do
      Door.delete(@tables)
      for side <- @sides, do: create(side)
      {function, arguments} = delete.(:bup_bag)

      {stock, ours} =
        Door.both(fn side ->
          side.subscribe(:system)
          {:ok, :one, _} = side.activate_checkpoint(name: :one, max: [:bup_set, :bup_bag])
          {:ok, :two, _} = side.activate_checkpoint(name: :two, max: [:bup_bag])
          {:ok, :other, _} = side.activate_checkpoint(name: :other, max: [:bup_set])
          answer = apply(side, function, arguments)
          told = for _ <- 1..2, do: receive(do: ({:mnesia_system_event, event} -> event))
          side.unsubscribe(:system)

          left = {side.system_info(:checkpoints), side.table_info(:bup_set, :checkpoints)}
          ended = for name <- [:one, :two, :other], do: side.deactivate_checkpoint(name)
          {answer, Enum.sort(told), left, ended}
        end)

      assert ours == stock
      assert {:value, {{:atomic, :ok}, [_, _], {[:other], [:other]}, _ended}} = ours
    end
  end

  test "a checkpoint has what was there" do
    for side <- @sides do
      create(side)
      for n <- 1..100, do: side.dirty_write({:bup_set, n, n, :old})
      for n <- 1..100, do: side.dirty_write({:bup_bag, rem(n, 10), n})
    end

    {stock, ours} =
      Door.both(fn side ->
        {:ok, :c, _} =
          side.activate_checkpoint(name: :c, max: [:bup_set, :bup_bag], ram_overrides_dump: true)

        for n <- 1..50, do: side.dirty_write({:bup_set, n, n, :new})
        for n <- 101..150, do: side.dirty_write({:bup_set, n, n, :new})
        side.transaction(fn -> for n <- 60..70, do: side.delete({:bup_set, n}) end)
        side.dirty_delete_object({:bup_bag, 1, 1})
        side.dirty_write({:bup_bag, 1, 1})
        side.clear_table(:bup_bag)
        side.dirty_write({:bup_bag, 1, :new})
        :ok = side.backup_checkpoint(:c, :then, MemoryBackup)
        :ok = side.deactivate_checkpoint(:c)
        MemoryBackup.items(:then) |> meant() |> Enum.sort()
      end)

    assert ours == stock
    {:value, records} = ours
    assert length(records) == 200
  end

  test "a checkpoint has what was there: a restore that keeps the table" do
    for side <- @sides, do: create(side)

    {stock, ours} =
      Door.both(fn side ->
        side.dirty_write({:bup_set, 1, 1, :old})

        {:ok, :c, _} =
          side.activate_checkpoint(name: :c, max: [:bup_set], ram_overrides_dump: true)

        side.dirty_write({:bup_set, 1, 1, :new})
        side.dirty_write({:bup_set, 2, 2, :new})
        :ok = side.backup_checkpoint(:c, :then, MemoryBackup)
        :ok = side.deactivate_checkpoint(:c)
        side.dirty_write({:bup_set, 3, 3, :new})

        {:atomic, _} = side.restore(:then, module: MemoryBackup, keep_tables: [:bup_set])

        side.dirty_match_object({:bup_set, :_, :_, :_}) |> Enum.sort()
      end)

    # The deletion of what was not there yet is in stock's backup.
    rows = fn [one, three] -> [one, {:bup_set, 2, 2, :new}, three] end
    {:value, [{:bup_set, 1, 1, :old}, {:bup_set, 3, 3, :new}] = kept} = stock
    assert ours == {:value, rows.(kept)}
  end

  test "no such directory" do
    {stock, ours} = Door.both(fn side -> side.backup(~c"/nowhere/at/all") end)
    assert {:value, {:error, {:EXIT, {:error, {:file_error, _, :enoent}}}}} = stock
    assert {:value, {:error, {:EXIT, {:error, {:file_error, _, :enoent}}}}} = ours

    {stock, ours} = Door.both(fn side -> side.backup_checkpoint(:nowhere, :x, MemoryBackup) end)
    assert ours == stock

    for arguments <- [[:what], [{:tables, 1}], [{:module, 1}], [{:scope, :what}]] do
      {stock, ours} = Door.both(fn side -> side.backup(:x, arguments) end)
      assert ours == stock
    end
  end

  defp nameless({:error, {text, [table, {_number, _node}]}}), do: {text, table}
  defp nameless(other), do: other

  test "while the database is stopped" do
    for side <- @sides, do: create(side)
    parent = self()
    file = ~c"/nowhere/at/all"
    add = fn item, acc -> {[item], acc} end

    calls = [
      & &1.backup(file),
      & &1.backup_checkpoint(:c, :x, MemoryBackup),
      & &1.restore(file, []),
      & &1.activate_checkpoint(name: :c, max: [:bup_set]),
      &nameless(&1.activate_checkpoint(max: [:bup_set, :bup_bag])),
      & &1.deactivate_checkpoint(:c),
      & &1.traverse_backup(file, :mnesia_backup, :x, :read_only, add, 0),
      & &1.install_fallback(file)
    ]

    capture_log(fn ->
      for side <- @sides do
        side.stop()
        send(parent, {side, for(call <- calls, do: Door.answer(side, call))})
        :ok = side.start()
      end
    end)

    assert_received {:mnesia, stock}
    assert_received {:remnesia, ours}
    assert ours == stock
  end

  test "an incremental backup" do
    for side <- @sides do
      create(side)
      for n <- 1..10, do: side.dirty_write({:bup_set, n, n, :old})
      options = [max: [:bup_set], ram_overrides_dump: true]
      {:ok, :first, _} = side.activate_checkpoint([name: :first] ++ options)
      side.dirty_write({:bup_set, 1, 1, :new})
      side.dirty_delete({:bup_set, 2})
      {:ok, :second, _} = side.activate_checkpoint([name: :second] ++ options)
      arguments = [module: MemoryBackup, incremental: :first]
      :ok = side.backup_checkpoint(:second, {:incremental, side}, arguments)
      for name <- [:first, :second], do: :ok = side.deactivate_checkpoint(name)
    end

    rows = fn side ->
      for item <- MemoryBackup.items({:incremental, side}), elem(item, 0) == :bup_set, do: item
    end

    assert {:bup_set, 1, 1, :new} in rows.(:mnesia)
    assert {:bup_set, 5, 5, :old} not in rows.(:mnesia)
    assert Enum.sort(rows.(:remnesia)) == contents(:remnesia, :bup_set)
  end

  test "definitions and records of a checkpoint" do
    for side <- @sides do
      create(side)
      for n <- 1..3, do: side.dirty_write({:bup_bag, n, :then})
      {:ok, :c, _} = side.activate_checkpoint(name: :c, max: [:bup_bag], ram_overrides_dump: true)
      {:atomic, :ok} = side.write_table_property(:bup_bag, {:p, 1})

      {:atomic, :ok} =
        side.transform_table(:bup_bag, fn {t, k, v} -> {t, k, v, :now} end, [:k, :v, :w])

      :ok = side.backup_checkpoint(:c, side, MemoryBackup)
      :ok = side.deactivate_checkpoint(:c)
    end

    parts = fn side ->
      items = MemoryBackup.items(side)
      {:schema, :bup_bag, list} = List.keyfind(items, :bup_bag, 1)
      {list[:attributes], list[:user_properties], meant(items) |> Enum.sort()}
    end

    {attributes, properties, records} = parts.(:mnesia)
    assert {attributes, properties} == {[:k, :v, :w], [p: 1]}
    assert records == for(n <- 1..3, do: {:bup_bag, n, :then})
    assert parts.(:remnesia) == {[:key, :val], [], for(n <- 1..3, do: {:bup_bag, n, :then})}
  end
end
