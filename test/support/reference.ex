defmodule Remnesia.Reference do
  @moduledoc """
  Memento's documented behaviour over stock Mnesia, as small as it can be: the other side of oracle tests.

  Takes the same table modules as Remnesia. The tables are those of `:mnesia` in the same node.
  """

  @compile {:no_warn_undefined, :mnesia}

  @operators %{and: :andalso, or: :orelse, <=: :"=<", !=: :"/=", ===: :"=:=", !==: :"=/="}

  # --- tables ---

  def create(table, options \\ []) do
    info = table.__info__()
    given = Keyword.drop(options, [:attributes, :autoincrement])
    auto? = options[:autoincrement] || info.options.memento[:autoincrement]

    if auto? == true and info.type != :ordered_set do
      {:error, {:autoincrement, "can only be used with :ordered_set"}}
    else
      options =
        info.options.mnesia |> Keyword.merge(given) |> Keyword.put(:attributes, info.attributes)

      result(:mnesia.create_table(table, options))
    end
  end

  def delete_table(table), do: result(:mnesia.delete_table(table))
  def clear(table), do: result(:mnesia.clear_table(table))

  # --- transactions ---

  def transaction(fun, retries \\ :infinity), do: result(:mnesia.transaction(fun, retries))

  def transaction!(fun) do
    case transaction(fun) do
      :ok ->
        :ok

      {:ok, value} ->
        value

      {:error, {:transaction_aborted, reason}} ->
        raise "Transaction aborted with: #{inspect(reason)}"

      {:error, reason} ->
        raise "Transaction Failed with: #{inspect(reason)}"
    end
  end

  def abort(reason), do: :mnesia.abort({:transaction_aborted, reason})
  def inside?, do: :mnesia.is_transaction()

  # --- records ---

  def read(table, key, options \\ []) do
    case :mnesia.read(table, key, lock(options, :read)) do
      [] -> nil
      [record | _] -> load(record)
    end
  end

  def read_all(table, key), do: Enum.map(:mnesia.read(table, key, :read), &load/1)

  def write(%table{} = struct, options \\ []) do
    info = table.__info__()

    struct =
      cond do
        Map.get(struct, info.primary_key) != nil ->
          struct

        info.options.memento[:autoincrement] ->
          Map.put(struct, info.primary_key, next_number(table))

        true ->
          raise "cannot have a nil primary key unless autoincrement is enabled"
      end

    :ok = :mnesia.write(table, dump(struct), lock(options, :write))
    struct
  end

  defp next_number(table) do
    numbers = for key <- :mnesia.all_keys(table), is_number(key), do: key
    Enum.max(numbers, fn -> 0 end) + 1
  end

  def delete(table, key, options \\ []), do: :mnesia.delete(table, key, lock(options, :write))

  def delete_record(%table{} = struct, options \\ []),
    do: :mnesia.delete_object(table, dump(struct), lock(options, :write))

  # --- queries ---

  def all(table, options \\ []) do
    wild = List.to_tuple([table | List.duplicate(:_, table.__info__().size)])
    table |> :mnesia.match_object(wild, lock(options, :read)) |> Enum.map(&load/1)
  end

  def match(table, pattern, options \\ []) do
    if tuple_size(pattern) != table.__info__().size, do: raise("Match Pattern length")
    pattern = List.to_tuple([table | Tuple.to_list(pattern)])
    table |> :mnesia.match_object(pattern, lock(options, :read)) |> Enum.map(&load/1)
  end

  def select(table, guards, options \\ []) do
    info = table.__info__()
    guards = guards |> List.wrap() |> Enum.map(&guard(&1, info.query_map))
    select_raw(table, [{info.query_base, guards, [:"$_"]}], options)
  end

  def select_raw(table, spec, options \\ []) do
    found =
      case options[:limit] do
        nil -> :mnesia.select(table, spec, lock(options, :read))
        limit -> :mnesia.select(table, spec, limit, lock(options, :read))
      end

    case {Keyword.get(options, :coerce, true), found} do
      {false, found} -> found
      {true, :"$end_of_table"} -> []
      {true, {records, _continuation}} -> Enum.map(records, &load/1)
      {true, records} -> Enum.map(records, &load/1)
    end
  end

  defp guard(list, variables) when is_list(list), do: Enum.map(list, &guard(&1, variables))
  defp guard(atom, variables) when is_atom(atom), do: variables[atom] || atom

  defp guard({operator, left, right}, variables),
    do: {@operators[operator] || operator, guard(left, variables), guard(right, variables)}

  defp guard(value, _variables), do: value

  # --- shapes ---

  def load(record) do
    [table | values] = Tuple.to_list(record)
    struct!(table, Enum.zip(table.__info__().attributes, values))
  end

  def dump(%table{} = struct) do
    List.to_tuple([
      table | for(attribute <- table.__info__().attributes, do: Map.fetch!(struct, attribute))
    ])
  end

  defp lock(options, default), do: Keyword.get(options, :lock, default)

  defp result(:ok), do: :ok
  defp result({:atomic, :ok}), do: :ok
  defp result({:atomic, value}), do: {:ok, value}
  defp result({:aborted, {:throw, value}}), do: throw(value)

  defp result({:aborted, {%{__exception__: true} = exception, stacktrace}}),
    do: reraise(exception, stacktrace)

  # A reason like {:badarg, [table, spec]} is taken for an error with its stacktrace too.
  defp result({:aborted, {:badarg, rest}}) when not is_list(rest), do: raise(ArgumentError)
  defp result({:aborted, {:badarg, [item | _]}}) when not is_tuple(item), do: raise(ArgumentError)

  defp result({:aborted, {error, [{_, _, _, _} | _] = stacktrace} = reason}) do
    case Exception.normalize(:error, error, stacktrace) do
      %ErlangError{} -> {:error, reason}
      exception -> reraise exception, stacktrace
    end
  end

  defp result({:aborted, reason}), do: {:error, reason}
end
