defmodule Remnesia.Schema do
  @moduledoc """
  The definitions of all tables, and where they are kept.

  Without a schema on disc every table lives in memory. With one the definitions of all tables survive a restart, and so do the records
  of tables with `disc_copies`. An application that wants its tables on disc calls `setup/1` when it starts, every time:

      :ok = Remnesia.Schema.setup(tables: [Blog.Post, Blog.Comment])

  The directory is `config :remnesia, dir: "..."`, else that of Mnesia (`config :mnesia, dir:`), else `Remnesia.<node>` under the current
  directory; the files are in `remnesia/` there.
  """

  alias Remnesia.{Engine, Mnesia, Table}

  require Remnesia.Mnesia

  @doc """
  Makes sure that there is a schema on disc and that the tables exist, in the running database: what is missing is created, what is there
  is left, so it can be called at every start. Waits until the tables are loaded.

  ## Options

    * `:tables` - table modules. Defaults to `[]`.
    * `:storage` - how the tables are kept on this node, `:disc_copies` (default) or `:ram_copies`; tables that are kept
      otherwise are converted. `:as_defined` leaves each as its definition says.
    * `:timeout` - milliseconds to wait for the tables, or `:infinity`. Defaults to 60,000.

  Returns `:ok` or `{:error, reason}`: a reason of `set_storage_type/2`, `Remnesia.Table.create/2` or
  `Remnesia.Table.set_storage_type/3`, or `{:timeout, tables}`.

      iex> Remnesia.Schema.setup(tables: [Example.User])
      :ok
      iex> Remnesia.Table.info(Example.User, :storage_type)
      :disc_copies
  """
  @spec setup(keyword) :: :ok | {:error, term}
  def setup(options) do
    tables = Keyword.get(options, :tables, [])
    storage = Keyword.get(options, :storage, :disc_copies)
    timeout = Keyword.get(options, :timeout, 60_000)

    with :ok <- on_disc(),
         :ok <- each(tables, &create_missing(&1, storage)),
         :ok <- wait(tables, timeout),
         do: each(tables, &convert(&1, storage))
  end

  defp on_disc do
    if Engine.system_info(:use_dir),
      do: :ok,
      else: set_storage_type(node(), :disc_copies)
  end

  defp create_missing(table, storage) do
    options = if storage == :as_defined, do: [], else: [{storage, [node()]}]

    with {:error, {:already_exists, ^table}} <- Table.create(table, options), do: :ok
  end

  defp wait(tables, timeout) do
    with {:timeout, missing} <- Table.wait(tables, timeout), do: {:error, {:timeout, missing}}
  end

  defp convert(_table, :as_defined), do: :ok

  defp convert(table, storage) do
    with {:error, {:already_exists, ^table, _node, ^storage}} <-
           Table.set_storage_type(table, node(), storage),
         do: :ok
  end

  defp each(tables, fun) do
    Enum.reduce_while(tables, :ok, fn table, :ok ->
      case fun.(table) do
        :ok -> {:cont, :ok}
        error -> {:halt, error}
      end
    end)
  end

  @doc """
  Creates an empty database on disc, on this node. The database must be stopped; it uses what is on disc from its next start on.

  Returns `:ok` or `{:error, reason}`: `{node, {:already_exists, node}}` if there is one or the database runs, `{node, {'All nodes not
  running', node, :nodedown}}` for another node, else `{node, reason}` with what the file system says.

      iex> Remnesia.Schema.create([node()])
      {:error, {node(), {:already_exists, node()}}}
  """
  @spec create([node]) :: :ok | {:error, term}
  def create(nodes), do: outside(:create_schema, [nodes])

  @doc """
  Deletes the database from disc, definitions and records. Files of stock Mnesia in the same directory stay.

  Returns `:ok` or `{:error, reason}`, with `{'Mnesia is not stopped everywhere', nodes}` while the database runs and `{:locked, directory}`
  while another process has it open.

      iex> Remnesia.stop()
      iex> Remnesia.Schema.delete([node()])
      :ok
  """
  @spec delete([node]) :: :ok | {:error, term}
  def delete(nodes), do: outside(:delete_schema, [nodes])

  @doc """
  Prints the definitions of all tables. Raises `Remnesia.MnesiaException` while the database is stopped.

      iex> Remnesia.Schema.info()
      :ok
  """
  @spec info() :: :ok
  def info, do: outside(:schema, [])

  @doc """
  Prints the definition of one table.

      iex> Remnesia.Schema.info(Example.User)
      :ok
  """
  @spec info(Remnesia.Table.name()) :: :ok
  def info(table), do: outside(:schema, [table])

  @doc """
  Changes where this node keeps the schema, while the database runs: `:disc_copies` brings it and the definitions of all tables to
  disc, `:ram_copies` deletes it there.

  Returns `:ok` or `{:error, reason}`: `{:already_exists, :schema, node, type}` for what it is, `{'Disc resident tables', tables,
  node}` as long as tables are on disc, or what the file system says.

      iex> Remnesia.Schema.set_storage_type(node(), :ram_copies)
      {:error, {:already_exists, :schema, node(), :ram_copies}}
  """
  @spec set_storage_type(node, Remnesia.Table.storage_type()) :: :ok | {:error, term}
  def set_storage_type(node, type), do: Table.set_storage_type(:schema, node, type)

  defp outside(function, arguments),
    do: function |> Mnesia.call_and_catch(arguments) |> Mnesia.handle_result()
end
