defmodule Remnesia.Transfer.MnesiaSource do
  @moduledoc false

  # Stock Mnesia's data as a backup file, with the number and a hash of each table's records: from the Mnesia that runs in this
  # VM, or from a directory whose Mnesia does not run.
  #
  # A directory is read by Mnesia itself, in a VM of its own and on a copy: it knows its logs and what is left to be done in
  # them, and may write; the directory stays as it is. The copy shares the files that Mnesia replaces as a whole.

  alias Remnesia.Engine.Cstruct
  alias Remnesia.Transfer.{Lines, MnesiaBackup, SafeTerm}

  @typedoc "Of each table: name, number of records, sum of the hashes of its records."
  @type count :: {atom, non_neg_integer, non_neg_integer}

  # Names of tables that a directory may bring.
  @tables 10_000

  # Written anew and then renamed, never in place.
  @replaced ~w(.DCD)

  @doc "Does the directory hold a Mnesia schema?"
  @spec mnesia?(Path.t()) :: boolean
  def mnesia?(directory), do: File.regular?(Path.join(directory, "schema.DAT"))

  @doc """
  Writes what a source holds to the file `backup`. `node` is the node whose tables are wanted, if the schema knows several.

  Errors: `{:no_mnesia, source}`, `{:which_node, nodes}`, `{:mnesia, output}` if stock Mnesia cannot open the directory, those of files.
  """
  @spec dump(:running | Path.t(), Path.t(), node | nil, (String.t() -> any)) ::
          {:ok, node, [count]} | {:error, term}
  def dump(:running, backup, _node, _progress) do
    if mnesia(:system_info, [:is_running]) == :yes,
      do: dump_running(backup),
      else: {:error, {:no_mnesia, :running}}
  end

  def dump(directory, backup, node, progress) do
    copy = backup <> ".dir"

    try do
      with :ok <- schema(directory),
           {:ok, nodes} <- nodes(directory, copy),
           {:ok, node} <- choose(nodes, node),
           :ok <- copy(directory, copy),
           {:ok, counts} <- child(copy, backup, node, progress) do
        {:ok, node, counts}
      end
    after
      File.rm_rf(copy)
    end
  end

  @doc "Counts records on, with the sum of their hashes: it tells whether two tables hold the same."
  @spec count([tuple], {non_neg_integer, non_neg_integer}) ::
          {non_neg_integer, non_neg_integer}
  def count(records, count) do
    Enum.reduce(records, count, fn record, {number, sum} ->
      sum = sum + :erlang.phash2(record, 0x1_0000_0000)
      {number + 1, Bitwise.band(sum, 0xFFFF_FFFF_FFFF_FFFF)}
    end)
  end

  defp schema(directory),
    do: if(mnesia?(directory), do: :ok, else: {:error, {:no_mnesia, directory}})

  # The nodes that have a copy of the schema, from its file: a table of definitions.
  defp nodes(directory, copy) do
    File.mkdir_p!(copy)
    file = Path.join(copy, "schema.DAT")
    File.cp!(Path.join(directory, "schema.DAT"), file)
    name = make_ref()

    with {:ok, table} <- :dets.open_file(name, file: to_charlist(file), keypos: 2, repair: true) do
      found = :dets.lookup(table, :schema)
      :dets.close(table)

      case found do
        [{:schema, :schema, definition}] ->
          {:ok,
           Keyword.get(definition, :disc_copies, []) ++ Keyword.get(definition, :ram_copies, [])}

        _none ->
          {:error, {:no_mnesia, directory}}
      end
    end
  end

  defp choose(nodes, nil) do
    cond do
      node() in nodes -> {:ok, node()}
      match?([_], nodes) -> {:ok, hd(nodes)}
      true -> {:error, {:which_node, nodes}}
    end
  end

  defp choose(nodes, node),
    do: if(node in nodes, do: {:ok, node}, else: {:error, {:which_node, nodes}})

  defp copy(directory, copy) do
    for name <- File.ls!(directory),
        from = Path.join(directory, name),
        File.regular?(from),
        to = Path.join(copy, name) do
      File.rm(to)

      if Path.extname(name) in @replaced and File.ln(from, to) == :ok,
        do: :ok,
        else: File.cp!(from, to)
    end

    :ok
  end

  # A VM with the node's name that nobody can reach and that reaches nobody.
  defp child(copy, backup, node, progress) do
    result = backup <> ".counts"

    arguments =
      ["-noinput", "-hidden"] ++
        name(node) ++
        ["-mnesia", "dir", literal(copy), "-eval", program(backup, result)]

    erl = Path.join([:code.root_dir(), "bin", "erl"])
    {output, status} = System.cmd(erl, arguments, stderr_to_stdout: true, into: lines(progress))

    try do
      if status == 0 and File.regular?(result),
        do: {:ok, result |> File.read!() |> counts()},
        else: {:error, {:mnesia, output}}
    after
      File.rm(result)
    end
  end

  # Names of tables are atoms too: these few are made.
  defp counts(bytes) do
    {:ok, counts, _left} = SafeTerm.decode(bytes, @tables)
    counts
  end

  defp name(:nonode@nohost), do: []

  defp name(node) do
    [_name, host] = node |> Atom.to_string() |> String.split("@", parts: 2)
    kind = if String.contains?(host, "."), do: "-name", else: "-sname"
    [kind, Atom.to_string(node), "-dist_listen", "false"]
  end

  # What the child says is progress, and the reason if it fails.
  defp lines(progress), do: %Lines{progress: progress}

  # Masters are set so that tables load although other nodes may have newer copies: there is nobody to ask.
  defp program(backup, result) do
    """
    try
      case mnesia:system_info(use_dir) of true -> mnesia:set_master_nodes([node()]); false -> ok end,
      ok = mnesia:start(),
      Tables = [T || T <- mnesia:system_info(tables), T =/= schema, mnesia:table_info(T, storage_type) =/= unknown],
      [begin
         io:format("loading ~tp~n", [T]),
         ok = mnesia:wait_for_tables([T], infinity)
       end || T <- Tables],
      io:format("writing a backup~n"),
      ok = mnesia:backup(#{literal(backup)}),
      Add = fun(R, {N, H}) -> {N + 1, (H + erlang:phash2(R, 16#100000000)) band 16#ffffffffffffffff} end,
      Counts = [begin
                  io:format("counting ~tp~n", [T]),
                  {N, H} = mnesia:async_dirty(fun() -> mnesia:foldl(Add, {0, 0}, T) end),
                  {T, N, H}
                end || T <- Tables],
      ok = file:write_file(#{literal(result)}, term_to_binary(Counts)),
      halt(0)
    catch
      Class:Reason -> io:format("~tp ~tp~n", [Class, Reason]), halt(1)
    end.
    """
  end

  defp literal(path),
    do: path |> to_charlist() |> then(&:io_lib.format(~c"~tw", [&1])) |> to_string()

  # Not by Mnesia's own backup, which leaves everything out where the schema is in RAM.
  defp dump_running(backup) do
    tables = mnesia(:system_info, [:local_tables]) -- [:schema]

    write = fn put ->
      put.(for table <- tables, do: {:schema, table, definition(table)})
      for table <- tables, do: copy_table(table, put)
    end

    work = fn ->
      for table <- tables, do: mnesia(:read_lock_table, [table])
      MnesiaBackup.write_with(backup, write)
    end

    case mnesia(:transaction, [work]) do
      {:atomic, {:ok, counts}} -> {:ok, node(), counts}
      {:atomic, error} -> error
      {:aborted, reason} -> {:error, reason}
    end
  end

  defp definition(table) do
    [:cstruct | values] = :cstruct |> then(&mnesia(:table_info, [table, &1])) |> Tuple.to_list()
    Enum.zip(Cstruct.fields(), values)
  end

  defp copy_table(table, put) do
    all = [{:_, [], [:"$_"]}]
    chunk = mnesia(:select, [table, all, 1_000, :read])
    {number, sum} = copy_chunks(chunk, table, put, {0, 0})
    {table, number, sum}
  end

  defp copy_chunks(:"$end_of_table", _table, _put, count), do: count

  defp copy_chunks({records, continuation}, table, put, count) do
    put.(for record <- records, do: put_elem(record, 0, table))

    mnesia(:select, [continuation]) |> copy_chunks(table, put, count(records, count))
  end

  # Mnesia is no dependency: it is called only where it is there.
  defp mnesia(function, arguments), do: apply(:mnesia, function, arguments)
end
