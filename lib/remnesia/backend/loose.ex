defmodule Remnesia.Backend.Loose do
  @moduledoc false

  # Tuples of any shape that Mnesia keeps beside a table: those of a checkpoint (`{table, :retainer, name}`, whose key is the second
  # element) and of an index that a plug-in computes (`{table, :index, {position, type}}`, the first). They last as long as Mnesia runs.
  #
  # A native table has records of one size: a row here is `{:row, key, tuple}`.

  alias Remnesia.Backend.Search
  alias Remnesia.Engine.Cstruct
  alias Remnesia.Native

  @spec name(tuple) :: tuple
  def name(table), do: {:mnesia, table}

  @spec create(tuple) :: :ok
  def create(table) do
    if Native.table_size(name(table)) == :error do
      type = type(table)

      cstruct = %Cstruct{
        name: name(table),
        type: type,
        attributes: [:key, :row],
        record_name: :row
      }

      :ok = Native.table_create(name(table), Cstruct.shape(cstruct), cstruct, nil, false)
    end

    :ok
  end

  defp type({_table, :index, {_plugin, :ordered}}), do: :ordered_set
  defp type({_table, :index, {_plugin, :bag}}), do: :bag
  defp type(_retainer), do: :set

  @spec delete(tuple) :: :ok
  def delete(table) do
    Native.table_delete(nil, name(table))
    :ok
  end

  @spec info(tuple, atom) :: term
  def info(table, :size), do: Native.table_size(name(table))
  def info(table, :memory), do: Native.table_memory(name(table))
  def info(_table, _item), do: :undefined

  @spec lookup(tuple, term) :: [tuple]
  def lookup(table, key) do
    case Native.read(nil, name(table), key, :read) do
      rows when is_list(rows) -> for {:row, _key, row} <- rows, do: row
      _refused -> :erlang.error(:badarg)
    end
  end

  @spec insert(tuple, tuple) :: :ok
  def insert(table, row),
    do: changed(Native.write(nil, name(table), {:row, key(table, row), row}, :write))

  @spec delete(tuple, term) :: :ok
  def delete(table, key), do: changed(Native.delete(nil, name(table), key))

  @spec match_delete(tuple, term) :: :ok
  def match_delete(table, :_), do: changed(Native.table_clear(nil, name(table)))

  def match_delete(table, pattern) do
    for row <- select(table, [{pattern, [], [:"$_"]}]),
        do: changed(Native.delete_object(nil, name(table), {:row, key(table, row), row}))

    :ok
  end

  defp changed(:ok), do: :ok
  defp changed(_refused), do: :erlang.error(:badarg)

  # The key of the pattern is looked for as the key of the row.
  @spec select(tuple, list) :: [term]
  def select(table, spec) do
    found = for {head, _, _} <- spec, row <- rows(table, head), do: row
    :ets.match_spec_run(Enum.uniq(found), :ets.match_spec_compile(spec))
  end

  defp rows(table, head) do
    key = if is_tuple(head), do: key(table, head), else: :_
    Search.select(name(table), [{{:row, key, :"$4711"}, [], [:"$4711"]}])
  end

  defp key({_table, :retainer, _name}, row), do: elem(row, 1)
  defp key(_index, row), do: elem(row, 0)
end
