defmodule Oracle.Door.Pass do
  @moduledoc false

  # An access module that hands everything on, as one that counts or checks would.

  for {side, module} <- [mnesia: Stock, remnesia: Ours] do
    defmodule Module.concat(__MODULE__, module) do
      @moduledoc false
      @side side
      def lock(id, store, item, kind), do: @side.lock(id, store, item, kind)
      def write(id, store, table, record, kind), do: @side.write(id, store, table, record, kind)
      def delete(id, store, table, key, kind), do: @side.delete(id, store, table, key, kind)

      def delete_object(id, store, table, record, kind),
        do: @side.delete_object(id, store, table, record, kind)

      def read(id, store, table, key, kind), do: @side.read(id, store, table, key, kind)

      def match_object(id, store, table, pattern, kind),
        do: @side.match_object(id, store, table, pattern, kind)

      def all_keys(id, store, table, kind), do: @side.all_keys(id, store, table, kind)

      def index_match_object(id, store, table, pattern, a, kind),
        do: @side.index_match_object(id, store, table, pattern, a, kind)

      def index_read(id, store, table, value, a, kind),
        do: @side.index_read(id, store, table, value, a, kind)

      def first(id, store, table), do: @side.first(id, store, table)
      def last(id, store, table), do: @side.last(id, store, table)
      def next(id, store, table, key), do: @side.next(id, store, table, key)
      def prev(id, store, table, key), do: @side.prev(id, store, table, key)

      def foldl(id, store, fun, acc, table, kind),
        do: @side.foldl(id, store, fun, acc, table, kind)

      def foldr(id, store, fun, acc, table, kind),
        do: @side.foldr(id, store, fun, acc, table, kind)

      def select(id, store, table, spec, kind), do: @side.select(id, store, table, spec, kind)

      def select(id, store, table, spec, n, kind),
        do: @side.select(id, store, table, spec, n, kind)

      def select_cont(id, store, continuation), do: @side.select_cont(id, store, continuation)
      def table_info(id, store, table, item), do: @side.table_info(id, store, table, item)
      def clear_table(id, store, table, pattern), do: @side.clear_table(id, store, table, pattern)
    end
  end

  def module(:mnesia), do: __MODULE__.Stock
  def module(:remnesia), do: __MODULE__.Ours
end
