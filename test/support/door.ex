defmodule Remnesia.Door do
  @moduledoc false

  # The same program for stock Mnesia and for Remnesia's Mnesia door: a function of the module to call.

  @sides [:mnesia, :remnesia]

  @doc "What both sides answer, comparable: `{stock, ours}`."
  def both(fun) do
    [stock, ours] = for side <- @sides, do: answer(side, fun)
    {stock, ours}
  end

  @doc "What one side answers, or how it leaves."
  def answer(side, fun) do
    clean(
      try do
        {:value, fun.(side)}
      catch
        kind, reason -> {kind, reason}
      end
    )
  end

  @doc "Creates a table on both sides."
  def create(table, options) do
    for side <- @sides, do: {:atomic, :ok} = side.create_table(table, options)
    :ok
  end

  @doc "Deletes tables on both sides; they may not be there."
  def delete(tables) do
    for side <- @sides, table <- tables do
      side.change_table_access_mode(table, :read_write)
      side.delete_table(table)
    end

    :ok
  end

  @doc "Deletes every table on both sides: what dumps all tables must not meet those of other tests."
  def delete_all do
    for side <- @sides, do: delete(side.system_info(:tables) -- [:schema])
    :ok
  end

  @passes [Oracle.Door.Pass.Stock, Oracle.Door.Pass.Ours]

  @doc "Without what cannot be the same: names of modules, identities, stacks, cookies, times."
  def clean(side) when side in @sides, do: :side
  def clean(module) when module in @passes, do: :pass
  def clean({:tid, _number, _pid}), do: :tid
  def clean({:tidstore, :store, _, _} = store), do: store
  def clean({:tidstore, _, upper, level}), do: {:tidstore, :store, length(upper), level}

  def clean({reason, [{m, f, a, l} | _]})
      when is_atom(m) and is_atom(f) and is_list(l) and (is_list(a) or is_integer(a)),
      do: {clean(reason), :stack}

  # An index, and where Mnesia keeps it.
  def clean({{position, kind}, {:ram, reference}}) when is_reference(reference),
    do: {position, kind}

  def clean({:cookie, _}), do: :cookie
  def clean({:version, {version, _}}), do: {:version, version}
  def clean({:memory, _}), do: :memory
  def clean({{version, 0}, {node, {_, _, _}}}) when node == node(), do: {version, 0}

  def clean({{a, b, 1}, node}) when node == node() and is_integer(a) and is_integer(b),
    do: :cookie

  def clean(tuple) when is_tuple(tuple),
    do: tuple |> Tuple.to_list() |> Enum.map(&clean/1) |> List.to_tuple()

  def clean([head | tail]), do: [clean(head) | clean(tail)]
  def clean(map) when is_map(map), do: map
  def clean(pid) when is_pid(pid), do: if(pid == self(), do: :self, else: :pid)
  def clean(reference) when is_reference(reference), do: :reference
  def clean(fun) when is_function(fun), do: :fun
  def clean(other), do: other
end
