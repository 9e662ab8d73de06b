defmodule Remnesia.Engine.Local.Definitions do
  @moduledoc false

  # What is known of tables and of the database beside the definitions that the native side keeps: the attributes of each table, because
  # reading a definition as a whole costs more than an index read; the schema's own definition; settings that live until the database stops.
  # All of it may be missing, when the application does not run: then the definitions answer, or the defaults.

  alias Remnesia.Engine.Cstruct
  alias Remnesia.Engine.Local.{Disc, Fragments}
  alias Remnesia.Native

  @doc "Makes the table; its owner is the caller."
  @spec new() :: term
  def new, do: :ets.new(__MODULE__, [:named_table, :public, read_concurrency: true])

  @doc "The names of the tables, also of those that are still being loaded."
  @spec names() :: [Native.name()]
  def names do
    # In this order: one that is ready between the two is not missed.
    loading = for {table, _records} <- Native.tables_loading(), do: table
    Enum.uniq(loading ++ Native.tables())
  end

  @doc "The attributes of a table; none if there is no such table."
  @spec attributes(atom) :: [atom] | nil
  def attributes(table) do
    case get({:attributes, table}, nil) do
      nil -> from_definition(table)
      attributes -> attributes
    end
  end

  defp from_definition(table) do
    case Native.table_props(table) do
      {:ok, %{attributes: attributes}} -> attributes
      :error -> nil
    end
  end

  @doc "A table was created, or has other attributes now."
  @spec remember(Cstruct.t()) :: :ok
  def remember(cstruct) do
    case Fragments.state_of(cstruct) do
      nil -> delete({:frag_hash, cstruct.name})
      state -> put({:frag_hash, cstruct.name}, state)
    end

    put({:attributes, cstruct.name}, cstruct.attributes)
  end

  @doc "A table was deleted. Master nodes belong to its name, as in Mnesia: a table of the same name has them again."
  @spec forget(atom) :: :ok
  def forget(table) do
    for key <- [:attributes, :frag_hash, :dumped, :load_reason],
        do: delete({key, table})

    :ok
  end

  @doc "The definition of a table, or of the schema."
  @spec fetch(term) :: {:ok, Cstruct.t()} | :error
  def fetch(:schema) do
    if Native.running(), do: {:ok, get(:schema, Cstruct.schema())}, else: :error
  end

  def fetch(table), do: Native.table_props(table)

  @doc "Puts a changed definition in the place of the one before."
  @spec store(Cstruct.t()) :: :ok
  def store(%{name: :schema} = cstruct) do
    Disc.redefine(get({:number, :schema}, nil), cstruct)
    put(:schema, cstruct)
  end

  def store(cstruct) do
    with {number, _rows} <- Native.table_disc(cstruct.name), do: Disc.redefine(number, cstruct)
    keep(cstruct)
  end

  @doc "The same of a definition that is on disc already."
  @spec keep(Cstruct.t()) :: :ok
  def keep(cstruct) do
    remember(cstruct)
    Native.table_put_props(cstruct.name, cstruct)
  end

  @doc "A setting."
  @spec get(term, term) :: term
  def get(key, default) do
    :ets.lookup_element(__MODULE__, key, 2)
  rescue
    ArgumentError -> default
  end

  @doc "What `$1` is in the settings that match."
  @spec match(tuple) :: [term]
  def match(pattern) do
    for [found] <- :ets.match(__MODULE__, pattern), do: found
  rescue
    ArgumentError -> []
  end

  @spec put(term, term) :: :ok
  def put(key, value) do
    :ets.insert(__MODULE__, {key, value})
    :ok
  rescue
    ArgumentError -> :ok
  end

  defp delete(key) do
    :ets.delete(__MODULE__, key)
  rescue
    ArgumentError -> true
  end
end
