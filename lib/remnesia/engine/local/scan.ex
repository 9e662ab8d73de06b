defmodule Remnesia.Engine.Local.Scan do
  @moduledoc false

  # A scan comes in slices of about a millisecond, so that none holds a scheduler; this loops over them. Slices are kept
  # as a list of lists until the end, so collecting stays linear.
  #
  # A scan with a limit stops at a continuation. It has the ten fields of Mnesia's, which programs match on, and is
  # otherwise opaque: the native continuation, or :done when the scan had reached its end with the last chunk.

  alias Remnesia.Engine.Local.Signal
  alias Remnesia.Native

  @type continuation :: tuple

  @doc "All that the scan finds. The first answer came from the operation itself."
  @spec all(term, atom, [term]) :: [term]
  def all(answer, operation, arguments) do
    case settle(answer, operation, arguments) do
      {:done, list} -> list
      {:slice, list, continuation} -> rest(continuation, operation, arguments, [list])
    end
  end

  defp rest(continuation, operation, [ctx | _] = arguments, lists) do
    answer = Native.select_next(ctx, continuation)

    # What was found is not of the table that is there now.
    if ctx == nil and replaced?(answer) do
      all(apply(Native, operation, arguments), operation, arguments)
    else
      case settle(answer, :select_next, [ctx, continuation]) do
        {:done, list} -> join([list | lists])
        {:slice, list, continuation} -> rest(continuation, operation, arguments, [list | lists])
      end
    end
  end

  defp replaced?({:"$error", {:no_exists, table}}), do: Native.table_size(table) != :error
  defp replaced?(_answer), do: false

  @doc "One chunk: the records and where to go on, or the end."
  @spec chunk(term, atom, [term], continuation) :: {[term], continuation} | :"$end_of_table"
  def chunk(answer, operation, [ctx | _] = arguments, template) do
    case settle(answer, operation, arguments) do
      {:slice, list, native} -> chunk_rest(native, ctx, [list], template)
      slice -> finish_chunk(slice, [], template)
    end
  end

  defp chunk_rest(native, ctx, lists, template) do
    case next(ctx, native) do
      {:slice, list, native} -> chunk_rest(native, ctx, [list | lists], template)
      slice -> finish_chunk(slice, lists, template)
    end
  end

  defp finish_chunk({:limit, list, native}, lists, template),
    do: {join([list | lists]), put_elem(template, 5, native)}

  defp finish_chunk({:done, list}, lists, template) do
    case join([list | lists]) do
      [] -> :"$end_of_table"
      records -> {records, put_elem(template, 5, :done)}
    end
  end

  @doc "A continuation that has not begun: Mnesia's fields, tab tid node storage cont written spec type orig."
  @spec template(term, term, term, term) :: continuation
  def template(ctx, table, spec, kind),
    do:
      {:mnesia_select, table, identity(ctx), node(), :ram_copies, :done, [], kind, :undefined,
       spec}

  @doc "The chunk after a continuation."
  @spec continue(term, term) :: {[term], continuation} | :"$end_of_table"
  def continue(_ctx, :"$end_of_table"), do: :"$end_of_table"

  def continue(ctx, {:mnesia_select, _, owner, _, _, native, _, _, _, _} = template) do
    cond do
      # Outside transactions any continuation goes on, as in Mnesia.
      ctx != nil and owner != identity(ctx) -> Signal.abort(:wrong_transaction)
      native == :done -> :"$end_of_table"
      true -> chunk(Native.select_next(ctx, native), :select_next, [ctx, native], template)
    end
  end

  def continue(_ctx, other), do: Signal.abort({:badarg, other})

  @doc "A continuation of a scan outside transactions, which Mnesia marks with the activity it is of."
  @spec dirty_template(term, term, term) :: continuation
  def dirty_template(id, table, spec),
    do: {:mnesia_select, table, id, node(), :ram_copies, :done, [], :undefined, :undefined, spec}

  # A process has one transaction object for all its transactions; the number tells them apart.
  defp identity(nil), do: nil
  defp identity(txn), do: {txn, Native.txn_serial(txn)}

  defp next(ctx, native), do: settle(Native.select_next(ctx, native), :select_next, [ctx, native])

  defp settle(answer, _operation, _arguments)
       when is_tuple(answer) and elem(answer, 0) != :"$error",
       do: answer

  defp settle(answer, operation, arguments), do: Signal.settle(answer, operation, arguments)

  defp join([list]), do: list
  defp join(lists), do: lists |> :lists.reverse() |> :lists.append()
end
