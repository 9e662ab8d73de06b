defmodule Remnesia.Transfer.Import do
  @moduledoc false

  # Stock Mnesia's tables into Remnesia's. A table that is there already with the cookie of the source is one that an earlier
  # import made: it is left if it holds what the source holds, else filled again. So an import that was cut off goes on.

  alias Remnesia.{Engine, Native}
  alias Remnesia.Engine.Local.Nodes
  alias Remnesia.Transfer.{MnesiaBackup, MnesiaSource}

  @batch 1_000
  @atoms 100_000

  # What a definition of Mnesia's says that ours takes over as it is.
  @taken ~w(type load_order record_name attributes user_properties storage_properties local_content)a ++
           ~w(access_mode cookie version)a

  @type result :: {:ok, [{atom, non_neg_integer}]} | {:error, term}

  @spec run(:running | Path.t(), keyword) :: result
  def run(source, options) do
    progress = Keyword.get(options, :progress, fn _line -> :ok end)
    scratch = Path.join(System.tmp_dir!(), "remnesia-import-#{System.pid()}-#{unique()}")

    try do
      with {:ok, node, counts} <-
             MnesiaSource.dump(source, scratch, options[:node], progress),
           {:ok, done} <- restore(scratch, node, wanted(counts, options), options, progress),
           :ok <- verify(counts, done) do
        {:ok, Enum.sort(done)}
      end
    after
      File.rm(scratch)
    end
  end

  defp wanted(counts, options) do
    case Keyword.get(options, :tables, :all) do
      :all -> counts
      tables -> Enum.filter(counts, fn {table, _, _} -> table in tables end)
    end
  end

  defp restore(path, node, counts, options, progress) do
    atoms = Keyword.get(options, :max_atoms, @atoms)
    wanted = Map.new(counts, fn {table, number, sum} -> {table, {number, sum}} end)
    state = %{wanted: wanted, node: node, open: %{}, batch: {nil, []}, progress: progress}

    with {:ok, state} <- MnesiaBackup.fold(path, atoms, state, &items/2) do
      state = flush(state)
      Enum.each(state.open, fn {table, how} -> close(table, how) end)
      {:ok, for({table, _how} <- state.open, do: {table, Engine.table_info(table, :size)})}
    end
  catch
    {__MODULE__, reason} -> {:error, reason}
  end

  defp items(items, state), do: Enum.reduce(items, state, &item/2)

  defp item({:schema, table, definition}, state)
       when is_map_key(state.wanted, table) and is_list(definition) do
    how = open(table, definition, state)
    state.progress.("#{inspect(table)}: #{how}")
    put_in(state.open[table], how)
  end

  defp item({:schema, _table, _definition}, state), do: state
  defp item({:schema, _table}, state), do: state

  defp item(record, state) when is_tuple(record) and tuple_size(record) > 2 do
    table = elem(record, 0)

    case {state.open, state.batch} do
      {%{^table => :filled}, {^table, batch}} when length(batch) < @batch ->
        %{state | batch: {table, [record | batch]}}

      {%{^table => :filled}, _other} ->
        %{flush(state) | batch: {table, [record]}}

      {_not_wanted, _batch} ->
        state
    end
  end

  # Of a table, but not a record: a deletion, which a backup has no use for.
  defp item(_other, state), do: state

  # Makes the table, or finds what an earlier import made.
  defp open(table, definition, state) do
    case Engine.create_table(table, options(definition, state.node)) do
      {:atomic, :ok} ->
        fill(table)

      {:aborted, {:already_exists, ^table}} ->
        with {:error, reason} <- Nodes.loaded([table]), do: stop(reason)

        cond do
          Engine.table_info(table, :cookie) != definition[:cookie] ->
            stop({:already_exists, table})

          count(table) == state.wanted[table] ->
            :complete

          true ->
            :ok = Native.table_access(table, :read_write)
            {:atomic, :ok} = Engine.clear_table(table)
            fill(table)
        end

      {:aborted, reason} ->
        stop(reason)
    end
  end

  # A read-only table is filled before it is closed.
  defp fill(table) do
    :ok = Native.table_access(table, :read_write)
    :filled
  end

  defp close(_table, :complete), do: :ok

  defp close(table, :filled),
    do: Native.table_access(table, Engine.table_info(table, :access_mode))

  defp options(definition, node) do
    storage =
      Enum.find([:disc_copies, :disc_only_copies, :ram_copies], :ram_copies, fn kind ->
        node in Keyword.get(definition, kind, [])
      end)

    index =
      for {position, _kind} when is_integer(position) <- definition[:index] || [], do: position

    [{storage(storage), [node()]}, {:index, index} | Keyword.take(definition, @taken)]
  end

  # Where there is no schema on disc the tables come into memory.
  defp storage(kind), do: if(Engine.system_info(:use_dir), do: kind, else: :ram_copies)

  defp flush(%{batch: {nil, []}} = state), do: state

  defp flush(%{batch: {table, batch}} = state) do
    name = Engine.table_info(table, :record_name)

    {:atomic, :ok} =
      Engine.transaction(fn ->
        for record <- Enum.reverse(batch),
            do: Engine.write(table, put_elem(record, 0, name), :write)

        :ok
      end)

    %{state | batch: {nil, []}}
  end

  defp verify(counts, done) do
    wrong =
      for {table, number, sum} <- counts,
          List.keymember?(done, table, 0),
          count(table) != {number, sum},
          do: table

    if wrong == [], do: :ok, else: {:error, {:differ, wrong}}
  end

  @doc "Number of records of a table and the sum of their hashes."
  @spec count(atom) :: {non_neg_integer, non_neg_integer}
  def count(table) do
    {:atomic, result} =
      Engine.transaction(fn ->
        all = [{:_, [], [:"$_"]}]
        table |> Engine.select(all, @batch, :read) |> count({0, 0})
      end)

    result
  end

  defp count(:"$end_of_table", acc), do: acc

  defp count({records, continuation}, acc) do
    continuation |> Engine.select() |> count(MnesiaSource.count(records, acc))
  end

  defp unique, do: System.unique_integer([:positive])

  @spec stop(term) :: no_return
  defp stop(reason), do: throw({__MODULE__, reason})
end
