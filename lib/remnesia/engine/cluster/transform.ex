defmodule Remnesia.Engine.Cluster.Transform do
  @moduledoc false

  # transform_table leaves records as they are where it is told `:ignore`, and those that the function answers unchanged. A native table has records of
  # one name and size: its first record of another form would begin it anew, without the others. So they all get the new name, and what has not the
  # new size is refused, as the local engine does it.

  alias Remnesia.Engine
  alias Remnesia.Engine.Cluster.Info

  @doc "Makes this change by a function that leaves no record behind."
  @spec run(atom, (tuple -> tuple) | :ignore, term, term, (term -> Engine.change())) ::
          Engine.change()
  def run(table, fun, attributes, record_name, change) do
    with true <- fun == :ignore or is_function(fun, 1),
         true <- is_list(attributes) and is_atom(record_name) and Info.native?(table),
         true <- needed?(table, fun, attributes, record_name) do
      whole = whole(fun, record_name)
      whole |> change.() |> with_own(whole, fun)
    else
      _as_stock -> change.(fun)
    end
  end

  defp needed?(table, fun, attributes, record_name) do
    record_name != Info.table(table, :record_name) or
      (fun == :ignore and length(attributes) + 1 != Info.table(table, :arity))
  end

  defp whole(:ignore, name), do: &put_elem(&1, 0, name)

  defp whole(fun, name) do
    fn record ->
      with ^record <- fun.(record), do: put_elem(record, 0, name)
    end
  end

  # The reason names the user's.
  defp with_own({:aborted, reason}, whole, fun) when is_tuple(reason) do
    own = for part <- Tuple.to_list(reason), do: if(part === whole, do: fun, else: part)
    {:aborted, List.to_tuple(own)}
  end

  defp with_own(result, _whole, _fun), do: result
end
