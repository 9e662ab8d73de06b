defmodule Remnesia.Query.Given do
  @moduledoc false

  # What the functions of searches are given, in one form: a table, a match specification and options.

  alias Remnesia.Query.{Data, Spec, Where}

  @doc "A table and guards, or conditions that know their table; then options."
  @spec query(atom | Where.t(), term, keyword) :: {atom, list, keyword}
  def query(%Where{table: table, spec: spec}, options, []), do: {table, spec, options}
  def query(table, guards, options), do: {table, spec(table, guards), options}

  @doc "Guards as a specification that answers whole records."
  @spec spec(atom, term) :: list
  def spec(table, %Where{table: table, spec: spec}), do: spec

  def spec(table, %Where{table: other}) do
    raise ArgumentError,
          "expected conditions for #{inspect(table)}, got conditions for #{inspect(other)}: " <>
            "write Query.where(#{inspect(table)}, ..)"
  end

  def spec(table, guards) do
    %{query_map: variables, query_base: head} = table.__info__()
    [{head, Spec.build(guards, variables), [:"$_"]}]
  end

  @doc "Is this a specification? Else it is guards."
  @spec spec?(term) :: boolean
  # A guard of three parts begins with an operator, a clause with a tuple or a variable.
  def spec?([_ | _] = list), do: Enum.all?(list, &clause?/1)
  def spec?(_guard), do: false

  defp clause?({head, guards, body}) when is_list(guards) and is_list(body),
    do: is_tuple(head) or head == :_ or match?("$" <> _, is_atom(head) && Atom.to_string(head))

  defp clause?(_guard), do: false

  @doc "The lock of options. Most calls have no options: that costs nothing."
  @spec lock(keyword, atom) :: term
  def lock([], default), do: default
  def lock(options, default), do: Keyword.get(options, :lock, default)

  @doc "Records as structs."
  @spec load_all([tuple]) :: [struct]
  def load_all([]), do: []
  def load_all([record | records]), do: [Data.load(record) | load_all(records)]
end
