defmodule Remnesia.DiscOnlyTest do
  use ExUnit.Case, async: false

  # Tables whose rows are on disc alone: every function on them, all conversions while they are written, restarts, and memory that does
  # not grow with them.

  import Bitwise
  import Remnesia.OnDisc, only: [restart: 0]

  alias Remnesia.{Engine, Native, Table}

  @types [:set, :ordered_set, :bag, :duplicate_bag]
  @everything [{:_, [], [:"$_"]}]

  setup do
    %{dir: Remnesia.OnDisc.start()}
  end

  defp create(table, options \\ []) do
    defaults = [disc_only_copies: [node()], attributes: [:k, :v, :w]]
    {:atomic, :ok} = Engine.create_table(table, Keyword.merge(defaults, options))
  end

  defp all(table), do: Engine.dirty_select(table, @everything)

  test "what a table says of itself" do
    for type <- @types do
      create(type, type: type, index: [:v])
      assert Engine.table_info(type, :storage_type) == :disc_only_copies
      assert Engine.table_info(type, :disc_only_copies) == [node()]
      assert Engine.table_info(type, :where_to_commit) == [{node(), :disc_only_copies}]
      for i <- 1..500, do: :ok = Engine.dirty_write(type, {type, i, rem(i, 5), "some text"})
      assert Engine.table_info(type, :size) == 500
      :ok = Native.disc_flush()
      # Bytes of the disc.
      assert Engine.table_info(type, :memory) >= 500 * 20
      assert type in Engine.system_info(:tables)
    end

    restart()

    for type <- @types do
      assert Engine.table_info(type, :storage_type) == :disc_only_copies
      assert Engine.table_info(type, :size) == 500
      assert length(Engine.dirty_index_read(type, 3, :v)) == 100
      assert Native.table_check(type) == :ok
    end
  end

  test "an ordered_set, which stock cannot have there, is in order" do
    create(:o, type: :ordered_set)
    keys = [3, 1.5, :a, {1, 2}, "text", [1], -7, %{a: 1}, 1 <<< 80, self()]
    for k <- keys, do: :ok = Engine.dirty_write(:o, {:o, k, 1, 1})

    for where <- [:log, :disc, :restarted] do
      if where == :disc, do: :ok = Native.disc_flush()
      if where == :restarted, do: restart()
      assert Engine.dirty_all_keys(:o) == Enum.sort(keys)
      assert Engine.dirty_first(:o) == -7
      assert Engine.dirty_last(:o) == "text"
      assert Engine.dirty_next(:o, 2) == 3
      assert Engine.dirty_prev(:o, 2) == 1.5
      assert Engine.dirty_read(:o, 3.0) == [{:o, 3, 1, 1}]
      assert Engine.dirty_read(:o, self()) == [{:o, self(), 1, 1}]
      this = self()
      assert Engine.dirty_select(:o, [{{:o, this, :_, :_}, [], [:"$_"]}]) == [{:o, this, 1, 1}]

      assert [{:o, ^this, 1, 1} | _] =
               Engine.dirty_select(:o, [
                 {{:o, :"$1", :_, :_}, [{:>=, :"$1", {:const, this}}], [:"$_"]}
               ])
    end
  end

  test "keys of any length and kind" do
    create(:s)
    long = String.duplicate("key", 40_000)
    keys = [1, 1.0, long, long <> "x", [long], {1, 1.0}, -0.0, :rand.bytes(600), fn -> long end]
    for {k, i} <- Enum.with_index(keys), do: :ok = Engine.dirty_write(:s, {:s, k, i, long})

    for where <- [:log, :disc, :restarted] do
      if where == :disc, do: :ok = Native.disc_flush()
      if where == :restarted, do: restart()

      for {k, i} <- Enum.with_index(keys),
          do: assert([{:s, ^k, ^i, ^long}] = Engine.dirty_read(:s, k))

      for k <- [1, long, {1, 1.0}],
          do: assert([_] = Engine.dirty_select(:s, [{{:s, k, :_, :_}, [], [:"$_"]}]))

      assert length(all(:s)) == length(keys)
      assert Native.table_check(:s) == :ok
    end

    for k <- keys, do: :ok = Engine.dirty_delete(:s, k)
    assert all(:s) == []
    restart()
    assert all(:s) == []
  end

  test "counters, objects, clear and delete" do
    create(:c, attributes: [:k, :n])
    assert Engine.dirty_update_counter(:c, :hits, 5) == 5
    :ok = Native.disc_flush()
    assert Engine.dirty_update_counter(:c, :hits, 2) == 7
    create(:b, type: :bag)
    for v <- 1..3, do: :ok = Engine.dirty_write(:b, {:b, 1, v, v})
    :ok = Native.disc_flush()
    :ok = Engine.dirty_delete_object(:b, {:b, 1, 2, 2})
    :ok = Engine.dirty_write(:b, {:b, 1, 1, 1})
    assert Engine.dirty_read(:b, 1) == [{:b, 1, 1, 1}, {:b, 1, 3, 3}]
    restart()
    assert Engine.dirty_read(:c, :hits) == [{:c, :hits, 7}]
    assert Engine.dirty_read(:b, 1) == [{:b, 1, 1, 1}, {:b, 1, 3, 3}]
    {:atomic, :ok} = Engine.clear_table(:b)

    assert {all(:b), Engine.table_info(:b, :size), Engine.dirty_first(:b)} ==
             {[], 0, :"$end_of_table"}

    :ok = Engine.dirty_write(:b, {:b, 9, 9, 9})
    assert all(:b) == [{:b, 9, 9, 9}]
    :ok = Native.disc_flush()
    assert all(:b) == [{:b, 9, 9, 9}]
    {:atomic, :ok} = Engine.delete_table(:c)
    restart()
    assert all(:b) == [{:b, 9, 9, 9}]
    assert Engine.definition(:c) == nil
    create(:c, attributes: [:k, :n])
    assert all(:c) == []
  end

  test "indexes are added, unique, and there after a restart" do
    create(:i, unique: [:v])
    for i <- 1..1_000, do: :ok = Engine.dirty_write(:i, {:i, i, {:value, i}, rem(i, 3)})
    :ok = Native.disc_flush()
    {:atomic, :ok} = Engine.add_table_index(:i, :w)
    {:atomic, :ok} = Engine.add_table_index(:i, [:w, :v])
    taken = {:i, 2_000, {:value, 7}, 1}

    assert {:aborted, {:unique, :i, [:v], {:value, 7}}} =
             Engine.transaction(fn -> Engine.write(:i, taken, :write) end)

    for _ <- 1..2 do
      assert length(Engine.dirty_index_read(:i, 1, :w)) == 334
      assert Engine.dirty_index_read(:i, {:value, 9}, :v) == [{:i, 9, {:value, 9}, 0}]
      assert Engine.dirty_select(:i, [{{:i, :"$1", {:value, 10}, 1}, [], [:"$1"]}]) == [10]
      assert Native.table_check(:i) == :ok
      restart()
    end

    {:atomic, :ok} = Engine.del_table_index(:i, [:w, :v])

    {:atomic, :ok} =
      Engine.transform_table(:i, fn {:i, k, v, w} -> {:i, k, v, w * 2} end, [:k, :v, :w])

    restart()
    assert Engine.dirty_read(:i, 5) == [{:i, 5, {:value, 5}, 4}]
    assert Engine.table_info(:i, :storage_type) == :disc_only_copies
    assert Native.table_check(:i) == :ok
  end

  test "searches in chunks, folds, and transactions over what is on disc" do
    for type <- @types, name = :"t_#{type}" do
      create(name, type: type)
      for i <- 1..3_000, do: :ok = Engine.dirty_write(name, {name, i, rem(i, 10), i})
      :ok = Native.disc_flush()

      {:atomic, found} =
        Engine.transaction(fn ->
          for i <- 1..3_000//3, do: Engine.delete(name, i, :write)
          for i <- 3_001..3_100, do: Engine.write(name, {name, i, 0, i}, :write)
          sum = :remnesia.foldl(fn {_, k, _, _}, acc -> acc + k end, 0, name)
          keys = chunks(Engine.select(name, [{{name, :"$1", :_, :_}, [], [:"$1"]}], 100, :read))
          {sum, if(type == :ordered_set, do: keys, else: Enum.sort(keys))}
        end)

      expected = Enum.reject(1..3_000, &(rem(&1, 3) == 1)) ++ Enum.to_list(3_001..3_100)
      assert found == {Enum.sum(expected), expected}
      assert Engine.table_info(name, :size) == length(expected)
      assert name |> all() |> Enum.map(&elem(&1, 1)) |> Enum.sort() == expected
      assert Native.table_check(name) == :ok
    end
  end

  defp chunks(:"$end_of_table"), do: []
  defp chunks({found, continuation}), do: found ++ chunks(Engine.select(continuation))

  test "all conversions while writers write, and a restart after each" do
    options = [attributes: [:k, :v], index: [:v]]

    for type <- [:set, :bag],
        do: {:atomic, :ok} = Engine.create_table(type, options ++ [type: type])

    for i <- 1..2_000, type <- [:set, :bag], do: :ok = Engine.dirty_write(type, {type, {0, i}, i})
    stop = :atomics.new(1, [])

    writer = fn w ->
      Task.async(fn ->
        Enum.reduce_while(Stream.iterate(1, &(&1 + 1)), 0, fn i, _ ->
          if rem(w, 2) == 0 do
            :ok = Engine.dirty_write(:set, {:set, {w, i}, i})
            :ok = Engine.dirty_write(:bag, {:bag, {w, rem(i, 50)}, i})
          else
            {:atomic, :ok} =
              Engine.transaction(fn ->
                Engine.write(:set, {:set, {w, i}, i}, :write)
                Engine.write(:bag, {:bag, {w, rem(i, 50)}, i}, :write)
              end)
          end

          if :atomics.get(stop, 1) == 0, do: {:cont, i}, else: {:halt, i}
        end)
      end)
    end

    writers = Enum.map(1..4, writer)

    for to <- [
          :disc_only_copies,
          :ram_copies,
          :disc_copies,
          :disc_only_copies,
          :disc_copies,
          :ram_copies,
          :disc_only_copies
        ],
        type <- [:set, :bag] do
      assert Table.set_storage_type(type, node(), to) == :ok

      assert Table.set_storage_type(type, node(), to) ==
               {:error, {:already_exists, type, node(), to}}

      assert Engine.table_info(type, :storage_type) == to
      Process.sleep(20)
    end

    :atomics.put(stop, 1, 1)
    counts = Task.await_many(writers, 60_000)

    for _ <- 1..2 do
      # Every write that was answered is there.
      expected =
        for({n, w} <- Enum.with_index(counts, 1), i <- 1..n, do: {:set, {w, i}, i}) ++
          for(i <- 1..2_000, do: {:set, {0, i}, i})

      assert Enum.sort(all(:set)) == Enum.sort(expected)

      in_bag =
        for({n, w} <- Enum.with_index(counts, 1), i <- 1..n, do: {:bag, {w, rem(i, 50)}, i}) ++
          for(i <- 1..2_000, do: {:bag, {0, i}, i})

      assert Enum.sort(all(:bag)) == Enum.sort(in_bag)
      for type <- [:set, :bag], do: assert(Native.table_check(type) == :ok)
      restart()
    end
  end

  test "records of any size" do
    create(:r, type: :ordered_set, index: [:v])
    large = :rand.bytes(3_000_000)
    list = Enum.map(1..50_000, &{&1, :a, "text"})
    for i <- 1..5, do: :ok = Engine.dirty_write(:r, {:r, i, large, list})
    for i <- 6..300, do: :ok = Engine.dirty_write(:r, {:r, i, i, :small})
    :ok = Native.disc_flush()
    # What the layers keep until the next flush goes too.
    :ok = Native.disc_flush()
    assert Engine.dirty_read(:r, 3) == [{:r, 3, large, list}]

    assert {:atomic, [{:r, 4, ^large, ^list}]} =
             Engine.transaction(fn -> Engine.read(:r, 4, :read) end)

    assert length(all(:r)) == 300

    assert {:atomic, keys} =
             Engine.transaction(fn ->
               chunks(Engine.select(:r, [{{:r, :"$1", :_, :_}, [], [:"$1"]}], 2, :read))
             end)

    assert keys == Enum.to_list(1..300)
    assert Engine.dirty_index_read(:r, large, :v) |> Enum.map(&elem(&1, 1)) == [1, 2, 3, 4, 5]
    :ok = Engine.dirty_delete(:r, 1)
    {:atomic, :ok} = Engine.transaction(fn -> Engine.write(:r, {:r, 2, 2, 2}, :write) end)
    :ok = Engine.dirty_delete_object(:r, {:r, 3, large, list})
    assert Engine.table_info(:r, :size) == 298
    assert Native.table_check(:r) == :ok
  end

  test "a record that cannot be read", %{dir: dir} do
    create(:u, index: [:v])
    for i <- 1..200, do: :ok = Engine.dirty_write(:u, {:u, i, i, "needle-#{i}-"})
    # Into its place, and out of memory.
    for _ <- 1..3 do
      :ok = Native.disc_flush()
      :ok = Engine.dirty_write(:u, {:u, :other, 1, 1})
    end

    file = Path.join([dir, "remnesia", "data.mdb"])
    {:ok, device} = :file.open(file, [:read, :write, :raw, :binary])
    # All places where it ever was.
    for {at, _} <- file |> File.read!() |> :binary.matches("needle-77-"),
        do: :ok = :file.pwrite(device, at, "X")

    damaged = fn reason -> assert {:unreadable, {:corrupt, _, _, _}} = reason end
    assert {:aborted, reason} = Engine.transaction(fn -> Engine.read(:u, 77, :read) end)
    damaged.(reason)
    assert {:aborted, reason} = catch_exit(Engine.dirty_read(:u, 77))
    damaged.(reason)
    assert {:aborted, reason} = catch_exit(all(:u))
    damaged.(reason)

    assert {:aborted, reason} =
             Engine.transaction(fn ->
               for(i <- 70..80, do: Engine.write(:u, {:u, i, 0, 0}, :write))
             end)

    damaged.(reason)
    assert {:aborted, _} = catch_exit(Engine.dirty_write(:u, {:u, 77, 0, 0}))
    # Nothing of it was done, and the rest is there.
    assert Engine.dirty_read(:u, 70) == [{:u, 70, 70, "needle-70-"}]
    assert Engine.dirty_index_read(:u, 78, :v) == [{:u, 78, 78, "needle-78-"}]
    assert Engine.table_info(:u, :size) == 201

    for {at, _} <- file |> File.read!() |> :binary.matches("Xeedle-77-"),
        do: :ok = :file.pwrite(device, at, "n")

    :file.close(device)
    assert Engine.dirty_read(:u, 77) == [{:u, 77, 77, "needle-77-"}]
    assert Native.table_check(:u) == :ok
  end

  test "what stock refuses" do
    for type <- [:ordered_set, :duplicate_bag], do: create(type, type: type)
    options = [attributes: [:k, :v, :w], type: :ordered_set, disc_only_copies: [node()]]
    reason = {:bad_type, :refused, {:not_supported, :ordered_set, :disc_only_copies}}
    assert :mnesia.create_table(:refused, options) == {:aborted, reason}
    assert {:atomic, :ok} == Engine.create_table(:refused, options)
    {:atomic, :ok} = Engine.delete_table(:refused)

    # Without a schema on disc.
    {:atomic, :ok} = Engine.delete_table(:ordered_set)
    {:atomic, :ok} = Engine.delete_table(:duplicate_bag)
    :ok = Remnesia.Schema.set_storage_type(node(), :ram_copies)
    assert Engine.create_table(:refused, options) == {:aborted, reason}
  end

  # Six, of which four are loaded at a time.
  defp large do
    tables = for i <- 1..6, do: :"large_#{i}"

    for table <- tables do
      create(table, index: [:v])

      for chunk <- Enum.chunk_every(1..20_000, 1_000),
          do:
            {:atomic, :ok} =
              Engine.transaction(fn ->
                Enum.each(chunk, &Engine.write(table, {table, &1, &1, 1}, :write))
              end)
    end

    :ok = Remnesia.stop()
    :ok = Remnesia.start()
    tables
  end

  test "a database whose tables are being loaded has them: it is not given up for an empty one" do
    tables = large()

    assert {:aborted, {~c"Disc resident tables", named, _node}} =
             Engine.change_table_copy_type(:schema, node(), :ram_copies)

    assert Enum.sort(named) == tables

    assert Enum.sort(Engine.system_info(:tables)) == [
             :large_1,
             :large_2,
             :large_3,
             :large_4,
             :large_5,
             :large_6,
             :schema
           ]

    :ok = Engine.wait_for_tables(tables, 30_000)
    for table <- tables, do: assert(Engine.table_info(table, :size) == 20_000)
  end

  test "progress of loading" do
    tables = large()
    said = for _ <- 1..3, table <- tables, do: Engine.table_info(table, :load_progress)
    :ok = Engine.wait_for_tables(tables, 30_000)
    assert Enum.any?(said, &match?({:loading, n} when n in 0..20_000, &1))
    assert Enum.all?(said, &(&1 == :complete or match?({:loading, _}, &1)))
    for table <- tables, do: assert(Engine.table_info(table, :load_progress) == :complete)
    {:atomic, :ok} = :mnesia.create_table(:of_stock, [])

    assert catch_exit(:mnesia.table_info(:of_stock, :load_progress)) ==
             {:aborted, {:no_exists, :of_stock, :load_progress}}

    {:atomic, :ok} = :mnesia.delete_table(:of_stock)
  end

  test "a transaction that another conversion interrupts begins again" do
    create(:t)
    me = self()

    task =
      Task.async(fn ->
        Engine.transaction(fn ->
          Engine.write(:t, {:t, 1, 1, 1}, :write)
          send(me, :holds)
          receive(do: (:go -> :ok))
          Engine.read(:t, 1, :read)
        end)
      end)

    assert_receive :holds
    change = Task.async(fn -> Table.set_storage_type(:t, node(), :ram_copies) end)
    Process.sleep(30)
    send(task.pid, :go)
    assert Task.await(task) == {:atomic, [{:t, 1, 1, 1}]}
    assert Task.await(change) == :ok
    assert all(:t) == [{:t, 1, 1, 1}]
  end

  test "memory does not grow with the table" do
    Remnesia.stop()
    settings = [segment_bytes: 1 <<< 20, log_bytes: 8 <<< 20, unsynced_bytes: 4 <<< 20]
    for {key, value} <- settings, do: Application.put_env(:remnesia, key, value)
    on_exit(fn -> for {key, _} <- settings, do: Application.delete_env(:remnesia, key) end)
    :ok = Remnesia.start()
    create(:large)
    text = :rand.bytes(2_000)
    # The first ones fill what is bounded.
    fill(1..15_000, text)
    before = anonymous_memory()
    fill(15_001..60_000, text)
    grown = anonymous_memory() - before
    # 90 MB were written.
    assert grown < 40_000_000
    assert Engine.table_info(:large, :size) == 60_000
    assert [{:large, 777, _, ^text}] = Engine.dirty_read(:large, 777)

    {:atomic, 60_000} =
      Engine.transaction(fn -> :remnesia.foldl(fn _, n -> n + 1 end, 0, :large) end)

    assert anonymous_memory() - before < 60_000_000
  end

  @tag :long
  @tag timeout: 3_600_000
  test "larger than 2 GB", %{dir: dir} do
    Remnesia.stop()
    Application.put_env(:remnesia, :segment_bytes, 32 <<< 20)
    :ok = Remnesia.start()
    create(:large)
    count = 22_000
    value = fn i -> :binary.copy(<<i::64>>, 12_500) end
    timed = fn what, fun -> IO.puts("    #{what}: #{div(elem(:timer.tc(fun), 0), 1_000)} ms") end

    timed.("written, #{count} records of 100 kB", fn ->
      for chunk <- Enum.chunk_every(1..count, 50) do
        {:atomic, :ok} =
          Engine.transaction(fn ->
            for(i <- chunk, do: Engine.write(:large, {:large, i, i, value.(i)}, :write)) |> hd()
          end)
      end

      :ok = Native.disc_flush()
    end)

    assert File.stat!(Path.join(dir, "remnesia/data.mdb")).size > 1 <<< 31

    check = fn ->
      assert Engine.table_info(:large, :size) == count

      for i <- [1, count | for(_ <- 1..500, do: :rand.uniform(count))],
          do: assert(Engine.dirty_read(:large, i) == [{:large, i, i, value.(i)}])
    end

    timed.("500 reads", check)
    timed.("started again", fn -> restart() end)
    check.()
    timed.("cleared", fn -> {:atomic, :ok} = Engine.clear_table(:large) end)
    assert Engine.table_info(:large, :size) == 0
  end

  defp fill(range, text) do
    for chunk <- Enum.chunk_every(range, 500) do
      {:atomic, :ok} =
        Engine.transaction(fn ->
          Enum.each(chunk, &Engine.write(:large, {:large, &1, &1, text}, :write))
        end)
    end
  end

  # Pages of files are the system's.
  defp anonymous_memory do
    :erlang.garbage_collect()
    [_, kilobytes] = Regex.run(~r/RssAnon:\s+(\d+) kB/, File.read!("/proc/self/status"))
    String.to_integer(kilobytes) * 1024
  end
end
