defmodule Remnesia.Transfer.Traverse do
  @moduledoc false

  # A backup made of another one, item by item.

  alias Remnesia.Transfer.Media

  @type fold :: (term, acc :: term -> {[term], acc :: term})

  @spec run(term, module, term, module | :read_only, fold, acc) :: {:ok, acc} | {:error, term}
        when acc: term
  def run(source, source_module, target, target_module, fun, acc) do
    case open(target_module, target) do
      {:ok, media} -> run(source, source_module, media, fun, acc)
      error -> error
    end
  end

  defp open(:read_only, _target), do: {:ok, nil}

  defp open(module, target) do
    {:ok, Media.open_write(module, target)}
  catch
    {Media, reason} -> {:error, reason}
  end

  defp run(source, module, media, fun, acc) do
    begin = fn header, schema ->
      apply_to(schema, {put(media, [header]), acc}, fun)
    end

    # The module that is written to has been told already where it was that which failed.
    case Media.iterate(module, source, begin, &apply_to(&1, &2, fun)) do
      {:ok, {media, acc}} ->
        commit(media, acc)

      {:error, reason} ->
        if media, do: Media.abort(media)
        {:error, {~c"Backup traversal failed", reason}}
    end
  end

  defp commit(nil, acc), do: {:ok, acc}

  defp commit(media, acc) do
    Media.commit(media)
    {:ok, acc}
  catch
    {Media, reason} -> {:error, reason}
  end

  defp put(nil, _items), do: nil
  defp put(media, items), do: Media.put(media, items)

  defp apply_to(items, {media, acc}, fun) do
    {lists, acc} =
      Enum.map_reduce(items, acc, fn item, acc ->
        case call(fun, item, acc) do
          {list, acc} when is_list(list) -> {list, acc}
          other -> Media.stop({~c"Fun must return a list", other})
        end
      end)

    {put(media, Enum.concat(lists)), acc}
  end

  defp call(fun, item, acc) do
    fun.(item, acc)
  catch
    :throw, {:error, reason} -> Media.stop(reason)
    :throw, other -> :erlang.raise(:throw, other, __STACKTRACE__)
    :error, reason -> Media.stop({reason, __STACKTRACE__})
    :exit, reason -> Media.stop({reason, __STACKTRACE__})
  end
end
