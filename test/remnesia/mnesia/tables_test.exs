defmodule Remnesia.Mnesia.TablesTest do
  use ExUnit.Case

  # Changes of the schema, right and wrong, are answered as stock Mnesia answers them.

  alias Remnesia.Door

  @tables [:door_t, :door_b, :door_o, :door_r] ++ for(n <- 1..9, do: :"door_new#{n}")

  setup do
    Door.delete(@tables)
    Door.create(:door_t, [])
    Door.create(:door_b, type: :bag, index: [:val], user_properties: [{:p, 1}])
    Door.create(:door_o, type: :ordered_set, record_name: :r, attributes: [:a, :b, :c])
    Door.create(:door_r, access_mode: :read_only)

    for side <- [:mnesia, :remnesia], n <- 1..3 do
      side.dirty_write({:door_t, n, n})
      side.dirty_write({:door_b, n, n})
      side.dirty_write(:door_o, {:r, n, n, n})
    end

    on_exit(fn ->
      for side <- [:mnesia, :remnesia], do: :ok = side.set_master_nodes([])
      Door.delete(@tables)
    end)
  end

  defp compare(calls) do
    differing =
      for {function, list} <- calls,
          arguments <- list,
          {stock, ours} = Door.both(&apply(&1, function, arguments)),
          stock != ours,
          do: "#{function}#{inspect(arguments)} stock: #{inspect(stock)} ours: #{inspect(ours)}"

    assert differing == [], Enum.join(differing, "\n")
  end

  # What both sides know of a table; the memory of each is its own.
  defp same_tables do
    for table <- [:door_t, :door_b, :door_o, :door_r] do
      {stock, ours} =
        Door.both(fn m ->
          all = m.table_info(table, :all)

          for {item, value} <- all,
              item not in [:commit_work, :index_info] and not is_tuple(item),
              do: {item, if(is_list(value), do: Enum.sort(value), else: value)}
        end)

      assert {table, stock} == {table, ours}

      assert Door.both(fn m -> Enum.sort(m.dirty_select(table, [{:_, [], [:"$_"]}])) end)
             |> then(fn {stock, ours} -> stock == ours end)
    end
  end

  test "changes of a definition" do
    compare(
      transform_table: [
        [:nowhere, :ignore, [:a, :b]],
        [:door_t, :ignore, [:a]],
        [:door_t, :ignore, [:a, :a]],
        [:door_t, :ignore, :x],
        [:door_t, :loose, [:a, :b]],
        [:schema, :ignore, [:a, :b]],
        [1, :ignore, [:a, :b]],
        [:door_t, :ignore, [:a, :b], "x"],
        [:door_r, :ignore, [:a, :b]]
      ],
      change_table_access_mode: [
        [:nowhere, :read_only],
        [:door_t, :loose],
        [:door_t, :read_write],
        [1, :read_only],
        [:door_t, :read_only],
        [:door_t, :read_write]
      ],
      change_table_load_order: [
        [:nowhere, 1],
        [:door_t, :x],
        [:door_t, 0],
        [:door_t, 5],
        [:door_t, -1],
        [:schema, 1],
        [1, 1],
        [:door_r, 1]
      ],
      change_table_majority: [
        [:nowhere, true],
        [:door_t, :x],
        [:door_t, false],
        [:door_t, true],
        [:schema, true],
        [:door_r, true]
      ],
      write_table_property: [
        [:nowhere, {:a, 1}],
        [:door_t, :x],
        [:door_t, {}],
        [:door_t, {:a, 1}],
        [:door_t, {:b, 1}],
        [:door_t, {:a, 2}],
        [:schema, {:a, 1}],
        [1, {:a, 1}],
        [:door_r, {:a, 1}]
      ],
      read_table_property: [
        [:nowhere, :a],
        [:door_t, :a],
        [:door_t, :c],
        [:schema, :a],
        [:door_b, :p]
      ],
      delete_table_property: [
        [:nowhere, :a],
        [:door_t, :a],
        [:door_t, :c],
        [:schema, :a],
        [:door_r, :a]
      ],
      dump_tables: [[[:door_t]], [[:nowhere]], [:door_t], [[]], [[:schema]]],
      force_load_table: [[:door_t], [:nowhere], [:schema], [1]],
      set_master_nodes: [
        [[node()]],
        [:x],
        [:door_t, [node()]],
        [:nowhere, [node()]],
        [:door_t, [:foo]],
        [:door_t, :x],
        [:door_t, []]
      ],
      wait_for_tables: [
        [[:door_t], 10],
        [[:nowhere], 10],
        [:door_t, 10],
        [[:door_t], :x],
        [[:schema], 1],
        [[1], 1],
        [[], 1],
        [[:door_t], -1]
      ]
    )

    same_tables()
  end

  test "indexes" do
    compare(
      add_table_index: [
        [:nowhere, :val],
        [:door_t, :loose],
        [:door_t, 2],
        [:door_t, :key],
        [:door_t, 9],
        [:schema, :x],
        [:door_t, "x"],
        [1, 1],
        [:door_t, {:x}],
        [:door_t, :val],
        [:door_t, :val],
        [:door_t, 3],
        [:door_o, :c],
        [:door_o, 3],
        [:door_r, :val],
        [:door_b, :val]
      ],
      dirty_index_read: [[:door_t, 2, :val], [:door_o, 2, :b], [:door_o, 2, 4]],
      del_table_index: [
        [:nowhere, :val],
        [:door_t, :loose],
        [:door_t, 2],
        [:door_t, :key],
        [:door_t, :val],
        [:door_t, 3],
        [:door_o, 4],
        [:door_r, :val],
        [:schema, :x]
      ]
    )

    same_tables()
  end

  test "creating and deleting" do
    compare(
      create_table: [
        [[name: :door_new1]],
        [[]],
        [:x],
        [[name: :door_t]],
        [[attributes: [:a, :b]]],
        [:door_new2, [disc_copies: [node()]]],
        [:door_new3, [disc_only_copies: [node()]]],
        [:door_new4, [ram_copies: []]],
        [:door_new5, :x],
        [:door_new5, [loose: 1]],
        ["x", []],
        [:schema, []],
        [:door_new6, [index: [:val, :val]]],
        [:door_new7, [index: [:key]]],
        [:door_new8, [majority: true, local_content: true]]
      ],
      delete_table: [[:nowhere], [:schema], [1], ["x"], [:door_r], [:door_new1], [:door_new1]],
      clear_table: [[:nowhere], [1], [:door_r], [:door_t]],
      create_schema: [[:x], [[:foo@bar]]],
      delete_schema: [[:x], [[:foo@bar]]],
      change_config: [
        [:loose, 1],
        [:extra_db_nodes, []],
        [:extra_db_nodes, [node()]],
        [:extra_db_nodes, :x],
        [:dc_dump_limit, 5],
        [:dc_dump_limit, :x],
        [:dc_dump_limit, 0],
        [:dc_dump_limit, 4]
      ],
      set_debug_level: [[:loose], [:verbose], [:none], [true], [false], [:none]],
      table_info: [
        [:nowhere, :size],
        [:nowhere, :loose],
        [:door_t, :loose],
        [1, :size],
        [:nowhere, :all],
        [:nowhere, :name],
        [:nowhere, :master_nodes],
        [:nowhere, :memory],
        [:nowhere, :type],
        [:door_t, "x"],
        [:door_t, :size],
        [:door_t, :wild_pattern]
      ],
      system_info: [
        [:loose],
        ["x"],
        [:is_running],
        [:access_module],
        [:db_nodes],
        [:backend_types]
      ],
      error_description: [
        [:no_exists],
        [{:aborted, {:no_exists, :t}}],
        [:loose],
        [{:loose, 1}],
        [{:error, :bad_type}],
        ["x"],
        [{}]
      ],
      start: [[], [[]], [:x], [[:x]], [[loose: 1]], [[debug: :loose]]],
      report_event: [[:x]],
      add_table_copy: [
        [:door_t, node(), :ram_copies],
        [:nowhere, node(), :ram_copies],
        [:door_t, 1, :ram_copies]
      ],
      del_table_copy: [
        [:schema, :other@nowhere],
        [:nowhere, node()],
        [:door_t, :foo@bar],
        [:schema, node()],
        [:door_o, node()]
      ],
      move_table_copy: [
        [:door_t, node(), node()],
        [:nowhere, node(), :foo@bar],
        [:schema, node(), :x]
      ],
      change_table_copy_type: [
        [:door_t, node(), :ram_copies],
        [:door_t, node(), :disc_copies],
        [:door_t, node(), :disc_only_copies],
        [:door_t, node(), :loose],
        [:door_t, :foo@bar, :disc_copies],
        [:nowhere, node(), :disc_copies]
      ]
    )
  end

  test "within a transaction" do
    for call <- [
          create_table: [:door_new1, []],
          delete_table: [:door_t],
          transform_table: [:door_t, :ignore, [:a, :b]],
          add_table_index: [:door_t, :val],
          change_table_access_mode: [:door_t, :read_only],
          write_table_property: [:door_t, {:x, 1}],
          dump_tables: [[:door_t]],
          wait_for_tables: [[:door_t], 1],
          clear_table: [:door_t]
        ] do
      {function, arguments} = call

      {stock, ours} =
        Door.both(fn m -> m.transaction(fn -> apply(m, function, arguments) end) end)

      assert {call, stock} == {call, ours}

      {stock, ours} =
        Door.both(fn m -> m.async_dirty(fn -> apply(m, :clear_table, [:door_b]) end) end)

      assert stock == ours
    end

    same_tables()
  end

  describe "transform_table" do
    test "changes every record, the attributes and the record's name" do
      for {fun, attributes, name} <- [
            {fn {t, k, v} -> {t, k, v, :more} end, [:key, :val, :more], :door_t},
            {fn {_, k, v, m} -> {:renamed, k, {v, m}} end, [:key, :val], :renamed},
            {:ignore, [:key, :other], :renamed}
          ] do
        {stock, ours} = Door.both(& &1.transform_table(:door_t, fun, attributes, name))
        assert stock == ours
        assert ours == {:value, {:atomic, :ok}}
        same_tables()
      end

      assert :remnesia.dirty_write(:door_t, {:renamed, 4, 4}) == :ok
      assert :remnesia.table_info(:door_t, :attributes) == [:key, :other]
      assert Remnesia.Native.table_check(:door_t) == :ok
    end

    test "a function that fails half-way has changed nothing" do
      failing = [
        fn {:door_t, 2, _} -> raise "no" end,
        fn {t, k, v} -> if k == 2, do: {t, k}, else: {t, k, v, v} end,
        fn {t, k, v} -> {t, if(k == 2, do: 7, else: k), v, v} end,
        fn {t, k, v} -> if k == 2, do: throw(:no), else: {t, k, v, v} end,
        fn _ -> :x end
      ]

      for fun <- failing do
        assert {:aborted, {~c"Bad transform function", :door_t, ^fun, _, _}} =
                 :remnesia.transform_table(:door_t, fun, [:a, :b, :c])

        assert Enum.sort(:remnesia.dirty_match_object({:door_t, :_, :_})) ==
                 for(n <- 1..3, do: {:door_t, n, n})

        assert :remnesia.table_info(:door_t, :attributes) == [:key, :val]
      end
    end

    test "indexes follow, and transactions that wait for the table begin again" do
      :remnesia.add_table_index(:door_o, :c)
      me = self()

      changing =
        Task.async(fn ->
          :remnesia.transform_table(
            :door_o,
            fn {:r, k, b, c} ->
              if k == 1 do
                send(me, {:inside, self()})
                receive do: (:go -> :ok)
              end

              {:r, k, b, c, b + c}
            end,
            [:a, :b, :c, :d]
          )
        end)

      assert_receive {:inside, pid}
      # A reader without a transaction sees the table as it was.
      assert :remnesia.dirty_read(:door_o, 2) == [{:r, 2, 2, 2}]
      waiting = Task.async(fn -> :remnesia.transaction(fn -> :remnesia.read(:door_o, 2) end) end)
      writing = Task.async(fn -> :remnesia.dirty_write(:door_o, {:r, 9, 9, 9, 9}) end)
      assert Task.yield(waiting, 30) == nil
      send(pid, :go)
      assert Task.await(changing) == {:atomic, :ok}
      assert Task.await(waiting) == {:atomic, [{:r, 2, 2, 2, 4}]}
      Task.await(writing)
      assert :remnesia.dirty_index_read(:door_o, 3, :c) == [{:r, 3, 3, 3, 6}]
      assert Remnesia.Native.table_check(:door_o) == :ok
      assert Remnesia.Native.lock_count() == 0
    end

    test "a process that is killed in it leaves the table as it was" do
      me = self()

      pid =
        spawn(fn ->
          :remnesia.transform_table(
            :door_t,
            fn record ->
              send(me, :inside)
              Process.sleep(:infinity)
              record
            end,
            [:a, :b]
          )
        end)

      assert_receive :inside
      Process.exit(pid, :kill)

      assert :remnesia.transaction(fn -> :remnesia.read(:door_t, 1) end) ==
               {:atomic, [{:door_t, 1, 1}]}

      assert :remnesia.dirty_write({:door_t, 4, 4}) == :ok

      assert :remnesia.transform_table(:door_t, fn {t, k, v} -> {t, k, -v} end, [:a, :b]) ==
               {:atomic, :ok}

      assert :remnesia.dirty_read(:door_t, 4) == [{:door_t, 4, -4}]
    end
  end

  test "the storage_type option, which stock does not have" do
    assert {:atomic, :ok} = :remnesia.create_table(:door_new1, storage_type: :ram_copies)
    assert :remnesia.table_info(:door_new1, :storage_type) == :ram_copies

    assert :remnesia.create_table(:door_new2, storage_type: :disc_copies) ==
             {:aborted, {:bad_type, :door_new2, :disc_copies, node()}}

    assert :mnesia.create_table(:door_new2, storage_type: :ram_copies) ==
             {:aborted, {:badarg, :door_new2, :storage_type}}
  end
end
