defmodule Remnesia.Table.Definition do
  @moduledoc false

  # What `use Remnesia.Table` needs while a table module compiles: options checked and split, the match-spec forms of its
  # attributes, and the two function heads that convert between record and struct by pattern alone.

  require Remnesia.Error

  @type options :: %{memento: keyword, mnesia: keyword}

  # A table of either name is a table: this source is compiled to Memento as well (compat/memento), which must not change
  # these two.
  @metas [:"Elixir.Remnesia.Table", :"Elixir.Memento.Table"]

  @own_options [:autoincrement]
  @types [:set, :ordered_set, :bag, :duplicate_bag]

  @doc "The match head that binds every attribute: `{module, :\"$1\", :\"$2\", ...}`."
  @spec build_base(module, [atom]) :: tuple
  def build_base(module, attributes), do: List.to_tuple([module | variables(attributes)])

  @doc "From attribute to match variable: `%{id: :\"$1\", name: :\"$2\"}`."
  @spec build_map([atom]) :: %{atom => atom}
  def build_map(attributes), do: attributes |> Enum.zip(variables(attributes)) |> Map.new()

  defp variables(attributes),
    do: attributes |> Enum.with_index(1) |> Enum.map(fn {_name, n} -> :"$#{n}" end)

  @doc "What `defstruct` gets."
  @spec struct_fields([atom]) :: list
  def struct_fields(attributes), do: [{:__meta__, Remnesia.Table} | attributes]

  @doc """
  The record and the struct over the same variables, as quoted code: a function from one to the other is a single match,
  since the attributes are known while the table module compiles.
  """
  @spec build_patterns(name :: Macro.t(), [atom]) :: {record :: Macro.t(), struct :: Macro.t()}
  def build_patterns(name, attributes) do
    values = Macro.generate_arguments(length(attributes), __MODULE__)
    fields = [{:__struct__, name}, {:__meta__, Remnesia.Table} | Enum.zip(attributes, values)]
    {{:{}, [], [name | values]}, {:%{}, [], fields}}
  end

  @doc "Splits options into those for the database and our own; the attributes are in neither."
  @spec build_options(keyword) :: options
  def build_options(options) do
    %{
      mnesia: Keyword.drop(options, [:attributes | @own_options]),
      memento: Keyword.take(options, @own_options)
    }
  end

  @doc "A definition's options, overridden by those given to `create`."
  @spec merge_options(options, keyword) :: options
  def merge_options(%{mnesia: mnesia, memento: memento}, options) do
    given = build_options(options)
    %{mnesia: Keyword.merge(mnesia, given.mnesia), memento: Keyword.merge(memento, given.memento)}
  end

  @doc "Raises unless the options can define a table. What the database checks is left to it."
  @spec validate_options!(keyword) :: :ok | no_return
  def validate_options!(options) do
    if not Keyword.keyword?(options), do: Remnesia.Error.raise("Invalid options specified")

    attributes = Keyword.get(options, :attributes)

    cond do
      attributes == nil ->
        Remnesia.Error.raise("Table attributes not specified")

      not atoms?(attributes) ->
        Remnesia.Error.raise("Invalid attributes specified")

      not indexes?(Keyword.get(options, :index, [])) ->
        Remnesia.Error.raise("Invalid index list specified")

      not indexes?(Keyword.get(options, :unique, [])) ->
        Remnesia.Error.raise("Invalid unique list specified")

      not is_boolean(Keyword.get(options, :autoincrement, false)) ->
        Remnesia.Error.raise("Invalid autoincrement parameter specified")

      Keyword.get(options, :type, :set) not in @types ->
        Remnesia.Error.raise("Invalid table type specified")

      true ->
        :ok
    end
  end

  defp atoms?(list), do: is_list(list) and Enum.all?(list, &is_atom/1)

  # An attribute, or several for one index.
  defp indexes?(list),
    do: is_list(list) and Enum.all?(list, &(is_atom(&1) or (&1 != [] and atoms?(&1))))

  @doc "True if the definition says `autoincrement: true`."
  @spec has_autoincrement?(module) :: boolean
  def has_autoincrement?(table),
    do: Keyword.get(table.__info__().options.memento, :autoincrement, false)

  @doc "Raises unless the module is a table."
  @spec validate_table!(module) :: :ok | no_return
  def validate_table!(module) do
    %{meta: meta} = module.__info__()
    true = meta in @metas
    :ok
  rescue
    _not_a_table -> Remnesia.Error.raise("#{inspect(module)} is not a Remnesia Table")
  end
end
