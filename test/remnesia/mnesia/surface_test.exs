defmodule Remnesia.Mnesia.SurfaceTest do
  use ExUnit.Case

  @moduletag timeout: 600_000

  # Every function of Mnesia, with good and bad arguments, in every kind of activity: the same answers and reasons as stock's.
  # REMNESIA_SEED=n repeats a run; REMNESIA_CALLS=n asks for more calls of each function.

  alias Remnesia.{Door, Surface}

  setup_all do
    seed = number("REMNESIA_SEED", System.unique_integer([:positive]) + :os.system_time(:second))
    IO.puts("\nsurface: REMNESIA_SEED=#{seed}")
    for m <- [:mnesia, :remnesia], do: Surface.delete(m)
    on_exit(fn -> for m <- [:mnesia, :remnesia], do: Surface.delete(m) end)
    %{seed: seed}
  end

  setup %{seed: seed} do
    :rand.seed(:exsss, {seed, 1, 2})
    for m <- [:mnesia, :remnesia], do: {Surface.delete(m), Surface.create(m)}
    on_exit(fn -> for m <- [:mnesia, :remnesia], do: Surface.delete(m) end)
  end

  defp number(variable, default) do
    case System.get_env(variable) do
      nil -> default
      text -> String.to_integer(text)
    end
  end

  # What is not for use, belongs to other tests, or prints.
  @elsewhere ~w(report_event start stop kill lkill ms info schema put_activity_id dump_to_textfile load_textfile sync_log module_info
                fun_select dirty_sel_init add_backend_type system_info backup traverse_backup install_fallback uninstall_fallback
                activate_checkpoint deactivate_checkpoint backup_checkpoint restore snmp_open_table snmp_close_table snmp_get_row
                snmp_get_next_index snmp_get_mnesia_key)a

  # The arities of access modules are reached through one.
  @explicit ~w(lock write delete delete_object read match_object select select_cont index_match_object index_read all_keys first last next
               prev foldl foldr table_info clear_table)a

  test "no function of Mnesia is forgotten" do
    known =
      for({name, arities} <- Surface.functions(), words <- arities, do: {name, length(words)})

    unknown =
      for {name, arity} <- :mnesia.module_info(:exports) -- known,
          name not in @elsewhere and name not in @explicit,
          do: {name, arity}

    assert unknown == []
  end

  # --- calls ---

  defp calls(group, count) do
    count = number("REMNESIA_CALLS", count)

    for {name, arities} <- Surface.functions(group),
        words <- arities,
        arguments <- Surface.arguments(words, count),
        not excluded?(name, arguments),
        do: {name, arguments}
  end

  # Exclusions, each a row of guides/differences.md with a test.
  # "a read lock on all of them"
  defp excluded?(name, arguments)
       when name in [:lock, :lock_table, :read_lock_table, :write_lock_table],
       do: match?([:sur_frag | _], arguments) or match?([{:table, :sur_frag} | _], arguments)

  # Whether a lock of the schema that excludes loading is one depends on the pattern.
  defp excluded?(name, [:schema, _pattern, :load]) when name in [:match_object, :select], do: true

  # What stock does to its schema would go on.
  defp excluded?(name, [:schema | _])
       when name in [:clear_table, :change_table_access_mode, :change_table_copy_type] or
              name in [:del_table_copy, :write_table_property, :delete_table_property],
       do: true

  # Memory is what it is. For other nodes' Mnesia only: no `remote_` functions.
  defp excluded?(:raw_table_info, [_table, :memory]), do: true

  defp excluded?(name, _arguments)
       when name in [:remote_dirty_select, :remote_dirty_match_object],
       do: true

  # How often the schema was changed depends on the tests before.
  defp excluded?(name, [:schema, item]) when name in [:table_info, :raw_table_info],
    do: item in [:version, :cstruct, :all]

  # What is where is another thing; who is under way has tests of its own.
  defp excluded?(:dirty_slot, [_table, slot]), do: slot not in [-1, 1_000_000_000, :x]

  defp excluded?(:system_info, [item]),
    do: item in [:transactions, :master_node_tables, :schema_version]

  defp excluded?(:change_config, [_key, nodes]) when is_list(nodes),
    do: not Enum.all?(nodes, &(&1 == node()))

  # Other nodes are not there.
  defp excluded?(name, [_table, node | _]) when name in [:add_table_copy, :move_table_copy],
    do: is_atom(node) and node != node()

  defp excluded?(:table_info, [:_, _item]), do: true

  # "transform_table with :ignore", and indexes on several attributes.
  defp excluded?(:transform_table, [_table, :ignore, attributes | name]),
    do: (is_list(attributes) and length(attributes) != 3) or name != []

  # So do records that a function leaves as they are.
  defp excluded?(:transform_table, [_table, fun, _attributes, _name]) when is_function(fun, 1),
    do: fun == (&Function.identity/1)

  defp excluded?(name, [_table, attributes]) when name in [:add_table_index, :del_table_index],
    do: is_list(attributes)

  defp excluded?(_name, _arguments), do: false

  defp call(m, name, arguments), do: evaluate(name, apply(m, name, module(arguments, m)))

  defp module(arguments, m) do
    Enum.map(arguments, fn
      Oracle.Door.Pass -> Oracle.Door.Pass.module(m)
      other -> other
    end)
  end

  defp evaluate(:table, handle), do: :qlc.e(handle)

  # Chunks of what has no order may differ, and continuations are opaque.
  defp evaluate(:select, {chunk, continuation}) when is_list(chunk) and is_tuple(continuation),
    do: {length(chunk), :continuation}

  defp evaluate(:table_info, [{:access_mode, _} | _] = all),
    do:
      for(
        {item, value} <- all,
        is_atom(item),
        item != :memory,
        do: {item, if(item in [:tables, :local_tables], do: Enum.sort(value), else: value)}
      )

  # "what lock/2 answers"
  defp evaluate(name, answer)
       when name in [:lock, :lock_table] and (answer in [[], :ok, :granted] or answer == [node()]),
       do: :locked

  defp evaluate(_name, answer), do: answer

  # A nonsensical call that crashes on both sides is the same, whatever crashed. What has no order is sorted.
  defp tidy({:error, _reason}), do: :crash
  defp tidy({:exit, {_reason, :stack}}), do: :crash
  defp tidy({:aborted, {_reason, :stack}}), do: :crash

  defp tidy({tag, answer}) when tag in [:value, :exit, :atomic, :aborted, :result] do
    case tidy(answer) do
      :crash -> :crash
      answer -> {tag, answer}
    end
  end

  defp tidy({answer, [{table, [{_, _} | _], _} | _] = state}) when is_atom(table),
    do: {tidy(answer), state}

  defp tidy(list) when is_list(list),
    do: if(List.improper?(list), do: list, else: Enum.sort(list))

  defp tidy(other), do: other

  defp compare(calls, run) do
    differing =
      for {name, arguments} <- calls,
          {stock, ours} = Door.both(fn m -> run.(m, fn -> call(m, name, arguments) end) end),
          tidy(stock) != tidy(ours),
          do:
            "#{name}#{inspect(arguments)}\n    stock: #{inspect(stock)}\n    ours:  #{inspect(ours)}"

    assert differing == [],
           Enum.join(["#{length(differing)} differ" | Enum.take(differing, 60)], "\n")
  end

  defp undone(m, run, call), do: run.(fn -> m.abort({:result, call.()}) end)

  test "outside of activities" do
    compare(calls(:access, 60), fn _m, call -> call.() end)
  end

  test "in transactions" do
    for kind <- [:transaction, :sync_transaction] do
      compare(calls(:access, 60), fn m, call -> undone(m, &apply(m, kind, [&1]), call) end)
    end
  end

  test "in inner transactions" do
    compare(calls(:access, 30), fn m, call ->
      m.transaction(fn -> undone(m, &m.transaction/1, call) end)
    end)
  end

  test "in a transaction that has written" do
    # What is wrong is refused otherwise there: stock makes a specification of its own, and takes a key for a pattern.
    calls =
      for {name, arguments} <- calls(:access, 60),
          not (name == :select and bad?(arguments)),
          not (name in [:next, :prev] and List.last(arguments) == :_),
          not (name in [:match_object, :select] and List.last(arguments) in [:none, :load]),
          not (name in [:match_object, :index_match_object] and {:r, :_, :_, :y} in arguments),
          not (name == :select and length(arguments) == 4),
          not match?([_table, [n_objects: 0]], arguments),
          do: {name, arguments}

    compare(calls, fn m, call ->
      undone(m, &m.transaction/1, fn ->
        m.write({:sur_set, 2, :x, 3})
        m.write(:sur_ordered, {:r, 2, :new, :y}, :write)
        m.delete({:sur_ordered, 3})
        m.write({:sur_bag, 1, :z, 2})
        call.()
      end)
    end)
  end

  defp bad?([_table, spec | rest]) do
    size = if length(rest) == 2, do: hd(rest), else: 1
    spec in [[], :x, [:x]] or not match?([{_, [], [_ | _]} | _], spec) or size not in [1, 100]
  end

  defp bad?(_continuation), do: false

  test "through access modules" do
    for kind <- [:transaction, :async_dirty], module <- [:mnesia_frag, Oracle.Door.Pass] do
      compare(calls(:access, 40), fn m, call ->
        [module] = module([module], m)
        m.transaction(fn -> undone(m, &m.activity(kind, &1, [], module), call) end)
      end)
    end
  end

  test "in dirty activities" do
    for kind <- [:async_dirty, :sync_dirty, :ets] do
      compare(changing(calls(:access, 40), kind), fn m, call -> apply(m, kind, [call]) end)
      again()
    end
  end

  # "a write within ets that does not fit"
  defp changing(calls, :ets) do
    for {name, arguments} <- calls,
        name not in [:write, :s_write, :delete, :s_delete, :delete_object, :s_delete_object],
        do: {name, arguments}
  end

  defp changing(calls, _kind), do: calls

  defp again, do: for(m <- [:mnesia, :remnesia], do: {Surface.delete(m), Surface.create(m)})

  test "dirty functions" do
    compare(calls(:dirty, 60), fn _m, call -> call.() end)
    again()
    compare(calls(:dirty, 30), fn m, call -> m.transaction(call) end)
  end

  test "activities" do
    compare(calls(:activities, 80), fn _m, call -> call.() end)
    compare(calls(:activities, 40), fn m, call -> m.transaction(call) end)
    compare(calls(:activities, 40), fn m, call -> m.async_dirty(call) end)
  end

  test "the system" do
    compare(calls(:system, 60), fn _m, call -> call.() end)
    again()
    compare(calls(:system, 30), fn m, call -> m.transaction(call) end)
  end

  test "changes of the schema" do
    compare(calls(:schema, 60), fn m, call ->
      Surface.delete(m)
      Surface.create(m)
      {call.(), Surface.state(m)}
    end)
  end

  test "changes of the schema in activities" do
    compare(calls(:schema, 20), fn m, call -> m.transaction(call) end)

    for kind <- [:async_dirty, :ets] do
      compare(calls(:schema, 20), fn m, call ->
        Surface.delete(m)
        Surface.create(m)
        {apply(m, kind, [call]), Surface.state(m)}
      end)
    end
  end

  test "while it is stopped" do
    calls =
      for group <- [:access, :dirty, :activities, :schema], call <- calls(group, 15), do: call

    for m <- [:mnesia, :remnesia], do: :stopped = m.stop()

    try do
      compare(calls, fn _m, call -> call.() end)
    after
      for m <- [:mnesia, :remnesia], do: :ok = m.start()
    end
  end
end
