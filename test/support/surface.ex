defmodule Remnesia.Surface do
  @moduledoc false

  # Every function that `:mnesia` exports, with good and bad arguments of all sorts: what the two sides answer has to be the same.
  #
  # What an argument may be is said once for each function, by words; a word is a list of values. A call takes each of its arguments from
  # these, now and then from `junk`.

  @tables [:sur_set, :sur_ordered, :sur_bag, :sur_read_only, :sur_frag]

  def tables, do: @tables

  # --- the tables, the same before each call that may change them ---

  def create(m) do
    for {table, options} <- [
          sur_set: [index: [:a], user_properties: [{:p, 1}]],
          sur_ordered: [type: :ordered_set, record_name: :r, index: [:b]],
          sur_bag: [type: :bag],
          sur_read_only: [],
          sur_frag: [index: [:a], frag_properties: [n_fragments: 2, node_pool: [node()]]]
        ],
        do: {:atomic, :ok} = m.create_table(table, [attributes: [:k, :a, :b]] ++ options)

    m.dirty_write({:sur_set, 1, :x, 2})
    for k <- 1..3, do: m.dirty_write(:sur_ordered, {:r, k, k, :y})
    for a <- [:x, :y], do: m.dirty_write({:sur_bag, 1, a, 2})
    m.dirty_write({:sur_read_only, 1, :x, 2})
    m.dirty_write({:sur_frag, 1, :x, 2})
    {:atomic, :ok} = m.change_table_access_mode(:sur_read_only, :read_only)
    :ok
  end

  def delete(m) do
    # What stands for an argument that makes no sense may have become the name of a table.
    for table <- m.system_info(:tables) -- [:schema],
        table in [nil, :any] or String.starts_with?("#{table}", "sur_") do
      m.change_table_access_mode(table, :read_write)
      m.delete_table(table)
    end

    :ok
  end

  @doc "What is known of the tables, to be compared after calls that may change them."
  def state(m) do
    for table <- Enum.sort(m.system_info(:tables)), String.starts_with?("#{table}", "sur_") do
      {table, about(m, table), Enum.sort(m.dirty_select(table, [{:_, [], [:"$_"]}]))}
    end
  end

  # Stock lists the ETS tables of indexes too.
  defp about(m, table),
    do:
      for(
        {item, value} <- m.table_info(table, :all),
        is_atom(item),
        item not in [:memory, :master_nodes],
        do: {item, value}
      )

  # --- functions ---

  @access [
    read: [[:oid], [:table, :key], [:table, :key, :lock]],
    wread: [[:oid]],
    write: [[:record], [:table, :record, :lock]],
    s_write: [[:record]],
    delete: [[:oid], [:table, :key, :lock]],
    s_delete: [[:oid]],
    delete_object: [[:record], [:table, :record, :lock]],
    s_delete_object: [[:record]],
    match_object: [[:pattern], [:table, :pattern, :lock]],
    select: [
      [:continuation],
      [:table, :spec],
      [:table, :spec, :lock],
      [:table, :spec, :size, :lock]
    ],
    index_read: [[:table, :value, :attribute]],
    index_match_object: [[:pattern, :attribute], [:table, :pattern, :attribute, :lock]],
    all_keys: [[:table]],
    first: [[:table]],
    last: [[:table]],
    next: [[:table, :key]],
    prev: [[:table, :key]],
    foldl: [[:fold, :value, :table], [:fold, :value, :table, :lock]],
    foldr: [[:fold, :value, :table], [:fold, :value, :table, :lock]],
    lock: [[:item, :lock]],
    lock_table: [[:table, :lock]],
    read_lock_table: [[:table]],
    write_lock_table: [[:table]],
    clear_table: [[:table]],
    table_info: [[:table, :info]],
    raw_table_info: [[:table, :measure]],
    is_transaction: [[]],
    has_var: [[:pattern]],
    table: [[:table], [:table, :handle_options]]
  ]

  @dirty [
    dirty_read: [[:oid], [:table, :key]],
    dirty_write: [[:record], [:table, :record]],
    dirty_delete: [[:oid], [:table, :key]],
    dirty_delete_object: [[:record], [:table, :record]],
    dirty_update_counter: [[:oid, :number], [:table, :key, :number]],
    dirty_match_object: [[:pattern], [:table, :pattern]],
    dirty_select: [[:table, :spec]],
    dirty_index_read: [[:table, :value, :attribute]],
    dirty_index_match_object: [[:pattern, :attribute], [:table, :pattern, :attribute]],
    dirty_all_keys: [[:table]],
    dirty_first: [[:table]],
    dirty_last: [[:table]],
    dirty_next: [[:table, :key]],
    dirty_prev: [[:table, :key]],
    dirty_slot: [[:table, :slot]],
    dirty_rpc: [[:table, :module, :function, :arguments]],
    remote_dirty_match_object: [[:table, :pattern]],
    remote_dirty_select: [[:table, :spec]]
  ]

  @activities [
    transaction: [[:fun0], [:fun0, :retries], [:fun1, :arguments], [:fun1, :arguments, :retries]],
    sync_transaction: [
      [:fun0],
      [:fun0, :retries],
      [:fun1, :arguments],
      [:fun1, :arguments, :retries]
    ],
    async_dirty: [[:fun0], [:fun1, :arguments]],
    sync_dirty: [[:fun0], [:fun1, :arguments]],
    ets: [[:fun0], [:fun1, :arguments]],
    activity: [
      [:kind, :fun0],
      [:kind, :fun1, :arguments],
      [:kind, :fun0, :access],
      [:kind, :fun1, :arguments, :access]
    ],
    abort: [[:value]],
    get_activity_id: [[]]
  ]

  @system [
    system_info: [[:system]],
    subscribe: [[:topic]],
    unsubscribe: [[:topic]],
    wait_for_tables: [[:some_tables, :timeout]],
    force_load_table: [[:table]],
    change_config: [[:setting, :setting_value]],
    error_description: [[:reason]],
    read_table_property: [[:table, :property]],
    set_master_nodes: [[:nodes], [:table, :nodes]],
    set_debug_level: [[:level]],
    dump_log: [[]],
    create_schema: [[:nodes], [:nodes, :schema_properties]],
    delete_schema: [[:nodes]]
  ]

  @schema [
    create_table: [[:table_definition], [:new_table, :table_options]],
    delete_table: [[:table]],
    add_table_index: [[:table, :attribute]],
    del_table_index: [[:table, :attribute]],
    transform_table: [[:table, :fun1, :attributes], [:table, :fun1, :attributes, :name]],
    change_table_access_mode: [[:table, :mode]],
    change_table_load_order: [[:table, :number]],
    change_table_majority: [[:table, :boolean]],
    change_table_copy_type: [[:table, :node, :storage]],
    add_table_copy: [[:table, :node, :storage]],
    del_table_copy: [[:table, :node]],
    move_table_copy: [[:table, :node, :node]],
    write_table_property: [[:table, :property_tuple]],
    delete_table_property: [[:table, :property]],
    change_table_frag: [[:table, :fragment_change]],
    dump_tables: [[:some_tables]]
  ]

  def functions(:access), do: @access
  def functions(:dirty), do: @dirty
  def functions(:activities), do: @activities
  def functions(:system), do: @system
  def functions(:schema), do: @schema

  def functions,
    do: Enum.flat_map([:access, :dirty, :activities, :system, :schema], &functions/1)

  # --- arguments ---

  # Not `:_` for a table: stock may wait for the locks of all tables then.
  @junk [
    :any,
    :nowhere,
    :schema,
    1,
    -1,
    1.5,
    "x",
    [],
    [:x],
    {},
    {:x},
    {1, 2, 3},
    nil,
    ~c"text",
    %{}
  ]

  @doc "Arguments for a function: `count` times at random, each word's values."
  def arguments(words, count) do
    all = words |> Enum.map(&values/1) |> product()

    chosen = if length(all) > count, do: Enum.take_random(all, count), else: all

    spoilt =
      for arguments <- Enum.take_random(all, div(count, 4) + 2),
          arguments != [],
          do: List.replace_at(arguments, :rand.uniform(length(words)) - 1, Enum.random(@junk))

    Enum.uniq(chosen ++ spoilt)
  end

  defp product([]), do: [[]]
  defp product([values | rest]), do: for(v <- values, more <- product(rest), do: [v | more])

  defp values(:table),
    do: [:sur_set, :sur_ordered, :sur_bag, :sur_read_only, :sur_frag, :nowhere, :schema, 1]

  defp values(:some_tables),
    do: [[], [:sur_set], [:sur_set, :nowhere], [:schema], [:sur_frag], [1], :sur_set, [:nowhere]]

  defp values(:key), do: [1, 7, 1.0, :_, {:a, :"$1"}]
  defp values(:value), do: [:x, 2, :y, :_, {:"$1"}]
  defp values(:oid), do: for(t <- values(:table), k <- [1, 7], do: {t, k})
  defp values(:lock), do: [:read, :write, :sticky_write, :load, :none, :loose]
  defp values(:size), do: [1, 100, 0, -1]
  defp values(:number), do: [1, -5, 0, 2.5, :x]
  defp values(:measure), do: [:size, :memory]
  defp values(:slot), do: [-1, 1_000_000_000, :x]
  defp values(:attribute), do: [:k, :a, :b, :nope, 1, 2, 3, 4, 5, 9]
  defp values(:attributes), do: [[:k, :a, :b], [:k, :a], [:k, :a, :b, :c], [:k], [:k, :k], [], :x]
  defp values(:name), do: [:sur_set, :r, :other, 1]
  defp values(:continuation), do: [:"$end_of_table", :x, {:x}]

  defp values(:record) do
    [
      {:sur_set, 1, :x, 2},
      {:sur_set, 2, :x, 2},
      {:sur_bag, 1, :x, 2},
      {:sur_bag, 1, :z, 2},
      {:r, 1, 1, :y},
      {:sur_frag, 1, :x, 2},
      {:sur_read_only, 1, :x, 2},
      {:sur_set, 1, :x},
      {:sur_set, 1},
      {:sur_set, :_, :x, 2},
      {:nowhere, 1, 2},
      {:schema, 1, 2}
    ]
  end

  defp values(:pattern) do
    [
      {:sur_set, :_, :_, :_},
      {:sur_set, 1, :"$1", :_},
      {:sur_set, :_, :x, :_},
      {:sur_bag, :_, :x, :"$1"},
      {:r, :_, :_, :y},
      {:r, 2, :_, :_},
      {:sur_frag, :_, :x, :_},
      {:sur_read_only, :_, :_, :_},
      {:nowhere, :_, :_},
      {:sur_set, :_},
      {:_, :_, :_, :_},
      {:schema, :_, :_}
    ]
  end

  defp values(:spec) do
    [
      [],
      [{:_, [], [:"$_"]}],
      [{{:sur_set, :"$1", :_, :_}, [], [:"$1"]}],
      [{{:r, :"$1", :_, :_}, [{:>, :"$1", 1}], [{{:"$1"}}]}],
      [{{:_, 1, :"$1", :_}, [], [:"$$"]}],
      [{{:sur_frag, :"$1", :x, :_}, [], [:"$_"]}],
      [{:_, [{:nonsense, 1}], [1]}],
      [{:_, [], []}],
      [:x],
      :x
    ]
  end

  defp values(:item) do
    for(t <- values(:table), do: {:table, t}) ++
      for(t <- values(:table), do: {:record, t, 1}) ++
      [
        {:global, :g, [node()]},
        {:global, :g, []},
        {:global, :g, [:other@nowhere]},
        {:global, :g, :x}
      ]
  end

  defp values(:fold),
    do: [fn _record, n -> n end, fn record, _n -> record end, fn _, _ -> exit(:why) end]

  defp values(:fun0) do
    [fn -> :done end, fn -> exit(:why) end, fn -> throw(:why) end, fn -> :erlang.error(:why) end] ++
      [fn -> exit({:aborted, :why}) end]
  end

  defp values(:fun1),
    do: [&Function.identity/1, fn _ -> exit(:why) end, &put_elem(&1, 2, :new), :ignore]

  defp values(:arguments), do: [[], [1], [1, 2], :x, 3]
  defp values(:retries), do: [0, 1, :infinity, -1, :x, []]

  defp values(:kind) do
    [:transaction, :sync_transaction, :async_dirty, :sync_dirty, :ets, {:transaction, 2}] ++
      [{:sync_transaction, :infinity}, {:transaction, :x}, {:async_dirty, 1}, :loose]
  end

  defp values(:access), do: [:mnesia_frag, Oracle.Door.Pass]
  defp values(:module), do: [:erlang, :lists]
  defp values(:function), do: [:length, :nonsense]
  defp values(:property), do: [:p, :q, 1]
  defp values(:property_tuple), do: [{:p, 2}, {:q, 1, 2}, {:x}, {}]
  defp values(:mode), do: [:read_only, :read_write, :x]
  defp values(:boolean), do: [true, false]
  defp values(:node), do: [node(), :other@nowhere]
  defp values(:nodes), do: [[node()], [], [:other@nowhere], [node(), :other@nowhere], :x]
  defp values(:storage), do: [:ram_copies, :disc_copies, :disc_only_copies, :unknown, :x]
  defp values(:timeout), do: [0, 5, -1, :x]
  defp values(:level), do: [:none, :x]
  defp values(:setting), do: [:extra_db_nodes, :dc_dump_limit, :dir, :debug, :x]
  defp values(:setting_value), do: [[], [node()], [:other@nowhere], 4, 0, -1, :x]
  defp values(:schema_properties), do: [[], [{:backend_types, []}], [:x], :x]

  defp values(:reason) do
    [{:aborted, {:no_exists, :t}}, {:no_exists, :t}, {:badarg, :t, 1}, :no_transaction, :nonsense] ++
      [
        {:error, {:bad_type, 1}},
        {:node_not_running, node()},
        {:nonsense, 1},
        "x",
        {:aborted, :nested_transaction}
      ]
  end

  defp values(:topic) do
    for(t <- values(:table), do: {:table, t}) ++
      for(t <- values(:table), level <- [:simple, :detailed, :x], do: {:table, t, level}) ++
      [:system, :activity, :x]
  end

  defp values(:handle_options) do
    [[], [lock: :write], [lock: :loose], [n_objects: 1], [n_objects: 0], [traverse: :select]] ++
      [[traverse: {:select, [{:_, [], [1]}]}], [traverse: :x], [x: 1], :x, {:lock, :read}]
  end

  defp values(:fragment_change) do
    [{:activate, []}, :deactivate, {:add_frag, [node()]}, :del_frag, {:add_node, :x@y}] ++
      [{:del_node, node()}, {:add_node, 1}, {:activate, :x}, :x, {:add_frag, :x}]
  end

  defp values(:new_table), do: [:sur_new, :sur_new, :sur_set, :schema, 1]

  defp values(:table_options) do
    [
      [],
      [:x],
      :x,
      [x: 1],
      [type: :bag, type: :set],
      [type: :ordered_set, disc_only_copies: [node()]],
      [disc_copies: [node()]],
      [disc_only_copies: [node()]],
      [ram_copies: [node()], disc_copies: [node()]],
      [ram_copies: []],
      [ram_copies: :x],
      [ram_copies: [1]]
    ] ++
      for(
        {option, value} <- [
          type: :bag,
          type: :x,
          attributes: [:k],
          attributes: [:k, :k],
          attributes: [:k, 1],
          attributes: [:k, :a, :snmp],
          attributes: :x,
          index: [:val],
          index: [:key],
          index: [2],
          index: [3],
          index: [9],
          index: :x,
          index: [{:val, :x}],
          access_mode: :read_only,
          access_mode: :x,
          load_order: 3,
          load_order: :x,
          majority: true,
          majority: :x,
          local_content: true,
          local_content: :x,
          record_name: :other,
          record_name: 1,
          user_properties: [{:p, 1}],
          user_properties: [{}],
          user_properties: :x,
          storage_properties: [ets: [:compressed]],
          storage_properties: [ets: [:bag]],
          storage_properties: [ets: [{:keypos, 1}]],
          storage_properties: [dets: [{:type, :x}]],
          storage_properties: [ets: :x],
          snmp: [],
          snmp: :x,
          cookie: :x,
          version: :x,
          frag_properties: [n_fragments: 2],
          frag_properties: :x
        ],
        do: [{option, value}]
      )
  end

  defp values(:table_definition),
    do:
      for(
        name <- [:sur_new, :sur_set],
        o <- values(:table_options),
        is_list(o),
        do: [{:name, name} | o]
      ) ++ [[], :x, [name: 1]]

  @table_items ~w(access_mode active_replicas all all_nodes arity attributes checkpoints commit_work cookie cstruct disc_copies
                  disc_only_copies external_copies frag_properties index index_info load_by_force load_node load_order load_reason
                  local_content majority master_nodes name ram_copies record_name record_validation size snmp storage_properties
                  storage_type subscribers type user_properties version where_to_commit where_to_read where_to_wlock where_to_write
                  wild_pattern base_table n_fragments frag_names frag_size foreigners nope)a
  defp values(:info), do: @table_items

  @system_items ~w(access_module auto_repair backend_types backup_module checkpoints core_dir db_nodes dc_dump_limit debug
                   dump_log_load_regulation dump_log_time_threshold dump_log_update_in_place dump_log_write_threshold event_module
                   extra_db_nodes fallback_activated fallback_error_function ignore_fallback_at_startup is_running lock_queue
                   log_version master_node_tables max_transfer_size max_wait_for_decision no_table_loaders protocol_version
                   running_db_nodes send_compressed transactions use_dir nope)a
  defp values(:system), do: @system_items
end
