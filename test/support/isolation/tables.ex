defmodule Isolation.Tables do
  @moduledoc false

  # Three tables hold a history: lists that are appended to, a row for each with its last value and its group, and registers.

  for type <- [:set, :ordered_set] do
    defmodule Module.concat([Isolation, Rows, Macro.camelize("#{type}")]) do
      @moduledoc false
      use Remnesia.Table, attributes: [:cell, :value, :group], index: [:group], type: type
    end

    defmodule Module.concat([Isolation, Lists, Macro.camelize("#{type}")]) do
      @moduledoc false
      use Remnesia.Table, attributes: [:cell, :values], type: type
    end

    defmodule Module.concat([Isolation, Registers, Macro.camelize("#{type}")]) do
      @moduledoc false
      use Remnesia.Table, attributes: [:cell, :value], type: type
    end
  end

  for type <- [:bag, :duplicate_bag] do
    # A list is the records of a key, in the order they were written.
    defmodule Module.concat([Isolation, Lists, Macro.camelize("#{type}")]) do
      @moduledoc false
      use Remnesia.Table, attributes: [:cell, :value], type: type
    end
  end

  @storages [:ram_copies, :disc_copies, :disc_only_copies]

  @doc "Combinations of tables, each as `{rows, lists, registers, storage of each}`; every type and storage is in some."
  def combinations do
    types = [:set, :ordered_set]
    lists = [:set, :bag, :ordered_set, :duplicate_bag]

    for {list, n} <- Enum.with_index(lists ++ lists ++ lists) do
      [row, register] = for k <- [n, div(n, 2)], do: Enum.at(types, rem(k, 2))
      storages = for k <- [n, div(n, 3), n + div(n, 4)], do: Enum.at(@storages, rem(k, 3))
      {{row, list, register}, storages}
    end
  end

  def create({{row, list, register}, storages}) do
    names = [
      name(Isolation.Rows, row),
      name(Isolation.Lists, list),
      name(Isolation.Registers, register)
    ]

    for {name, storage} <- Enum.zip(names, storages),
        do: :ok = Remnesia.Table.create(name, [{storage, [node()]}])

    [:rows, :lists, :registers]
    |> Enum.zip(names)
    |> Map.new()
    |> Map.put(:bag?, list in [:bag, :duplicate_bag])
  end

  def delete(tables) do
    for {key, table} <- tables, key != :bag?, do: :ok = Remnesia.Table.delete(table)
    :ok
  end

  defp name(kind, type), do: Module.concat(kind, Macro.camelize("#{type}"))
end
