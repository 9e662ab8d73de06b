defmodule Remnesia.Engine.Reason do
  @moduledoc false

  # The texts Mnesia gives for its reasons. Programs and tests match on them, so they are part of the interface, with
  # their spelling.

  @texts %{
    nested_transaction: "Nested transactions are not allowed",
    badarg: "Bad or invalid argument, possibly bad type",
    no_transaction: "Operation not allowed outside transactions",
    combine_error: "Table options were ilegally combined",
    bad_index: "Index already exists or was out of bounds",
    already_exists: "Some schema option we try to set is already on",
    index_exists: "Some ops cannot  be performed on tabs with index",
    no_exists: "Tried to perform op on non-existing (non alive) item",
    system_limit: "Some system_limit was exhausted",
    mnesia_down:
      "A transaction involving objects at some remote node which died while transaction was executing" <>
        "*and* object(s) are no longer available elsewherein the network",
    not_a_db_node: "A node which is non existent in the schema was mentioned",
    bad_type: "Bad type on some provided arguments",
    node_not_running: "Node not running",
    truncated_binary_file: "Truncated binary in file",
    active: "Some delete ops require that all active objects are removed",
    illegal: "Operation not supported on object"
  }

  @doc "The text of a reason, as a charlist like Mnesia's; a reason without one is its own description."
  @spec describe(term) :: term
  def describe({tag, reason}) when tag in [:EXIT, :error, :aborted], do: describe(reason)

  def describe(reason) when is_tuple(reason) and tuple_size(reason) > 0,
    do: put_elem(reason, 0, describe(elem(reason, 0)))

  def describe(reason) do
    case @texts do
      %{^reason => text} -> String.to_charlist(text)
      _unknown -> reason
    end
  end
end
