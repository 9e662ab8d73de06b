defmodule Soak.Changes do
  @moduledoc false

  # Changes of the schema under those who work.

  alias Soak.{Tables, Work}

  @storages [:ram_copies, :disc_copies, :disc_only_copies]

  @doc "Of a table of the bank."
  def bank(soak) do
    table = Enum.random(Tables.bank())

    result =
      case :rand.uniform(6) do
        1 ->
          :remnesia.add_table_index(table, index())

        2 ->
          :remnesia.del_table_index(table, index())

        3 ->
          transform(table)

        n when n in [4, 5] ->
          :remnesia.change_table_copy_type(table, node(), Enum.random(@storages))

        6 ->
          property(table)
      end

    case result do
      {:atomic, :ok} -> :ok
      {:aborted, {:already_exists, ^table, _}} -> :ok
      {:aborted, {:already_exists, ^table, _, _}} -> :ok
      {:aborted, {:no_exists, ^table, _}} -> :ok
      # Another one has changed it meanwhile.
      {:aborted, {~c"Bad transform function", ^table, _, _, _}} -> :ok
      other -> Soak.wrong(soak, :bank_changed, other)
    end

    Process.sleep(:rand.uniform(40))
  end

  defp index, do: Enum.random([:owner, :owner, :amount, [:owner, :amount]])

  # With one attribute more, or without it.
  defp transform(table) do
    if :remnesia.table_info(table, :arity) == 4 do
      fun = fn {t, id, amount, owner} -> {t, id, amount, owner, :note} end
      :remnesia.transform_table(table, fun, [:id, :amount, :owner, :note])
    else
      fun = fn {t, id, amount, owner, _note} -> {t, id, amount, owner} end
      :remnesia.transform_table(table, fun, [:id, :amount, :owner])
    end
  end

  defp property(table) do
    if :rand.uniform(2) == 1,
      do: :remnesia.write_table_property(table, {:soak, :rand.uniform(9)}),
      else: :remnesia.delete_table_property(table, :soak)
  end

  @doc "Of the other tables, whose subscribers must not notice."
  def others(soak) do
    table = Enum.random(Tables.mirrored() ++ Tables.counters())

    result =
      case :rand.uniform(4) do
        1 -> :remnesia.add_table_index(table, :v)
        2 -> :remnesia.del_table_index(table, :v)
        3 -> :remnesia.change_table_copy_type(table, node(), Enum.random(@storages))
        4 -> :remnesia.change_table_load_order(table, :rand.uniform(9))
      end

    Work.sane(soak, :others_changed, result)
    if :rand.uniform(3) == 1, do: Remnesia.Native.disc_flush()
    Process.sleep(:rand.uniform(40))
  end
end
