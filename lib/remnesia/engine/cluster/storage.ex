defmodule Remnesia.Engine.Cluster.Storage do
  @moduledoc false

  # Names of storage types: the user says and reads Mnesia's, Mnesia knows those of the backend. `disc_copies` is native,
  # `ram_copies` is stock's (an external table in memory blocks a restart where stock's does not, and pays for the log), `remnesia_ram` a
  # native table in memory.

  alias Remnesia.Partition.Policy

  @native %{disc_copies: :remnesia_disc, disc_only_copies: :remnesia_disc_only}
  @usual %{
    remnesia_disc: :disc_copies,
    remnesia_ram: :ram_copies,
    remnesia_disc_only: :disc_only_copies
  }

  @doc "Options of a new table."
  @spec options(term) :: term
  def options(options) when is_list(options) do
    if List.improper?(options),
      do: options,
      else: options |> Policy.table_options() |> Enum.map(&option/1)
  end

  def options(options), do: options

  defp option({:storage_type, type}), do: {type(type), [node()]}
  # Nobody keeps it so: of a table that is nowhere else Mnesia then makes one in memory here.
  defp option({key, []}), do: {key, []}
  defp option({key, value}) when is_atom(key), do: {type(key), value}
  defp option(option), do: option

  @doc "Who is to have a new table on disc, by its usual type."
  @spec native_copies(term) :: [{atom, term}]
  def native_copies(options) do
    if is_list(options) and not List.improper?(options),
      do:
        for(
          {key, [_ | _] = nodes} <- options,
          is_map_key(@native, key),
          not List.improper?(nodes),
          node <- nodes,
          do: {key, node}
        ),
      else: []
  end

  @doc "Mnesia's name of a storage type."
  @spec type(term) :: term
  def type(type), do: Map.get(@native, type, type)

  @doc "The user's name of a storage type, wherever it stands in a term of Mnesia's."
  @spec usual(term) :: term
  def usual({:ext, type, Remnesia.Backend}), do: @usual[type]
  def usual({{:ext, type, Remnesia.Backend}, nodes}), do: {@usual[type], nodes}

  def usual({{type, Remnesia.Backend}, nodes}) when is_map_key(@usual, type),
    do: {@usual[type], nodes}

  def usual({name, arity, type, _alias, Remnesia.Backend}), do: {name, arity, type}
  def usual([head | tail]), do: [usual(head) | usual(tail)]

  def usual(tuple) when is_tuple(tuple),
    do: tuple |> Tuple.to_list() |> Enum.map(&usual/1) |> List.to_tuple()

  def usual(type) when is_map_key(@usual, type), do: @usual[type]
  def usual(other), do: other

  @doc "The nodes that keep a table so, of a list of `{{type, module}, nodes}` and those that Mnesia keeps itself."
  @spec nodes(atom, [node], list) :: [node]
  def nodes(type, own, external) do
    own ++
      for(
        {{native, Remnesia.Backend}, nodes} <- external,
        @usual[native] == type,
        node <- nodes,
        do: node
      )
  end

  @doc "What is external without us."
  @spec foreign(list) :: list
  def foreign(external),
    do: Enum.reject(external, &match?({{_type, Remnesia.Backend}, _nodes}, &1))
end
