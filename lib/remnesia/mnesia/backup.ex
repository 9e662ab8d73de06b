defmodule Remnesia.Mnesia.Backup do
  @moduledoc """
  Backups, checkpoints and fallbacks in `:remnesia`, by Mnesia's names, in the format of Mnesia's files: a backup that Mnesia has written is
  restored here, and the other way round.

  A backup goes to a file, or to whatever a backup module of the program's makes of it: a module with the functions of the behaviour
  `:mnesia_backup` (`open_write/1`, `write/2`, `commit_write/1`, `abort_write/1`, `open_read/1`, `read/1`, `close_read/1`).

  Tables are backed up as they are at one moment, while others write; those in RAM too. On several nodes all of this is Mnesia's own.
  """

  alias Remnesia.Engine
  alias Remnesia.Engine.Choice
  alias Remnesia.Engine.Local.Checkpoints
  alias Remnesia.Transfer.{Backup, Fallback, Restore, Traverse}

  @type opaque :: term
  @type table :: atom

  @typedoc "Gets an item and an accumulator, answers the items to be written and the next accumulator."
  @type fold :: (item :: term, acc :: term -> {[term], term})

  # In a cluster Mnesia's function is the answer.
  defp served(function, arguments, fun),
    do: if(Choice.cluster?(), do: apply(:mnesia, function, arguments), else: fun.())

  # --- checkpoints ---

  @doc """
  Keeps tables as they are now, to be read by `backup_checkpoint/2`, until the checkpoint is ended.

  Arguments: `{:name, term}`, `{:max, tables}` and `{:min, tables}`, which is the same on one node, and `{:allow_remote, boolean}` and
  `{:ram_overrides_dump, boolean | tables}`, which change nothing: of tables in RAM the records in RAM are kept.

      iex> :remnesia.activate_checkpoint(name: :noon, max: [:city])
      {:ok, :noon, [node()]}
      iex> :remnesia.activate_checkpoint(name: :noon, max: [:city])
      {:error, {:already_exists, :noon}}
      iex> {:remnesia.table_info(:city, :checkpoints), :remnesia.deactivate_checkpoint(:noon)}
      {[:noon], :ok}
  """
  @spec activate_checkpoint(list) :: {:ok, term, [node]} | {:error, term}
  def activate_checkpoint(arguments),
    do: served(:activate_checkpoint, [arguments], fn -> activate(arguments) end)

  defp activate(arguments) do
    with {:ok, checkpoint} <- checkpoint(arguments),
         {:ok, tables} <- tables(checkpoint),
         do: activate(checkpoint.name, tables)
  end

  defp activate(name, tables) do
    case Checkpoints.take(name, tables) do
      {:ok, _snapshot} ->
        {:ok, name, [node()]}

      {:error, {:no_exists, table}} ->
        not_available(table, name)

      {:error, {:node_not_running, _node}} ->
        not_available(hd(tables), name)

      error ->
        error
    end
  end

  defp not_available(table, name),
    do: {:error, {~c"Cannot prepare checkpoint (replica not available)", [table, name]}}

  defp checkpoint(arguments) when is_list(arguments) do
    initial = %{
      name: {System.unique_integer([:positive]), node()},
      min: [],
      max: [],
      overriders: false
    }

    Enum.reduce_while(arguments, {:ok, initial}, fn argument, {:ok, checkpoint} ->
      case argument(argument) do
        {:ok, key, value} -> {:cont, {:ok, Map.put(checkpoint, key, value)}}
        error -> {:halt, error}
      end
    end)
  end

  defp checkpoint(arguments), do: {:error, {:badarg, arguments}}

  defp argument({:name, name}) do
    cond do
      name in Checkpoints.names() -> {:error, {:already_exists, name}}
      Engine.system_info(:is_running) == :yes -> {:ok, :name, name}
      true -> {:error, {:aborted, {:node_not_running, node()}}}
    end
  end

  defp argument({:allow_remote, allow?}) when is_boolean(allow?), do: {:ok, :remote, allow?}

  defp argument({:ram_overrides_dump, overriders})
       when is_boolean(overriders) or is_list(overriders),
       do: {:ok, :overriders, overriders}

  defp argument({key, tables}) when key in [:min, :max] and is_list(tables),
    do: {:ok, key, tables}

  # Transactions that are not waited for: none is.
  defp argument({:ignore_new, transactions}) when is_list(transactions),
    do: {:ok, :ignore, transactions}

  defp argument(argument), do: {:error, {:badarg, argument}}

  defp tables(%{name: name, min: min, max: max, overriders: overriders}) do
    double = for table <- min, table in max, do: table

    cond do
      double != [] -> {:error, {:combine_error, name, [min: double, max: double]}}
      min == [] and max == [] -> {:error, {:combine_error, name, [min: min, max: max]}}
      is_boolean(overriders) -> {:ok, min ++ max}
      true -> overriders(name, overriders, min, max)
    end
  end

  # Mnesia wants each of them in both lists, where no table may be.
  defp overriders(name, overriders, min, max) do
    case {overriders -- min, overriders -- max} do
      {[], []} ->
        {:ok, min ++ max}

      {[], outsiders} ->
        {:error, {:combine_error, name, [ram_overrides_dump: outsiders, max: outsiders]}}

      {outsiders, _} ->
        {:error, {:combine_error, name, [ram_overrides_dump: outsiders, min: outsiders]}}
    end
  end

  @doc """
  Ends a checkpoint.

      iex> :remnesia.deactivate_checkpoint(:none)
      {:error, {:no_exists, :none}}
  """
  @spec deactivate_checkpoint(term) :: :ok | {:error, term}
  def deactivate_checkpoint(name),
    do: served(:deactivate_checkpoint, [name], fn -> Checkpoints.deactivate(name) end)

  # --- writing ---

  @doc """
  Backs up all tables.

      iex> file = Path.join(System.tmp_dir!(), "doc.bup")
      iex> {:remnesia.backup(to_charlist(file)), File.rm(file)}
      {:ok, :ok}
      iex> {:error, _reason} = :remnesia.backup(~c"/nowhere/at/all")
  """
  @spec backup(opaque, module | list) :: :ok | {:error, term}
  def backup(opaque, module_or_arguments \\ []),
    do:
      served(:backup, [opaque | given(module_or_arguments)], fn ->
        all(opaque, module_or_arguments)
      end)

  # Mnesia has a function without arguments for those of the configuration.
  defp given([]), do: []
  defp given(arguments), do: [arguments]

  defp all(opaque, module_or_arguments) do
    running!()

    with {:ok, module, :all} <- backup_arguments(module_or_arguments) do
      Backup.run(module, opaque)
    else
      {:ok, module, tables} -> some(opaque, module, tables)
      error -> error
    end
  end

  # The checkpoint has all tables anyway.
  defp some(opaque, module, tables) do
    name = {System.unique_integer([:positive]), node()}

    with {:ok, ^name, _nodes} <-
           activate_checkpoint(name: name, max: Engine.system_info(:tables)) do
      result = Backup.run_checkpoint(name, tables, module, opaque)
      deactivate_checkpoint(name)
      result
    end
  end

  @doc """
  Backs up the tables of a checkpoint.

      iex> file = Path.join(System.tmp_dir!(), "doc3.bup")
      iex> {:ok, :evening, _nodes} = :remnesia.activate_checkpoint(name: :evening, max: [:city])
      iex> :ok = :remnesia.backup_checkpoint(:evening, file)
      iex> {:remnesia.deactivate_checkpoint(:evening), File.rm(file)}
      {:ok, :ok}
  """
  @spec backup_checkpoint(term, opaque, module | list) :: :ok | {:error, term}
  def backup_checkpoint(name, opaque, module_or_arguments \\ []),
    do:
      served(:backup_checkpoint, [name, opaque | given(module_or_arguments)], fn ->
        of_checkpoint(name, opaque, module_or_arguments)
      end)

  defp of_checkpoint(name, opaque, module_or_arguments) do
    with {:ok, module, tables} <- backup_arguments(module_or_arguments),
         do: Backup.run_checkpoint(name, tables, module, opaque)
  end

  defp backup_arguments(module) when is_atom(module) and module != [],
    do: {:ok, module, :all}

  defp backup_arguments(arguments) when is_list(arguments) do
    Enum.reduce_while(arguments, {:ok, default_module(), :all}, fn
      {:scope, scope}, acc when scope in [:global, :local] -> {:cont, acc}
      {:module, module}, {:ok, _, tables} when is_atom(module) -> {:cont, {:ok, module, tables}}
      {:tables, tables}, {:ok, module, _} when is_list(tables) -> {:cont, {:ok, module, tables}}
      # A full backup has all that an incremental one would have.
      {:incremental, _name}, acc -> {:cont, acc}
      argument, _acc -> {:halt, {:error, {:badarg, argument}}}
    end)
  end

  defp default_module, do: Engine.system_info(:backup_module)

  defp running! do
    if Engine.system_info(:is_running) == :no,
      do: exit({:aborted, {:node_not_running, node()}}),
      else: :ok
  end

  # --- reading ---

  @doc """
  Puts the tables of a backup back into the running database, all of them or none.

  Arguments: `{:module, module}`, and what becomes of tables: `{:clear_tables, tables}` are emptied first, `{:recreate_tables, tables}`
  are made anew as the backup says, `{:keep_tables, tables}` keep what they have, `{:skip_tables, tables}` are passed over;
  `{:default_op, one_of_these_words}` is for all others, `:clear_tables` unless it is said.

  Answers `{:atomic, tables}` or `{:aborted, reason}`.

      iex> :remnesia.restore(~c"/nowhere/at/all", [])
      {:aborted, :enoent}
      iex> :remnesia.restore(~c"/nowhere/at/all", default_op: :forget)
      {:aborted, {:badarg, {:bad_default_op, :forget}}}
  """
  @spec restore(opaque, list) :: {:atomic, [table]} | {:aborted, term}
  def restore(opaque, arguments),
    do: served(:restore, [opaque, arguments], fn -> put_back(opaque, arguments) end)

  defp put_back(opaque, arguments) when is_list(arguments) do
    initial = {default_module(), [], :clear_tables}

    arguments
    |> Enum.reduce_while({:ok, initial}, fn argument, {:ok, options} ->
      case restore_argument(argument, options) do
        {:error, reason} -> {:halt, {:aborted, reason}}
        options -> {:cont, {:ok, options}}
      end
    end)
    |> case do
      {:ok, {module, operations, default}} -> Restore.run(module, opaque, operations, default)
      aborted -> aborted
    end
  end

  defp put_back(_opaque, arguments), do: {:aborted, {:badarg, arguments}}

  @operations [:clear_tables, :recreate_tables, :keep_tables, :skip_tables]

  defp restore_argument({:module, module}, {_, operations, default}) when is_atom(module),
    do: {module, operations, default}

  defp restore_argument({operation, tables}, {module, operations, default})
       when operation in @operations and is_list(tables) do
    if operation in [:clear_tables, :recreate_tables] and :schema in tables,
      do: {:error, {:badarg, {operation, :schema}}},
      else: {module, operations ++ for(table <- tables, do: {table, operation}), default}
  end

  defp restore_argument({:default_op, operation}, {module, operations, _})
       when operation in @operations,
       do: {module, operations, operation}

  defp restore_argument({:default_op, operation}, _options),
    do: {:error, {:badarg, {:bad_default_op, operation}}}

  defp restore_argument(argument, _options), do: {:error, {:badarg, argument}}

  @doc """
  Reads a backup and writes another one, of the items that `fun` answers for each item: definitions first, then records.

  `target_module` may be `:read_only`: then nothing is written.

      iex> file = Path.join(System.tmp_dir!(), "doc2.bup")
      iex> :ok = :remnesia.backup(file)
      iex> count = fn item, n -> {[item], n + 1} end
      iex> {:ok, number} = :remnesia.traverse_backup(file, :mnesia_backup, :dummy, :read_only, count, 0)
      iex> {number > 1, File.rm(file)}
      {true, :ok}
  """
  @spec traverse_backup(opaque, module, opaque, module | :read_only, fold, acc) ::
          {:ok, acc} | {:error, term}
        when acc: term
  def traverse_backup(source, source_module, target, target_module, fun, acc),
    do: Traverse.run(source, source_module, target, target_module, fun, acc)

  @doc """
  The same with the backup module of the configuration for both.

      iex> {file, other} = {Path.join(System.tmp_dir!(), "doc4.bup"), Path.join(System.tmp_dir!(), "doc5.bup")}
      iex> :ok = :remnesia.backup(file)
      iex> {:ok, nil} = :remnesia.traverse_backup(file, other, fn item, acc -> {[item], acc} end, nil)
      iex> {File.rm(file), File.rm(other)}
      {:ok, :ok}
  """
  @spec traverse_backup(opaque, opaque, fold, acc) :: {:ok, acc} | {:error, term}
        when acc: term
  def traverse_backup(source, target, fun, acc) do
    module = default_module()
    Traverse.run(source, module, target, module, fun, acc)
  end

  # --- fallbacks ---

  @doc """
  Puts a backup aside as what the database starts from the next time, in the place of all that it has now.

  Arguments: a backup module, or a keyword list of `:module`, `:scope` (`:local` or `:global`), `:mnesia_dir` and, which change
  nothing, as in Mnesia, `:keep_tables`, `:skip_tables`, `:default_op`.

      iex> :remnesia.install_fallback(~c"/nowhere/at/all")
      {:error, {~c"Cannot install fallback", :enoent}}
  """
  @spec install_fallback(opaque, module | list) :: :ok | {:error, term}
  def install_fallback(opaque, module_or_arguments \\ []) do
    served(:install_fallback, [opaque | given(module_or_arguments)], fn ->
      with {:ok, options} <- fallback_arguments(module_or_arguments),
           do: Fallback.install(opaque, options)
    end)
  end

  @doc """
  Takes a fallback back: the database starts from what it has.

      iex> :remnesia.uninstall_fallback()
      {:error, :enoent}
  """
  @spec uninstall_fallback(list) :: :ok | {:error, term}
  def uninstall_fallback(arguments \\ [scope: :global]) do
    served(:uninstall_fallback, [arguments], fn ->
      with {:ok, options} <- fallback_arguments(arguments), do: Fallback.uninstall(options)
    end)
  end

  defp fallback_arguments(module) when is_atom(module) and module != [],
    do: fallback_arguments(module: module)

  defp fallback_arguments(arguments) when is_list(arguments) do
    initial = %{module: default_module(), scope: :global, dir: nil}

    Enum.reduce_while(arguments, {:ok, initial}, fn argument, {:ok, options} ->
      case fallback_argument(argument) do
        {key, value} -> {:cont, {:ok, Map.put(options, key, value)}}
        :error -> {:halt, {:error, {:badarg, argument}}}
      end
    end)
  end

  defp fallback_arguments(arguments), do: {:error, {:badarg, arguments}}

  defp fallback_argument({:scope, scope}) when scope in [:global, :local], do: {:scope, scope}
  defp fallback_argument({:module, module}) when is_atom(module), do: {:module, module}
  defp fallback_argument({:mnesia_dir, directory}), do: {:dir, directory}

  defp fallback_argument({key, tables})
       when key in [:keep_tables, :skip_tables] and is_list(tables) do
    if Enum.all?(tables, &is_atom/1), do: {key, tables}, else: :error
  end

  defp fallback_argument({:default_op, operation})
       when operation in [:keep_tables, :skip_tables],
       do: {:default, operation}

  defp fallback_argument(_argument), do: :error
end
