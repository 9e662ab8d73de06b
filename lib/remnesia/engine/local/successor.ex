defmodule Remnesia.Engine.Local.Successor do
  @moduledoc false

  # A table that is filled beside another one and then takes its place, within the transaction of a schema change.
  #
  # Until then the old one is as it was: transactions wait for its lock, writers without one wait, readers see it. Who fails before drops the
  # successor (`Native.shadow_drop/1`) and its number on disc; whose process dies leaves them to the next start.

  alias Remnesia.Engine.Cstruct
  alias Remnesia.Engine.Local.{Apart, Disc, Signal, Wait}
  alias Remnesia.Native

  @doc "Begins an empty one, with this number on disc: nil for one that is to be in memory for a while."
  @spec begin(reference, Cstruct.t(), non_neg_integer | nil) :: :ok | no_return
  def begin(txn, cstruct, number) do
    rows = number != nil and Disc.rows(cstruct)
    arguments = [txn, cstruct.name, Cstruct.shape(cstruct), number, rows]
    Signal.settle(apply(Native, :shadow_create, arguments), :shadow_create, arguments)
  end

  @doc "Writes a record into it; an error is left to the caller."
  @spec write(atom, term) :: :ok | {:"$error", term}
  def write(table, record), do: Wait.with_room(fn -> Native.shadow_write(table, record) end)

  @doc "What changes on disc when it takes the place of its table, for `swap/3`."
  @spec definitions(Cstruct.t(), non_neg_integer | nil) :: [tuple]
  def definitions(_cstruct, nil), do: []

  def definitions(%{name: table} = cstruct, number) do
    case Native.table_disc(table) do
      {former, _rows} -> [{:drop, former}, Disc.definition(number, cstruct)]
      nil -> [Disc.definition(number, cstruct)]
    end
  end

  @doc """
  Puts successors in the place of their tables, and their definitions on disc, in one step, which nobody who kills the process comes between. After it
  everything is done; the end of the schema change waits for the disc.
  """
  @spec swap(reference, [{atom, Cstruct.t()}], [tuple]) :: :ok | no_return
  def swap(txn, swaps, changes) do
    Apart.to_the_end()
    arguments = [txn, swaps, changes]
    _position = Signal.settle(apply(Native, :shadow_swap, arguments), :shadow_swap, arguments)
    :ok
  end
end
