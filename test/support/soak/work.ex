defmodule Soak.Work do
  @moduledoc false

  # What workers do, one thing at a time. A result that nobody may get is told to Soak.

  alias Remnesia.Query
  alias Soak.Tables
  alias Soak.Tables.Person

  @doc "Moves money between accounts of any tables."
  def transfer(soak) do
    times = if :rand.uniform(25) == 1, do: 200, else: :rand.uniform(4)
    kind = Enum.random([:transaction, :transaction, :transaction, :sync_transaction])
    run = fn fun -> apply(:remnesia, kind, [fun]) end

    result =
      run.(fn ->
        for _ <- 1..times, do: move(soak)
        if :rand.uniform(8) == 1, do: inner(soak)
        ending()
      end)

    expect(soak, :transfer, result, [:ok, :wanted])
  end

  defp move(soak) do
    [from, to] = for _ <- 1..2, do: {Enum.random(Tables.bank()), :rand.uniform(Tables.accounts())}
    by = :rand.uniform(9)
    change(soak, from, -by)
    if :rand.uniform(30) == 1, do: Process.sleep(:rand.uniform(2))
    change(soak, to, by)
  end

  defp change(soak, {table, id}, by) do
    case :remnesia.read(table, id, Enum.random([:read, :write])) do
      [row] ->
        new = row |> put_elem(2, elem(row, 2) + by) |> put_elem(3, :rand.uniform(7) - 1)
        replace(table, row, new)

      rows ->
        Soak.wrong(soak, {:account, table, id}, rows)
        :remnesia.abort(:account)
    end
  end

  defp replace(table, row, new) do
    if table in [:soak_bag, :soak_disc_duplicates, :soak_only_bag] do
      if :rand.uniform(2) == 1,
        do: :remnesia.delete(table, elem(row, 1), :write),
        else: :remnesia.delete_object(table, row, :write)
    end

    :remnesia.write(table, new, :write)
  end

  defp inner(soak) do
    {:aborted, :inner} =
      :remnesia.transaction(fn ->
        change(soak, {Enum.random(Tables.bank()), 1}, 1_000)
        :remnesia.abort(:inner)
      end)
  end

  defp ending do
    case :rand.uniform(20) do
      1 -> :remnesia.abort(:wanted)
      2 -> throw(:wanted)
      3 -> exit(:wanted)
      4 -> raise "wanted"
      _ -> :ok
    end
  end

  @doc "Sums up what is in all tables, in one way or another."
  def count_all(soak) do
    way = Enum.random([:select, :fold, :match, :keys, :chunks, :index])

    result =
      :remnesia.transaction(fn ->
        # In any order, so that those who lock all tables meet.
        sum =
          Tables.bank() |> Enum.shuffle() |> Enum.map(&Tables.total(all(way, &1))) |> Enum.sum()

        if sum == Tables.sum(), do: :ok, else: {way, sum - Tables.sum()}
      end)

    expect(soak, {:count_all, way}, result, [:ok])
    Process.sleep(20)
  end

  defp all(:select, table), do: :remnesia.select(table, [{:_, [], [:"$_"]}])
  defp all(:fold, table), do: :remnesia.foldr(&[&1 | &2], [], table)

  # A pattern of another size finds nothing: the lock keeps the definition as it is.
  defp all(:match, table) do
    :remnesia.read_lock_table(table)
    :remnesia.match_object(:remnesia.table_info(table, :wild_pattern))
  end

  defp all(:chunks, table), do: chunks(:remnesia.select(table, [{:_, [], [:"$_"]}], 7, :read))

  defp all(:keys, table),
    do: Enum.flat_map(:remnesia.all_keys(table), &:remnesia.read(table, &1, :read))

  # Where there is no index at the moment the table is searched.
  defp all(:index, table) do
    for owner <- 0..6, row <- by_owner(table, owner), do: row
  end

  defp by_owner(table, owner) do
    :remnesia.read_lock_table(table)

    if 4 in :remnesia.table_info(table, :index),
      do: :remnesia.index_read(table, owner, :owner),
      else: :remnesia.match_object(put_elem(:remnesia.table_info(table, :wild_pattern), 3, owner))
  end

  defp chunks(:"$end_of_table"), do: []
  defp chunks({rows, more}), do: rows ++ chunks(:remnesia.select(more))

  @doc "Looks without a transaction: each answer is right by itself."
  def look(soak) do
    table = Enum.random(Tables.bank())
    id = :rand.uniform(Tables.accounts())
    owner = :rand.uniform(7) - 1

    wrong =
      case :rand.uniform(8) do
        1 -> for row <- :remnesia.dirty_read(table, id), elem(row, 1) != id, do: row
        2 -> for row <- index_read(table, owner), elem(row, 3) != owner, do: row
        3 -> for row <- by_guard(table, owner), elem(row, 3) != owner, do: row
        4 -> for key <- :remnesia.dirty_all_keys(table), key not in 1..Tables.accounts(), do: key
        5 -> walk(table, :remnesia.dirty_first(table), [])
        6 -> if :remnesia.table_info(table, :size) in 0..1000, do: [], else: [:size]
        7 -> if :remnesia.system_info(:held_locks) |> is_list(), do: [], else: [:locks]
        8 -> if is_map(Remnesia.Engine.disc_metrics()), do: [], else: [:metrics]
      end

    if wrong != [], do: Soak.wrong(soak, {:look, table}, wrong)
  end

  defp by_guard(table, owner) do
    pattern = put_elem(:remnesia.table_info(table, :wild_pattern), 3, :"$1")
    :remnesia.dirty_select(table, [{pattern, [{:==, :"$1", owner}], [:"$_"]}])
  end

  defp index_read(table, owner) do
    :remnesia.dirty_index_read(table, owner, :owner)
  catch
    :exit, {:aborted, {:badarg, _}} -> []
    :exit, {:aborted, {:bad_index, _, _}} -> []
  end

  defp walk(_table, :"$end_of_table", _seen), do: []

  defp walk(table, key, seen) do
    if key in seen and length(seen) > 10 * Tables.accounts(),
      do: [{:walks_in_a_circle, key}],
      else: walk(table, :remnesia.dirty_next(table, key), [key | seen])
  catch
    # The key was gone, and of a set nobody knows what is after it.
    :exit, {:aborted, {:badarg, _}} -> []
  end

  @doc "Counts without a transaction."
  def counter(soak) do
    {table, n} = Enum.random(Enum.zip(Tables.counters(), [1, 3]))
    :counters.add(soak.counters, n, 1)
    value = :remnesia.dirty_update_counter(table, :count, 1)
    :counters.add(soak.counters, n + 1, 1)
    if not is_integer(value), do: Soak.wrong(soak, :counter, value)
    if :rand.uniform(50) == 1, do: Process.sleep(1)
  end

  @doc "Writes to tables that are mirrored, in a transaction or without."
  def mirrored(soak) do
    table = Enum.random(Tables.mirrored())
    key = :rand.uniform(Tables.keys())
    row = {table, key, {:rand.uniform(5), self()}}

    # Who writes without a transaction is in no order with anybody else: a key of its own.
    case {:rand.uniform(20), table} do
      {1, :soak_mirror_only} ->
        expect(soak, :mirrored, :remnesia.clear_table(table), [:ok])

      {n, table} when n < 6 and table != :soak_mirror_only ->
        own = put_elem(row, 1, {:own, self()})

        if n < 4,
          do: :remnesia.dirty_write(own),
          else: :remnesia.dirty_delete(table, {:own, self()})

      _transaction ->
        result = :remnesia.transaction(fn -> several(table, row) end)
        expect(soak, :mirrored, result, [:ok, :wanted])
    end
  end

  defp several(table, row) do
    for _ <- 1..:rand.uniform(4) do
      key = :rand.uniform(Tables.keys())

      case :rand.uniform(4) do
        1 -> :remnesia.delete({table, key})
        2 -> Enum.each(:remnesia.read(table, key, :write), &:remnesia.delete_object/1)
        _ -> :remnesia.write(put_elem(row, 1, key))
      end
    end

    if :rand.uniform(5) == 1, do: :remnesia.abort(:wanted)
    :remnesia.write(row)
  end

  @doc "Registers people, whose addresses are unique, by the other door."
  def person(soak) do
    id = :rand.uniform(60)
    email = "#{:rand.uniform(40)}@example.com"

    result =
      case :rand.uniform(5) do
        1 ->
          Remnesia.transaction(fn -> Query.delete(Person, id) end)

        2 ->
          Remnesia.transaction(fn -> swap(id, :rand.uniform(60)) end)

        3 ->
          Remnesia.transaction(fn -> one(email) end)

        _ ->
          Remnesia.transaction(fn ->
            Query.write(%Person{id: id, email: email, town: rem(id, 3)})
          end)
      end

    case result do
      {:ok, {:twice, found}} -> Soak.wrong(soak, :person, found)
      {:ok, _} -> :ok
      :ok -> :ok
      {:error, {:unique, Person, [:email], _}} -> :ok
      other -> Soak.wrong(soak, :person, other)
    end
  end

  defp swap(a, b) do
    with %{} = one <- Query.read(Person, a), %{} = other <- Query.read(Person, b) do
      Query.write(%{one | email: other.email})
      Query.write(%{other | email: one.email})
    end
  end

  defp one(email) do
    found = Query.select(Person, {:==, :email, email})
    if length(found) > 1, do: {:twice, found}, else: :ok
  end

  @doc "Listens for a while, and goes."
  def subscriber(soak) do
    topic =
      Enum.random(
        [:system, :activity] ++
          for(t <- Tables.bank(), do: {:table, t, Enum.random([:simple, :detailed])})
      )

    with {:ok, _} <- :remnesia.subscribe(topic) do
      listen(soak, topic, System.monotonic_time(:millisecond) + :rand.uniform(100))

      if :rand.uniform(2) == 1,
        do: :remnesia.unsubscribe(topic),
        else: Process.exit(self(), :kill)
    end
  end

  defp listen(soak, topic, until) do
    receive do
      {:mnesia_system_event, {:mnesia_fatal, _, _, _} = event} -> Soak.wrong(soak, topic, event)
      {:mnesia_system_event, {:mnesia_error, _, _} = event} -> Soak.wrong(soak, topic, event)
      _event -> listen(soak, topic, until)
    after
      max(until - System.monotonic_time(:millisecond), 0) -> :ok
    end
  end

  @doc "Makes, uses and drops tables whose names others use too."
  def temporary(soak) do
    table = Enum.random([:soak_temporary_1, :soak_temporary_2, :soak_temporary_3])
    type = Enum.random([:set, :ordered_set, :bag, :duplicate_bag])
    storage = Enum.random([:ram_copies, :disc_copies, :disc_only_copies])
    row = {table, :rand.uniform(20), :rand.uniform(4)}

    write = fn ->
      :remnesia.transaction(fn -> for n <- 1..30, do: :remnesia.write(put_elem(row, 1, n)) end)
    end

    sane(soak, :temporary, temporary(table, type, storage, write))
  end

  defp temporary(table, type, storage, write) do
    case :rand.uniform(14) do
      n when n <= 3 ->
        :remnesia.create_table(table, [
          {storage, [node()]},
          type: type,
          index: Enum.take_random([:val], 1)
        ])

      4 ->
        :remnesia.delete_table(table)

      5 ->
        :remnesia.clear_table(table)

      6 ->
        :remnesia.add_table_index(table, :val)

      7 ->
        :remnesia.del_table_index(table, :val)

      8 ->
        :remnesia.change_table_copy_type(table, node(), storage)

      9 ->
        :remnesia.transform_table(table, fn {t, k, v} -> {t, k, v} end, [:key, :val])

      10 ->
        :remnesia.change_table_access_mode(
          table,
          Enum.random([:read_only, :read_write, :read_write])
        )

      11 ->
        :remnesia.transaction(fn -> :remnesia.select(table, [{{:_, :_, 2}, [], [:"$_"]}]) end)

      12 ->
        :remnesia.dump_tables([table])

      _ ->
        write.()
    end
  catch
    # Others drop it all the time.
    :exit, {:aborted, _} = gone -> gone
  end

  @doc "Only these results are right; `:ok` stands for success with that value, or with no value that says otherwise."
  def expect(soak, what, result, values) do
    case result do
      {:atomic, :ok} -> :ok
      {:aborted, reason} -> if not wanted?(reason, values), do: Soak.wrong(soak, what, result)
      other -> Soak.wrong(soak, what, other)
    end
  end

  defp wanted?({:throw, reason}, values), do: reason in values
  defp wanted?({%RuntimeError{message: "wanted"}, _stack}, values), do: :wanted in values
  defp wanted?(reason, values), do: reason in values

  @doc "Whatever it is, it is no accident within the library."
  def sane(soak, what, result) do
    text = inspect(result, limit: 200)

    if text =~
         ~r/panic|damaged|function_clause|FunctionClause|badmatch|MatchError|case_clause|undef|not_durable|corrupt/,
       do: Soak.wrong(soak, what, result)
  end
end
