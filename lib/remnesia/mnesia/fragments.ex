defmodule :remnesia_frag do
  @moduledoc """
  The access module for fragmented tables: what `mnesia_frag` is to Mnesia.

  `activity(kind, fun, arguments, :mnesia_frag)` uses it. Within the function the name of a fragmented table stands for all its fragments; a program with
  an access module of its own that calls `mnesia_frag` calls `:remnesia_frag` instead.

      {:atomic, :ok} = :remnesia.create_table(:visit, frag_properties: [n_fragments: 4, node_pool: [node()]])
      :remnesia.activity(:transaction, fn -> :remnesia.write({:visit, 1, :home}) end, [], :mnesia_frag)

  Remnesia does not need fragments: a table has no limit of 2 GB. They are there for programs that were written with them.
  """

  alias Remnesia.Engine.Local.{Fragments, Signal}
  alias Remnesia.Mnesia.FragmentSelect, as: Select

  @type id :: Remnesia.Mnesia.Explicit.id()
  @type store :: Remnesia.Mnesia.Explicit.store()

  # --- locks ---

  @doc false
  @spec lock(id, store, term, term) :: term
  def lock(id, store, {:table, table}, kind) do
    case Fragments.names(table) do
      [^table] ->
        :remnesia.lock(id, store, {:table, table}, kind)

      names ->
        # A read lock answers no nodes.
        locks = for name <- names, do: :remnesia.lock(id, store, {:table, name}, kind)
        locks |> Enum.reject(&(&1 == :ok)) |> Enum.concat() |> Enum.uniq()
    end
  end

  def lock(id, store, item, kind), do: :remnesia.lock(id, store, item, kind)

  # --- records ---

  @doc false
  @spec write(id, store, term, term, term) :: term
  def write(id, store, table, record, lock) do
    state = Fragments.state(table)
    name = Fragments.of_record(table, record)
    written = unless_gone(table, state, fn -> :remnesia.write(id, store, name, record, lock) end)

    cond do
      still?(state, id, table) -> :ok
      written == :gone -> write(id, store, table, record, lock)
      Fragments.of_record(table, record) == name -> :ok
      true -> write_again(id, store, table, name, record, lock)
    end
  end

  # A dirty write found a fragment that the record belongs to no longer.
  defp write_again(id, store, table, name, record, lock) do
    unless_gone(table, nil, fn -> :remnesia.delete_object(id, store, name, record, lock) end)
    write(id, store, table, record, lock)
  end

  @doc false
  @spec delete(id, store, term, term, term) :: term
  def delete(id, store, table, key, lock) do
    still(id, table, fn ->
      :remnesia.delete(id, store, Fragments.of_key(table, key), key, lock)
    end)
  end

  @doc false
  @spec delete_object(id, store, term, term, term) :: term
  def delete_object(id, store, table, record, lock) do
    still(id, table, fn ->
      name = Fragments.of_record(table, record)
      :remnesia.delete_object(id, store, name, record, lock)
    end)
  end

  # The fragments may change between the look at them and the lock that keeps them as they are: then a transaction begins again, and what
  # is dirty is done again.
  defp still(id, table, fun) do
    state = Fragments.state(table)
    value = unless_gone(table, state, fun)
    if still?(state, id, table), do: value, else: still(id, table, fun)
  end

  # One that is no more is no error.
  defp unless_gone(table, state, fun) do
    fun.()
  catch
    :exit, {:aborted, {:no_exists, _}} = reason ->
      if Fragments.state(table) == state, do: exit(reason), else: :gone
  end

  defp still?(state, id, table) do
    cond do
      Fragments.state(table) == state -> true
      elem(id, 0) == :tid -> Signal.restart()
      true -> false
    end
  end

  @doc false
  @spec read(id, store, term, term, term) :: term
  def read(id, store, table, key, lock) do
    still(id, table, fn ->
      :remnesia.read(id, store, Fragments.of_key(table, key), key, lock)
    end)
  end

  # --- searches ---

  @doc false
  @spec match_object(id, store, term, term, term) :: term
  def match_object(id, store, table, pattern, lock),
    do: select(id, store, table, [{pattern, [], [:"$_"]}], lock)

  @doc false
  @spec select(id, store, term, term, term) :: term
  def select(id, store, table, spec, lock),
    do: still(id, table, fn -> Select.all(id, store, table, spec, lock) end)

  @doc false
  @spec select(id, store, term, term, term, term) :: term
  def select(id, store, table, spec, size, lock),
    do: still(id, table, fn -> Select.first(id, store, table, spec, size, lock) end)

  @doc false
  @spec select_cont(id, store, term) :: term
  def select_cont(id, store, continuation), do: Select.next(id, store, continuation)

  @doc false
  @spec index_match_object(id, store, term, term, term, term) :: term
  def index_match_object(id, store, table, pattern, attribute, lock),
    do: each(id, table, &:remnesia.index_match_object(id, store, &1, pattern, attribute, lock))

  @doc false
  @spec index_read(id, store, term, term, term, term) :: term
  def index_read(id, store, table, value, attribute, lock),
    do: each(id, table, &:remnesia.index_read(id, store, &1, value, attribute, lock))

  @doc false
  @spec foldl(id, store, fun, term, term, term) :: term
  def foldl(id, store, fun, acc, table, lock) do
    locked(id, store, table, lock, &Function.identity/1)

    table
    |> Fragments.names()
    |> Enum.reduce(acc, &:remnesia.foldl(id, store, fun, &2, &1, lock))
  end

  @doc false
  @spec foldr(id, store, fun, term, term, term) :: term
  def foldr(id, store, fun, acc, table, lock) do
    locked(id, store, table, lock, &Enum.reverse/1)

    table
    |> Fragments.names()
    |> List.foldr(acc, &:remnesia.foldr(id, store, fun, &2, &1, lock))
  end

  # All of them, so that they stay as they are.
  defp locked({:tid, _, _} = id, store, table, lock, order) do
    if Fragments.state(table) != nil do
      still(id, table, fn ->
        for name <- order.(Fragments.names(table)),
            do: :remnesia.lock(id, store, {:table, name}, lock)
      end)
    end
  end

  defp locked(_dirty, _store, _table, _lock, _order), do: :ok

  # --- keys ---

  @doc false
  @spec all_keys(id, store, term, term) :: term
  def all_keys(id, store, table, lock),
    do: each(id, table, &:remnesia.all_keys(id, store, &1, lock))

  @doc false
  @spec first(id, store, term) :: term
  def first(id, store, table),
    do: still(id, table, fn -> forward(Fragments.names(table), id, store) end)

  @doc false
  @spec last(id, store, term) :: term
  def last(id, store, table) do
    still(id, table, fn -> table |> Fragments.names() |> Enum.reverse() |> back(id, store) end)
  end

  @doc false
  @spec next(id, store, term, term) :: term
  def next(id, store, table, key) do
    still(id, table, fn ->
      name = Fragments.of_key(table, key)

      with :"$end_of_table" <- :remnesia.next(id, store, name, key),
           do: table |> Fragments.names() |> beyond(name) |> forward(id, store)
    end)
  end

  @doc false
  @spec prev(id, store, term, term) :: term
  def prev(id, store, table, key) do
    still(id, table, fn ->
      name = Fragments.of_key(table, key)

      with :"$end_of_table" <- :remnesia.prev(id, store, name, key),
           do: table |> Fragments.names() |> Enum.reverse() |> beyond(name) |> back(id, store)
    end)
  end

  defp beyond(names, name), do: names |> Enum.drop_while(&(&1 != name)) |> tl()

  defp forward([], _id, _store), do: :"$end_of_table"

  defp forward([name | names], id, store) do
    with :"$end_of_table" <- :remnesia.first(id, store, name), do: forward(names, id, store)
  end

  defp back([], _id, _store), do: :"$end_of_table"

  defp back([name | names], id, store) do
    with :"$end_of_table" <- :remnesia.last(id, store, name), do: back(names, id, store)
  end

  # --- whole tables ---

  @doc false
  @spec clear_table(id, store, term, term) :: :ok
  def clear_table(id, store, table, pattern) do
    for name <- Fragments.names(table), do: :remnesia.clear_table(id, store, name, pattern)
    :ok
  end

  @copies [
    n_ram_copies: :ram_copies,
    n_disc_copies: :disc_copies,
    n_disc_only_copies: :disc_only_copies,
    n_external_copies: :external_copies
  ]

  @doc """
  What is known of a table or, as `{table, key}`, of the fragment of a key. Beside the items of `Remnesia.Mnesia.Tables.table_info/2` of the whole:
  `base_table`, `foreign_key`, `foreigners`, `n_fragments`, `node_pool`, `n_ram_copies`, `n_disc_copies`, `n_disc_only_copies`, `n_external_copies`,
  `frag_names`, `frag_size`, `frag_memory`, `frag_dist`; `size` and `memory` are sums.

      iex> {:atomic, :ok} = :remnesia.create_table(:street, frag_properties: [n_fragments: 4])
      iex> :remnesia.activity(:transaction, fn -> :remnesia.table_info(:street, :frag_names) end, [], :remnesia_frag)
      [:street, :street_frag2, :street_frag3, :street_frag4]
  """
  @spec table_info(id, store, term, term) :: term
  def table_info(id, store, {table, key}, item),
    do: table_info(id, store, table, Fragments.of_key(table, key), item)

  def table_info(id, store, table, item), do: table_info(id, store, table, table, item)

  defp table_info(_id, _store, table, _name, item) when item in [:size, :memory],
    do: table |> measured(item) |> Enum.map(&elem(&1, 1)) |> Enum.sum()

  defp table_info(_id, _store, table, _name, item) when item in [:base_table, :node_pool],
    do: Fragments.property!(table, item)

  defp table_info(_id, _store, table, _name, :n_fragments),
    do: elem(Fragments.state!(table), 2)

  defp table_info(_id, _store, table, _name, :foreign_key), do: elem(Fragments.state!(table), 1)
  defp table_info(_id, _store, table, _name, :foreigners), do: Fragments.foreigners(table)
  defp table_info(_id, _store, table, _name, :frag_names), do: Fragments.names(table)
  defp table_info(_id, _store, table, _name, :frag_size), do: measured(table, :size)
  defp table_info(_id, _store, table, _name, :frag_memory), do: measured(table, :memory)
  defp table_info(_id, _store, table, _name, :frag_dist), do: distribution(table)

  for {item, storage} <- @copies do
    defp table_info(_id, _store, table, _name, unquote(item)) do
      table
      |> Fragments.definition!(unquote(storage))
      |> Map.fetch!(unquote(storage))
      |> length()
    end
  end

  defp table_info(id, store, table, name, :all) do
    for {item, value} <- :remnesia.table_info(id, store, name, :all) do
      if item in [:size, :memory],
        do: {item, table_info(id, store, table, item)},
        else: {item, value}
    end
  end

  defp table_info(id, store, _table, name, item), do: :remnesia.table_info(id, store, name, item)

  defp measured(table, item) do
    for name <- Fragments.names(table) do
      if not Remnesia.Engine.table?(name),
        do: Signal.abort({:no_exists, name, item})

      {name, :remnesia.raw_table_info(name, item)}
    end
  end

  # How many fragments each node has, the fewest first; nodes that are not in the pool come last.
  defp distribution(table) do
    pool = Fragments.property!(table, :node_pool)

    counted =
      for name <- Fragments.names(table),
          {_item, storage} <- @copies,
          node <- Map.fetch!(Fragments.definition!(name, storage), storage),
          reduce: [] do
        nodes -> [node | nodes]
      end

    count = fn node -> Enum.count(counted, &(&1 == node)) end
    outside = Enum.uniq(counted) -- pool
    good = for node <- pool, do: {node, count.(node)}
    Enum.sort_by(good, &elem(&1, 1)) ++ for(node <- outside, do: {node, count.(node)})
  end

  defp each(id, table, fun),
    do: still(id, table, fn -> table |> Fragments.names() |> Enum.flat_map(fun) end)
end
