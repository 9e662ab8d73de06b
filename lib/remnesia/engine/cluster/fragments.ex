defmodule Remnesia.Engine.Cluster.Fragments do
  @moduledoc false

  # OTP's fragments know no storage of plug-ins: a table that is to be fragmented goes to Mnesia's own first, copy by copy.

  alias Remnesia.Backend
  alias Remnesia.Engine
  alias Remnesia.Engine.Cluster.Info

  @ordered "OTP's fragments are in Mnesia's own storage, and an ordered_set that is on disc cannot be brought there without " <>
             "having it in memory alone for a while: change its copies to ram_copies first"

  @spec change(atom, term) :: Engine.change()
  def change(table, {:activate, _properties} = change) do
    with :ok <- if(:mnesia.is_transaction(), do: :ok, else: bring(table)),
         do: :mnesia.change_table_frag(table, change)
  end

  def change(table, change), do: :mnesia.change_table_frag(table, change)

  defp bring(table) do
    case native(table) do
      [] -> :ok
      copies -> bring(table, copies, Info.table(table, :type))
    end
  end

  defp bring(table, copies, type) do
    if Enum.all?(copies, fn {storage, _node} -> ways(storage, type) != nil end),
      do:
        each(for({storage, node} <- copies, way <- ways(storage, type), do: [table, node, way])),
      else: {:aborted, {:not_available, @ordered}}
  end

  defp each(changes) do
    Enum.reduce_while(changes, :ok, fn change, :ok ->
      case apply(:mnesia, :change_table_copy_type, change) do
        {:atomic, :ok} -> {:cont, :ok}
        aborted -> {:halt, aborted}
      end
    end)
  end

  # Of one that has fragments Mnesia says so.
  defp native(table) do
    if :mnesia.table_info(table, :frag_properties) == [],
      do:
        for(
          {{storage, Backend}, nodes} <- :mnesia.table_info(table, :external_copies),
          node <- nodes,
          do: {storage, node}
        ),
      else: []
  catch
    :exit, _no_table -> []
  end

  defp ways(:remnesia_ram, _type), do: [:ram_copies]
  defp ways(:remnesia_disc_only, :ordered_set), do: nil
  defp ways(:remnesia_disc_only, _type), do: [:disc_only_copies]

  # Straight on, Mnesia before OTP 27 loses the records.
  defp ways(:remnesia_disc, type) do
    cond do
      :erlang.system_info(:otp_release) >= ~c"27" -> [:disc_copies]
      type == :ordered_set -> nil
      true -> [:disc_only_copies, :disc_copies]
    end
  end
end
