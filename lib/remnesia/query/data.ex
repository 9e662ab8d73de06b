defmodule Remnesia.Query.Data do
  @moduledoc """
  Converts between the structs of a table module and the tuples that the database holds.

  `Remnesia.Query` does this by itself; it is public for programs that read the same tables by other means.

      iex> defmodule MyApp.Pet do
      ...>   use Remnesia.Table, attributes: [:id, :name]
      ...> end
      iex> Remnesia.Query.Data.dump(struct!(MyApp.Pet, id: 1, name: "Rex"))
      {MyApp.Pet, 1, "Rex"}
      iex> Remnesia.Query.Data.load({MyApp.Pet, 2, "Tom"}).name
      "Tom"
  """

  # A table module brings the two conversions itself, compiled to one match each. What these do not match, a tuple of
  # another size or a struct without a field, and modules that only have `__info__/0`, is converted by name, slowly.

  alias Remnesia.Table

  @doc """
  The struct of a record.

  Raises `UndefinedFunctionError` (for `__info__/0`) if the first element is not a table module, and
  `FunctionClauseError` if the record is not a tuple.

      iex> Remnesia.Query.Data.load({Example.User, 1, "Ann", 30}).name
      "Ann"
  """
  @spec load(tuple) :: Table.record()
  def load(record) when is_tuple(record) do
    elem(record, 0).__load__(record)
  catch
    :error, :undef -> load_by_name(record)
  end

  @doc """
  The record of a struct.

  Raises `UndefinedFunctionError` (for `__info__/0`) if it is not the struct of a table module, and
  `FunctionClauseError` if it is no struct.

      iex> Remnesia.Query.Data.dump(%Example.User{id: 1, name: "Ann", age: 30})
      {Example.User, 1, "Ann", 30}
  """
  @spec dump(Table.record()) :: tuple
  def dump(%{__struct__: table} = struct) do
    table.__dump__(struct)
  catch
    :error, :undef -> dump_by_name(struct)
  end

  @doc false
  @spec load_by_name(tuple) :: Table.record()
  def load_by_name(record) do
    [table | values] = Tuple.to_list(record)
    struct(table, Enum.zip(table.__info__().attributes, values))
  end

  @doc false
  @spec dump_by_name(Table.record()) :: tuple
  def dump_by_name(%{__struct__: table} = struct) do
    List.to_tuple([table | Enum.map(table.__info__().attributes, &Map.get(struct, &1))])
  end
end
