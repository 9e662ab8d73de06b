defmodule Remnesia.Engine.Local.Index do
  @moduledoc false

  # Searches by an attribute: which position it is at, whether there is an index, and what Mnesia answers where not.

  alias Remnesia.Engine.Cstruct
  alias Remnesia.Engine.Local.{Definitions, Dirty, Pattern, Scan, Signal}
  alias Remnesia.Native

  @doc "The tuple position of an attribute, which may be given as one."
  @spec position(term, term) :: pos_integer | term | no_return
  def position(table, _attribute) when not is_atom(table) or table == :schema,
    do: Signal.abort({:bad_type, table})

  def position(_table, position) when is_integer(position), do: position

  def position(table, attribute) do
    case {Definitions.attributes(table), attribute} do
      {nil, _attribute} ->
        unknown(table)

      {_attributes, {_plugin} = position} ->
        position

      {attributes, attribute} ->
        find(attributes, attribute, 2) || Signal.abort({:bad_type, attribute})
    end
  end

  @doc "The position of an attribute that may have an index; nil where something is wrong, which is for `position/2` to say."
  @spec known(term, term) :: pos_integer | nil
  def known(table, attribute) when is_atom(attribute) and is_atom(table) and table != :schema do
    case Definitions.attributes(table) do
      [_key | attributes] -> find(attributes, attribute, 3)
      nil -> nil
    end
  end

  def known(table, position) when is_integer(position) and position > 2 and is_atom(table),
    do: position

  def known(_table, _attribute), do: nil

  defp unknown(table) do
    if Native.running(),
      do: Signal.abort({:no_exists, {table, :attributes}}),
      else: Signal.abort({:node_not_running, node()})
  end

  @doc "The position of an attribute, the first of these having the one that is given; nil if it is none of them."
  @spec find([atom], term, pos_integer) :: pos_integer | nil
  def find([attribute | _], attribute, position), do: position
  def find([_ | rest], attribute, position), do: find(rest, attribute, position + 1)
  def find([], _attribute, _position), do: nil

  @doc "The records with this value, within a transaction."
  @spec lookup(reference, atom, term, term) :: [tuple] | no_return
  def lookup(txn, table, value, position) when is_integer(position) and position > 2 do
    case Native.index_read(txn, table, value, position) do
      {:done, records} ->
        records

      {:"$error", {:badarg, _}} ->
        no_index(table, position)

      answer ->
        Scan.all(answer, :index_read, [txn, table, value, position])
    end
  end

  def lookup(_txn, table, _value, position), do: no_index(table, position)

  defp no_index(table, position) do
    if Native.table_props(table) == :error,
      do: Signal.abort({:no_exists, table}),
      else: Signal.abort({:no_exists, table, {:index, [position]}})
  end

  @doc "The same outside."
  @spec dirty_lookup(atom, term, term) :: [tuple] | no_return
  def dirty_lookup(table, value, attribute) do
    position = position(table, attribute)
    if Pattern.variable?(value), do: Signal.abort({:bad_type, table, attribute, value})

    if is_integer(position) and position > 2,
      do: Dirty.index_lookup(table, value, position),
      else: Dirty.refuse(table, [table, value, position], {:badarg, [table, value, position]})
  end

  @doc """
  Refuses a pattern that leaves the indexed position open, unless the key is bound, or has no index to go by. `check` sees the
  position first.
  """
  @spec check_pattern(term, term, term, (term -> term)) :: :ok | no_return
  def check_pattern(table, pattern, attribute, check) do
    if not (is_atom(table) and table != :schema and is_tuple(pattern) and tuple_size(pattern) > 2),
      do: Signal.abort({:bad_type, table, pattern})

    position = position(table, attribute)

    cond do
      is_tuple(position) ->
        check.(position)
        :ok

      position > tuple_size(pattern) ->
        Signal.abort({:bad_type, table, position})

      true ->
        check.(position)
        bound(table, pattern, attribute, position)
    end
  end

  @doc """
  Refuses a pattern that found nothing because it is too short for an index that Mnesia would look at: one that no bound key or indexed
  value before it decides about.
  """
  @spec check_length(atom, tuple) :: :ok | no_return
  def check_length(table, pattern) do
    with true <- Pattern.variable?(elem(pattern, 1)),
         {:ok, %{attributes: attributes} = cstruct} when length(attributes) >= tuple_size(pattern) <-
           Native.table_props(table),
         position when is_integer(position) <- Enum.find(single(cstruct), &seen?(&1, pattern)),
         true <- position > tuple_size(pattern) do
      Signal.abort({:badarg, [table, pattern]})
    else
      _fits -> :ok
    end
  end

  defp single(cstruct), do: cstruct |> Cstruct.positions() |> Enum.filter(&is_integer/1)

  defp seen?(position, pattern),
    do: position > tuple_size(pattern) or not Pattern.variable?(elem(pattern, position - 1))

  defp bound(table, pattern, attribute, position) do
    cond do
      not Pattern.variable?(elem(pattern, 1)) ->
        :ok

      Pattern.variable?(elem(pattern, position - 1)) ->
        Signal.abort({:bad_type, table, attribute, elem(pattern, position - 1)})

      true ->
        case Native.table_props(table) do
          {:ok, %{index: index}} ->
            # With a key like `:"$1"` Mnesia scans the table, whether there is an index or not.
            if elem(pattern, 1) == :_ and not List.keymember?(index, position, 0),
              do: Signal.abort({:badarg, [table, pattern, position]})

            :ok

          :error ->
            Signal.abort({:no_exists, [table, pattern, position]})
        end
    end
  end
end
