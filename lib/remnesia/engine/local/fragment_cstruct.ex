defmodule Remnesia.Engine.Local.FragmentCstruct do
  @moduledoc false

  # The option `frag_properties` read and checked, in Mnesia's order and with its reasons: the definitions of all fragments, and on which
  # nodes of the pool each has its copies.

  alias Remnesia.Engine.Cstruct
  alias Remnesia.Engine.Local.{Fragments, Signal}

  @keys ~w(foreign_key n_fragments node_pool n_ram_copies n_disc_copies n_disc_only_copies n_external_copies hash_module hash_state)a
  @storage [:ram_copies, :disc_copies, :disc_only_copies, :external_copies]
  @counts [:n_ram_copies, :n_disc_copies, :n_disc_only_copies, :n_external_copies]

  @doc "The definitions of a new table, the last fragment first; of one that is there (`:activate`) its own."
  @spec expand!(Cstruct.t(), :create | :activate) :: [Cstruct.t()] | no_return
  def expand!(%{name: table, frag_properties: properties} = cstruct, mode) do
    if not is_list(properties), do: Signal.abort({:badarg, table, properties})
    keys = keys!(properties, table)

    if keys != Enum.uniq(keys),
      do: Signal.abort({:badarg, table, ~c"Duplicate keys", keys})

    {foreign, n, pool, defaults} = foreign!(cstruct, pick(table, :foreign_key, properties))

    if not match?([_ | _], pool) or not Enum.all?(pool, &is_atom/1),
      do: Signal.abort({:bad_type, table, {:node_pool, pool}})

    copies = for key <- @counts, do: count!(table, key, pick(table, key, properties, 0))
    cstruct = fragments!(cstruct, n, mode)
    module = pick(table, :hash_module, properties, Fragments.default_hash())
    hash = Fragments.hash(module).init_state(table, pick(table, :hash_state, properties))
    copies = if Enum.all?(copies, &(&1 == 0)), do: defaults, else: copies
    plain!(cstruct)

    common = %{cstruct | frag_properties: [base_table: table]}
    state = {:frag_state, foreign, 1, module, hash}
    fragments(n, common, copies, pool, pool, state, mode)
  end

  defp keys!([{key, _value} | rest], table) do
    field = if is_tuple(key), do: :erlang.element(1, key), else: key
    if field not in @keys, do: Signal.abort({:badarg, table, key})
    [key | keys!(rest, table)]
  end

  defp keys!([], _table), do: []
  defp keys!(other, table), do: Signal.abort({:badarg, table, other})

  defp pick(table, key, properties, default \\ :undefined) do
    case List.keyfind(properties, key, 0) do
      {^key, value} -> value
      nil -> default
      bad -> Signal.abort({:bad_type, table, bad})
    end
  end

  # The number of copies on so many nodes.
  defp count!(_table, _key, count) when is_integer(count) and count >= 0, do: count
  defp count!(table, key, count), do: Signal.abort({:bad_type, table, {key, count}})

  # --- the table whose fragments these follow ---

  defp foreign!(%{name: table} = cstruct, {other, attribute} = key) do
    if other == table, do: Signal.abort({:combine_error, table, key})

    [others_key, others_n, others_pool] =
      for property <- [:foreign_key, :n_fragments, :node_pool],
          do: Fragments.property!(other, property)

    n = pick(table, :n_fragments, cstruct.frag_properties, others_n)
    pool = pick(table, :node_pool, cstruct.frag_properties, others_pool)

    same!(table, {:n_fragments, n}, other, {:n_fragments, others_n})
    same!(table, {:node_pool, pool}, other, {:node_pool, others_pool})

    if others_key != :undefined do
      text = ~c"Multiple levels of foreign_key dependencies"
      Signal.abort({:combine_error, table, text, key, others_key})
    end

    position = Cstruct.position!(attribute, cstruct)
    definition = Fragments.definition!(other, :ram_copies)
    copies = for storage <- @storage, do: length(Map.fetch!(definition, storage))
    {{other, position}, n, pool, copies}
  end

  defp foreign!(%{name: table, frag_properties: properties}, :undefined) do
    n = pick(table, :n_fragments, properties, 1)
    {:undefined, n, pick(table, :node_pool, properties, [node()]), [1, 0, 0, 0]}
  end

  defp foreign!(%{name: table}, other),
    do: Signal.abort({:bad_type, table, {:foreign_key, other}})

  defp same!(_table, same, _other, same), do: :ok

  defp same!(table, mine, other, others),
    do: Signal.abort({:combine_error, table, mine, other, others})

  # --- what else has to be so ---

  defp fragments!(cstruct, n, :create) when is_integer(n) and n >= 1,
    do: Enum.reduce(@storage, cstruct, &Map.put(&2, &1, []))

  defp fragments!(cstruct, 1, :activate), do: cstruct

  defp fragments!(%{name: table}, n, :activate) when is_integer(n) and n > 1,
    do: Signal.abort({:combine_error, table, {:n_fragments, n}})

  defp fragments!(%{name: table}, n, _mode),
    do: Signal.abort({:bad_type, table, {:n_fragments, n}})

  defp plain!(%{name: table} = cstruct) do
    if cstruct.local_content != false,
      do: Signal.abort({:combine_error, table, {:local_content, cstruct.local_content}})

    if cstruct.snmp != [], do: Signal.abort({:combine_error, table, {:snmp, cstruct.snmp}})
  end

  # --- one after the other ---

  defp fragments(1, common, copies, dist, pool, state, mode) do
    {:frag_state, foreign, n, module, hash} = state

    properties =
      common.frag_properties ++
        [
          foreign_key: foreign,
          hash_module: module,
          hash_state: hash,
          n_fragments: n,
          node_pool: pool
        ]

    base = %{common | frag_properties: Enum.sort(properties)}
    if mode == :create, do: [base |> copies!(copies, dist) |> elem(0)], else: [base]
  end

  defp fragments(n, common, copies, dist, pool, state, mode) do
    fragment = %{common | name: Fragments.name(common.name, n)}
    {fragment, used, rest} = copies!(fragment, copies, dist)
    dist = Enum.reduce(used, rest, &insert(&1, &2, pool, fragment.name))
    {state, _from, _all} = Fragments.add(state)
    [fragment | fragments(n - 1, common, copies, dist, pool, state, mode)]
  end

  @doc """
  The definition with its copies on the first nodes: `{cstruct, nodes used, nodes left}`. A node is its name, or `{name, number of fragments there}`.
  """
  @spec copies!(Cstruct.t(), [non_neg_integer], [term]) ::
          {Cstruct.t(), [tuple], [term]} | no_return
  def copies!(cstruct, counts, dist) do
    wanted =
      for {storage, count} <- Enum.zip(@storage, counts), count > 0, _ <- 1..count, do: storage

    {cstruct, used, rest} = Enum.reduce(wanted, {cstruct, [], dist}, &copy!/2)
    {cstruct, Enum.reverse(used), rest}
  end

  defp copy!(_storage, {cstruct, _used, []}),
    do: Signal.abort({:combine_error, cstruct.name, ~c"Too few nodes in node_pool"})

  defp copy!(storage, {cstruct, used, [head | rest]}) do
    {node, count} =
      case head do
        {node, count} when is_atom(node) and is_integer(count) and count >= 0 -> {node, count + 1}
        node when is_atom(node) -> {node, 1}
        bad -> Signal.abort({:bad_type, cstruct.name, bad})
      end

    if node != node(), do: Signal.abort({:not_active, cstruct.name, node})
    {Map.update!(cstruct, storage, &[node | &1]), [{node, count} | used], rest}
  end

  # Nodes with fewer fragments come first, then those that are first in the pool.
  defp insert(new, [], _pool, _table), do: [new]

  defp insert({node, count} = new, [head | rest], pool, table) do
    case head do
      {other, others} when is_atom(other) and is_integer(others) and others >= 0 ->
        if {count, place(node, pool)} < {others, place(other, pool)},
          do: [new, head | rest],
          else: [head | insert(new, rest, pool, table)]

      other when is_atom(other) ->
        insert(new, [{other, 0} | rest], pool, table)

      bad ->
        Signal.abort({:bad_type, table, bad})
    end
  end

  defp place(node, pool), do: Enum.find_index(pool, &(&1 == node))
end
