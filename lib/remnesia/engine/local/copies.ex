defmodule Remnesia.Engine.Local.Copies do
  @moduledoc false

  # The copy of a table, and its kind of storage. Tables are on this node: what would need another one gets the answer that Mnesia gives where there
  # is none.

  alias Remnesia.Engine
  alias Remnesia.Engine.Cstruct
  alias Remnesia.Engine.Local.{Disc, Schema, Signal, Storage, Tables}

  @spec add_table_copy(term, term, term) :: Engine.change()
  def add_table_copy(table, node, type) do
    Schema.change(fn _txn ->
      if not (is_atom(table) and is_atom(node)), do: Signal.abort({:badarg, table, node})
      copies = Schema.existing!(table, {:no_exists, {table, :cstruct}})

      cond do
        node in Cstruct.nodes(copies) -> Signal.abort({:already_exists, table, node})
        Cstruct.storage_type?(type) -> Signal.abort({:not_active, table, node})
        true -> Signal.abort({:badarg, table, type})
      end
    end)
  end

  # The last copy takes the table with it.
  @spec del_table_copy(term, term) :: Engine.change()
  def del_table_copy(table, node) do
    Schema.change(fn txn ->
      if not is_atom(node), do: Signal.abort({:badarg, table, node})
      Schema.existing!(table, {:no_exists, {table, :cstruct}})
      drop_copy(txn, table, node)
    end)
  end

  defp drop_copy(txn, table, node) do
    cond do
      # The schema has forgotten a node that it does not know.
      node != node() and table == :schema -> :ok
      node != node() -> Signal.abort({:badarg, table, :unknown})
      table == :schema -> Signal.abort({:combine_error, :schema, ~c"Last replica"})
      true -> Tables.delete_whole!(txn, table)
    end
  end

  @spec move_table_copy(term, term, term) :: Engine.change()
  def move_table_copy(table, from, to) do
    Schema.change(fn _txn ->
      cond do
        table == :schema ->
          Signal.abort({:bad_type, :schema})

        not (is_atom(from) and is_atom(to)) ->
          Signal.abort({:badarg, table, from, to})

        true ->
          :ok
      end

      cstruct = Schema.existing!(table, {:no_exists, table})
      Schema.writable!(table)
      copies = Cstruct.nodes(cstruct)

      cond do
        to in copies -> Signal.abort({:already_exists, table, to})
        from not in copies -> Signal.abort({:not_active, table, from})
        cstruct.local_content -> Signal.abort({~c"Cannot move table with local content", table})
        true -> Signal.abort({:not_active, :schema, to})
      end
    end)
  end

  @spec change_table_copy_type(term, term, term) :: Engine.change()
  def change_table_copy_type(table, node, type) do
    Schema.change(fn txn ->
      if not is_atom(node), do: Signal.abort({:badarg, table, node})
      copies = Schema.existing!(table, {:no_exists, table})
      if table != :schema, do: Schema.writable!(table)

      cond do
        # Mnesia's word for a node that has no copy.
        type == :unknown ->
          drop_copy(txn, table, node)

        not Cstruct.storage_type?(type) ->
          Signal.abort({:bad_type, {:storage_type, type}})

        node not in Cstruct.nodes(copies) ->
          Signal.abort({:badarg, table, :unknown})

        type == Cstruct.storage_type(copies, node) ->
          Signal.abort({:already_exists, table, node, type})

        table == :schema and type == :disc_only_copies ->
          Signal.abort({:bad_type, :schema, {type, [node]}})

        table == :schema ->
          Storage.schema(copies, type)

        not Disc.used?() and type == :disc_only_copies and copies.type == :ordered_set ->
          Signal.abort({:bad_type, table, {:not_supported, :ordered_set, type}})

        not Disc.used?() ->
          Signal.abort({:has_no_disc, node})

        true ->
          Storage.table(txn, copies, type)
      end
    end)
  end
end
