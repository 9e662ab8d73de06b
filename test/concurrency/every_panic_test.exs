defmodule Remnesia.EveryPanicTest do
  use ExUnit.Case, async: false

  import Stress

  alias Remnesia.{Engine, Native}

  # A panic in any function of the library, before its work, within the transaction that it works on, or after it, is an error of the call: nothing stays
  # locked, and whoever comes next can work. The functions are those that the library says it has, and the arguments follow from the names in the stubs, so
  # that a new function is tested as soon as it is there.

  @source Path.expand("../../lib/remnesia/native.ex", __DIR__)

  # Those that have a handle, but do not get as far as the transaction with these arguments, or have no use for it.
  @no_transaction [:select_next, :update_counter, :txn_join]

  # A table that was announced and never read from the disc would be in the backups of other tests.
  setup do
    on_exit(fn ->
      Application.stop(:remnesia)
      {:ok, _} = Application.ensure_all_started(:remnesia)
    end)
  end

  defp functions do
    parameters =
      for {name, arguments} <- stubs(),
          into: %{},
          do: {{name, length(arguments)}, for({argument, _, _} <- arguments, do: argument)}

    for {name, arity} <- Native.test_functions(), name not in [:test_fault, :test_functions] do
      {name, Map.fetch!(parameters, {name, arity})}
    end
  end

  defp stubs do
    {_, stubs} =
      @source
      |> File.read!()
      |> Code.string_to_quoted!()
      |> Macro.prewalk([], fn
        {:def, _, [{name, _, arguments} | _]} = def, all when is_list(arguments) ->
          {def, [{name, arguments} | all]}

        {:def, _, [{name, _, nil} | _]} = def, all ->
          {def, [{name, []} | all]}

        other, all ->
          {other, all}
      end)

    stubs
  end

  defp sample(:_ctx, handle, _table), do: handle
  defp sample(:_txn, handle, _table), do: handle
  defp sample(name, _handle, table), do: sample(name, table)

  defp sample(name, table) when name in [:_name, :_record_name], do: table
  defp sample(:_type, _), do: :set
  defp sample(:_arity, _), do: 4
  defp sample(:_directory, _), do: "/proc/nowhere"
  defp sample(:_ref, _), do: make_ref()
  defp sample(:_kind, _), do: :write
  defp sample(:_props, table), do: elem(Native.table_props(table), 1)
  defp sample(:_mode, _), do: :read_write
  defp sample(:_names, table), do: [table]
  defp sample(:_record, table), do: {table, 1, 2, 3}
  defp sample(:_records, table), do: [{table, 1, 2, 3}]
  defp sample(:_shape, table), do: {:set, 4, table, []}
  defp sample(:_spec, _), do: [{:_, [], [:"$_"]}]
  defp sample(:_order, _), do: [2]

  defp sample(name, _) when name in [:_index, :_settings, :_changes, :_swaps], do: []
  defp sample(name, _) when name in [:_number, :_place, :_continuation], do: nil
  defp sample(name, _) when name in [:_from, :_expected], do: 0
  defp sample(:_run, _), do: 1
  defp sample(:_opened, table), do: :_parcel |> sample(table) |> Native.transfer_open() |> elem(0)

  defp sample(:_parcel, table) do
    {parcel, [], :done} = Native.transfer_take(table, nil)
    parcel
  end

  defp sample(name, _) when name in [:_rows, :_unique, :_sync, :_ordered, :_on, :_log, :_dumped],
    do: false

  defp sample(name, _)
       when name in [:_a, :_b, :_bytes, :_incr, :_key, :_snapshot, :_term, :_times, :_value],
       do: 1

  defp sample(:_limit, _), do: 5
  defp sample(:_offset, _), do: 0
  defp sample(:_position, _), do: 4
  defp sample(:_positions, _), do: 3

  test "of the library there is a stub each, and no other" do
    listed = Enum.sort(Native.test_functions())

    stubs =
      for {name, arguments} <- stubs(), name not in [:load, :path], do: {name, length(arguments)}

    assert listed == Enum.sort(stubs)
  end

  for point <- [:before, :begun, :done, :after] do
    test "a panic #{point} the work of every function" do
      for {name, parameters} <- functions(), do: panic(name, parameters, unquote(point))
    end
  end

  defp panic(name, parameters, point) do
    table = table()
    fill(table, for(id <- 1..10, do: {id, id, id}))
    me = self()

    {pid, monitor} =
      spawn_monitor(fn ->
        handle = begun(table)
        arguments = for parameter <- parameters, do: sample(parameter, handle, table)
        send(me, {:answer, self(), call(name, arguments, point)})
      end)

    assert_receive {:answer, ^pid, answer}, 10_000, "#{name} does not answer"
    assert_receive {:DOWN, ^monitor, _, _, :normal}, 5_000

    if point in [:before, :after] or (transaction?(parameters) and name not in @no_transaction) do
      assert {name, answer} == {name, {:"$error", {:panic, "a test asked for it"}}}
    end

    if not Native.running() do
      Application.stop(:remnesia)
      {:ok, _} = Application.ensure_all_started(:remnesia)
    end

    others_go_on(name, table)
  end

  # In a transaction that has locks and changes, and with one more process that looks on.
  defp begun(table) do
    handle = Native.txn_new()
    1 = Native.txn_begin(handle)
    :ok = Native.write(handle, table, {table, 1, :never, 1}, :write)
    handle
  end

  defp call(name, arguments, point) do
    Native.test_fault("#{name}", arguments, point)
  rescue
    ArgumentError -> :badarg
  after
    Native.test_fault("running", [], :none)
  end

  defp transaction?(parameters), do: Enum.any?(parameters, &(&1 in [:_ctx, :_txn]))

  defp others_go_on(name, table) do
    if Engine.table?(table) do
      # What was begun beside it is given up by whoever began it.
      Native.table_take_back(table)
      Native.shadow_drop(table)
      work = Task.async(fn -> atomic(fn -> write(table, {1, name}) && value(table, 1) end) end)
      assert {name, Task.await(work, 5_000)} == {name, name}
      assert_clean(table)
      assert Engine.delete_table(table) == {:atomic, :ok}
    end

    other = table()
    assert atomic(fn -> write(other, {1, 1}) end) == :ok
    assert_clean(other)
    assert Engine.delete_table(other) == {:atomic, :ok}
  end
end
