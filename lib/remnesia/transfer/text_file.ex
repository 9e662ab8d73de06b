defmodule Remnesia.Transfer.TextFile do
  @moduledoc false

  # Tables as text, in the form of Mnesia's `dump_to_textfile`, with all of their definitions: Mnesia reads it too.

  alias Remnesia.Engine.Choice
  alias Remnesia.Engine.Local.{Checkpoints, Definitions, Refill, Schema, Signal}
  alias Remnesia.Transfer.{NewFile, Own, Restore, SafeText}

  @atoms 500_000
  @no_cluster "on several nodes text is loaded by :remnesia.load_textfile/1"

  # What is said of a table, if it is not what it would be anyway.
  @defaults [
    type: :set,
    index: [],
    unique: [],
    load_order: 0,
    access_mode: :read_write,
    majority: false,
    local_content: false,
    user_properties: [],
    storage_properties: []
  ]

  @spec dump(Path.t(), keyword) :: Own.result()
  def dump(path, options) do
    with {:ok, snapshot} <- Own.snapshot(options) do
      result = NewFile.write(path, &write(&1, snapshot, options))
      Checkpoints.release(snapshot)
      result
    end
  end

  defp write(file, snapshot, options) do
    progress = Keyword.get(options, :progress, fn _line -> :ok end)
    put(file, {:tables, Enum.map(snapshot.tables, &{&1.name, definition(&1)})})

    for %{name: table} <- snapshot.tables do
      progress.("#{inspect(table)}: writing")

      add = fn records, number ->
        Enum.each(records, &record(file, table, &1))
        number + length(records)
      end

      case Checkpoints.fold(snapshot, table, 0, add) do
        {:ok, number} -> {table, number}
        {:error, reason} -> NewFile.stop(reason)
      end
    end
  end

  defp definition(cstruct) do
    kind = Enum.find([:disc_copies, :disc_only_copies], &(Map.fetch!(cstruct, &1) != []))
    storage = if kind, do: [{kind, [node()]}], else: []

    others =
      for {key, default} <- @defaults,
          value = value(cstruct, key),
          value != default,
          do: {key, value}

    [record_name: cstruct.record_name, attributes: cstruct.attributes] ++ storage ++ others
  end

  defp value(cstruct, :index), do: for({position, _kind} <- cstruct.index, do: position)
  defp value(cstruct, key), do: Map.fetch!(cstruct, key)

  defp record(file, table, record) do
    if not text?(record), do: NewFile.stop({:not_text, table, elem(record, 1)})
    put(file, put_elem(record, 0, table))
  end

  defp put(file, term), do: NewFile.put!(file, :io_lib.format(~c"~p.~n", [term]))

  # Has it a form that can be read again? A stack of its own: terms may be deep.
  defp text?(term), do: texts?([term])

  defp texts?([]), do: true

  defp texts?([term | rest]) when is_number(term) or is_atom(term) or is_bitstring(term),
    do: texts?(rest)

  defp texts?([[] | rest]), do: texts?(rest)
  defp texts?([[head | tail] | rest]), do: texts?([head, tail | rest])
  defp texts?([term | rest]) when is_tuple(term), do: texts?(Tuple.to_list(term) ++ rest)

  defp texts?([term | rest]) when is_map(term),
    do: texts?(Map.keys(term) ++ Map.values(term) ++ rest)

  defp texts?(_identity), do: false

  # --- reading ---

  @doc "Adds the records of a file to its tables, which are made if they are not there; all or nothing."
  @spec load(Path.t(), keyword) :: Own.result()
  def load(path, options) do
    budget = Keyword.get(options, :max_atoms, Application.get_env(:remnesia, :max_atoms, @atoms))

    with :ok <- if(Choice.cluster?(), do: {:error, {:not_available, @no_cluster}}, else: :ok),
         {:ok, tables} <- tables(path, budget),
         {:atomic, counts} <- Schema.changing(&fill(&1, path, budget, tables)) do
      {:ok, counts |> Map.to_list() |> Enum.sort()}
    else
      {:aborted, reason} -> {:error, reason}
      error -> error
    end
  end

  # The first term.
  defp tables(path, budget) do
    found = fn term, line, _none -> throw({:first, term, line}) end

    with {:ok, nil} <- SafeText.fold(path, budget, nil, found), do: {:error, {:bad_header, 1}}
  catch
    {:first, {:tables, tables}, line} when is_list(tables) ->
      good? = &match?({name, options} when is_atom(name) and is_list(options), &1)
      if Enum.all?(tables, good?), do: {:ok, tables}, else: {:error, {:bad_header, line}}

    {:first, _term, line} ->
      {:error, {:bad_header, line}}
  end

  defp fill(txn, path, budget, tables) do
    steps =
      for {name, definition} <- tables do
        case Definitions.fetch(name) do
          {:ok, _cstruct} -> {:keep, name}
          :error -> {:recreate, cstruct(name, definition)}
        end
      end

    Refill.run(txn, steps, fn put ->
      case SafeText.fold(path, budget, %{}, &add(&1, &2, &3, Map.new(tables), put)) do
        {:ok, counts} ->
          Enum.reduce(tables, counts, fn {name, _}, c -> Map.put_new(c, name, 0) end)

        {:error, reason} ->
          Signal.abort(reason)
      end
    end)
  end

  defp cstruct(name, definition) do
    disc? = Remnesia.Engine.Local.Disc.used?()
    kinds = [:disc_copies, :disc_only_copies]
    if not Keyword.keyword?(definition), do: Signal.abort({:bad_type, {name, definition}})
    kind = Enum.find(kinds, :ram_copies, &(List.wrap(definition[&1]) != []))
    copies = [{if(disc?, do: kind, else: :ram_copies), [node()]}]
    Restore.cstruct(name, Keyword.drop(definition, [:ram_copies | kinds]) ++ copies)
  end

  defp add({:tables, _tables}, _line, counts, _names, _put) when counts == %{}, do: counts

  defp add(record, line, counts, names, put) when is_tuple(record) and tuple_size(record) > 2 do
    table = elem(record, 0)
    if not is_map_key(names, table), do: Signal.abort({:undefined_object, line, table})
    put.([record])
    Map.update(counts, table, 1, &(&1 + 1))
  catch
    :exit, {:aborted, {:bad_type, _} = reason} -> Signal.abort({:bad_record, line, reason})
  end

  defp add(other, line, _counts, _names, _put), do: Signal.abort({:undefined_object, line, other})
end
