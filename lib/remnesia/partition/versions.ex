defmodule Remnesia.Partition.Versions do
  @moduledoc false

  # What one copy of a table has that another has not, key by key, and the file that keeps it.
  #
  # The file has the form of a backup (Remnesia.Transfer.BackupFile), with terms of its own:
  #
  #     {:partition, %{node: node, tables: [table]}}
  #     {:versions, table, [{key, records that this side had}]} ..
  #     {:end, [{table, number of keys}]}
  #
  # A later version of a key takes the place of an earlier one.

  alias Remnesia.Transfer.{BackupFile, NewFile}

  @keys 500
  @timeout 60_000

  @doc """
  Hands every key whose records here are not those on the other nodes to `put`, with the records here; answers how many. `table` has a copy here; of
  `nodes` each has the copy that counts. Left out is what `like`, a node of this island, has as this one.
  """
  @spec compare(atom, [node, ...], node | nil, ([{term, [tuple]}] -> term)) :: non_neg_integer
  def compare(table, nodes, like, put) do
    here = :mnesia.dirty_all_keys(table)
    there = ask(nodes, :keys, [table])

    here
    |> Enum.concat(there)
    |> Enum.uniq()
    |> Enum.chunk_every(@keys)
    |> Enum.reduce(0, fn keys, count ->
      records = Enum.map(keys, &:mnesia.dirty_read(table, &1))
      digests = ask(nodes, :digests, [table, keys])

      unlike =
        for {{key, records}, digest} <- keys |> Enum.zip(records) |> Enum.zip(digests),
            digest(records) != digest,
            do: {key, records}

      unlike = if like && unlike != [], do: unlike(like, table, unlike), else: unlike
      if unlike != [], do: put.(unlike)
      count + length(unlike)
    end)
  end

  defp unlike(node, table, versions) do
    digests = ask([node], :digests, [table, Enum.map(versions, &elem(&1, 0))])

    for {{_key, records} = version, digest} <- Enum.zip(versions, digests),
        digest(records) != digest,
        do: version
  end

  defp ask([node | others], function, arguments) do
    :erpc.call(node, __MODULE__, function, arguments, @timeout)
  catch
    :error, {:erpc, reason} ->
      if others == [],
        do: NewFile.stop({:unreachable, node, reason}),
        else: ask(others, function, arguments)
  end

  @doc false
  @spec keys(atom) :: [term]
  def keys(table), do: :mnesia.dirty_all_keys(table)

  @doc false
  @spec digests(atom, [term]) :: [binary]
  def digests(table, keys), do: Enum.map(keys, &digest(:mnesia.dirty_read(table, &1)))

  @doc "Two versions of a key are one."
  @spec same?([tuple], [tuple]) :: boolean
  def same?(ours, theirs), do: digest(ours) == digest(theirs)

  # The order of a bag's records may differ; equal terms may have different bytes (funs), which says more than there is.
  defp digest(records),
    do: records |> Enum.sort() |> :erlang.term_to_binary([:deterministic]) |> :erlang.md5()

  @doc """
  What a table event of Mnesia leaves of the records of its key.

      iex> Remnesia.Partition.Versions.after_event({:write, :t, {:t, 1, :b}, [{:t, 1, :a}], :id}, :set)
      {:t, 1, [{:t, 1, :b}]}
      iex> Remnesia.Partition.Versions.after_event({:write, :t, {:t, 1, :b}, [{:t, 1, :a}], :id}, :bag)
      {:t, 1, [{:t, 1, :a}, {:t, 1, :b}]}
      iex> Remnesia.Partition.Versions.after_event({:delete, :t, {:t, 1}, [{:t, 1, :a}], :id}, :set)
      {:t, 1, []}
      iex> Remnesia.Partition.Versions.after_event({:delete, :t, {:t, 1, :a}, [{:t, 1, :a}, {:t, 1, :b}], :id}, :bag)
      {:t, 1, [{:t, 1, :b}]}
  """
  @spec after_event(tuple, atom) :: {atom, term, [tuple]}
  def after_event({:write, table, record, old, _id}, :bag),
    do: {table, elem(record, 1), List.delete(old, record) ++ [record]}

  def after_event({:write, table, record, _old, _id}, _set),
    do: {table, elem(record, 1), [record]}

  def after_event({:delete, table, {table, key}, _old, _id}, _type), do: {table, key, []}

  def after_event({:delete, table, record, old, _id}, _type),
    do: {table, elem(record, 1), List.delete(old, record)}

  # --- the file ---

  @doc "Folds over the versions of a file; `budget` is the number of atoms that it may bring."
  @spec fold(Path.t(), non_neg_integer, acc, (atom, term, [tuple], acc -> acc)) ::
          {:ok, acc} | {:error, BackupFile.reason()}
        when acc: term
  def fold(path, budget, acc, fun) do
    BackupFile.fold(path, budget, acc, fn
      {:versions, table, versions}, acc when is_list(versions) ->
        Enum.reduce(versions, acc, fn {key, records}, acc -> fun.(table, key, records, acc) end)

      _head_or_end, acc ->
        acc
    end)
  end
end
