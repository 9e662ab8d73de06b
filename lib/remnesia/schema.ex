defmodule Remnesia.Schema do
  @moduledoc """
  The definitions of all tables, and where they are kept.

  Tables of this version live in RAM, so there is no schema on disc to create: `create/1` and `set_storage_type/2` say so
  by an error.
  """

  alias Remnesia.Mnesia

  require Remnesia.Mnesia

  @doc """
  Creates a database on the discs of the nodes.

  Returns `{:error, reason}`: `{node, {:already_exists, node}}` while the database runs, `{node, {'All nodes not running',
  node, :nodedown}}` for another node, else `{node, {:not_available, text}}`, since durability is not available in this
  version.
  """
  @spec create([node]) :: :ok | {:error, term}
  def create(nodes), do: outside(:create_schema, [nodes])

  @doc """
  Deletes the database from the discs of the nodes.

  Returns `:ok` or `{:error, reason}`, with `{'Mnesia is not stopped everywhere', nodes}` while the database runs.
  """
  @spec delete([node]) :: :ok | {:error, term}
  def delete(nodes), do: outside(:delete_schema, [nodes])

  @doc """
  Prints the definitions of all tables. Raises `Remnesia.MnesiaException` while the database is stopped.
  """
  @spec info() :: :ok
  def info, do: outside(:schema, [])

  @doc """
  Prints the definition of one table.
  """
  @spec info(Remnesia.Table.name()) :: :ok
  def info(table), do: outside(:schema, [table])

  @doc """
  Changes where a node keeps the schema.

  Returns `:ok` or `{:error, reason}`: `{:already_exists, :schema, node, :ram_copies}` for what it is, `{:not_available,
  text}` for `:disc_copies`, since durability is not available in this version.

      iex> Remnesia.Schema.set_storage_type(node(), :ram_copies)
      {:error, {:already_exists, :schema, node(), :ram_copies}}
  """
  @spec set_storage_type(node, Remnesia.Table.storage_type()) :: :ok | {:error, term}
  def set_storage_type(node, type), do: Remnesia.Table.set_storage_type(:schema, node, type)

  defp outside(function, arguments),
    do: function |> Mnesia.call_and_catch(arguments) |> Mnesia.handle_result()
end
