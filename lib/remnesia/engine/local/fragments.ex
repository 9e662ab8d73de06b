defmodule Remnesia.Engine.Local.Fragments do
  @moduledoc false

  # What a fragmented table is made of. Each fragment is a table of its own, the first has the name that the program knows and the properties of
  # the whole. They are kept beside the definitions in Mnesia's form, and looked up for every operation:
  #
  #     {:frag_state, foreign key, number of fragments, hash module, hash state}

  alias Remnesia.Engine.Cstruct
  alias Remnesia.Engine.Local.{Definitions, FragmentHash, Signal}

  @default :mnesia_frag_hash

  @type state ::
          {:frag_state, :undefined | {atom, pos_integer}, pos_integer, module, term}

  # --- the state of a table ---

  @doc "The state that is in a definition, or nil."
  @spec state_of(Cstruct.t()) :: state | nil
  def state_of(%{frag_properties: []}), do: nil

  def state_of(%{name: name, frag_properties: properties}) do
    get = &:proplists.get_value(&1, properties)

    if get.(:base_table) == name and get.(:hash_module) != :undefined,
      do:
        {:frag_state, get.(:foreign_key), get.(:n_fragments), get.(:hash_module),
         get.(:hash_state)}
  end

  @doc "The state of a table, nil if it is not fragmented."
  @spec state(term) :: state | nil
  def state(table), do: Definitions.get({:frag_hash, table}, nil)

  @doc "The same of a table that has to be a fragmented one."
  @spec state!(term) :: state | no_return
  def state!(table),
    do: state(table) || Signal.abort({:no_exists, table, :frag_properties, :frag_hash})

  @doc "The definition after a change of the state."
  @spec put_state(Cstruct.t(), state) :: Cstruct.t()
  def put_state(cstruct, {:frag_state, _foreign, n, module, hash}) do
    new = [n_fragments: n, hash_module: module, hash_state: hash]

    properties =
      for {key, value} <- cstruct.frag_properties, do: {key, Keyword.get(new, key, value)}

    %{cstruct | frag_properties: properties}
  end

  @doc "A property of the whole."
  @spec property!(atom, atom) :: term | no_return
  def property!(table, property) do
    properties = definition!(table, :frag_properties).frag_properties

    case List.keyfind(properties, property, 0) do
      {^property, value} -> value
      nil -> Signal.abort({:no_exists, table, property, {:frag_properties, properties}})
    end
  end

  @doc "A definition; the reason says what was looked for."
  @spec definition!(atom, atom) :: Cstruct.t() | no_return
  def definition!(table, item) do
    case is_atom(table) and Definitions.fetch(table) do
      {:ok, cstruct} -> cstruct
      _none -> Signal.abort({:no_exists, {table, item}})
    end
  end

  @doc "Tables whose fragments follow those of this one."
  @spec foreigners(atom) :: [atom]
  def foreigners(table) do
    Definitions.match({{:frag_hash, :"$1"}, {:frag_state, {table, :_}, :_, :_, :_}})
  end

  # --- names ---

  @doc "The tables that make up a table, which may be the table itself."
  @spec names(term) :: [term]
  def names(table) do
    case state(table) do
      nil -> [table]
      {:frag_state, _, n, _, _} -> for i <- 1..n, do: name(table, i)
    end
  end

  @doc "The name of a fragment."
  @spec name(term, term) :: atom | no_return
  def name(table, 1), do: table

  def name(table, n) when is_atom(table) and is_integer(n),
    do: String.to_atom("#{table}_frag#{n}")

  def name(table, n), do: Signal.abort({:bad_type, table, n})

  @doc "The fragment of a key; `{table, value}` says the value that another table's fragments are chosen by."
  @spec of_key(term, term) :: term | no_return
  def of_key({table, value}, _key) do
    case state(table) || Signal.abort({:no_exists, {table, :frag_hash}}) do
      {:frag_state, {_foreign, _position}, _, _, _} = state ->
        name(table, number(state, value))

      _own_key ->
        Signal.abort({:combine_error, table, :frag_properties, {:foreign_key, :undefined}})
    end
  end

  def of_key(table, key) do
    case state(table) do
      nil -> table
      state -> name(table, number(state, key))
    end
  end

  @doc "The fragment of a record."
  @spec of_record(term, term) :: term | no_return
  def of_record(table, record) do
    case state(table) do
      nil -> table
      state -> name(table, number(state, :erlang.element(position(state), record)))
    end
  end

  @doc "The position of what decides about the fragment."
  @spec position(state) :: pos_integer
  def position({:frag_state, :undefined, _, _, _}), do: 2
  def position({:frag_state, {_table, position}, _, _, _}), do: position

  # --- what the hash module says, and whether it can be ---

  @doc "The hash module; the default one is ours."
  @spec hash(module) :: module
  def hash(@default), do: FragmentHash
  def hash(module), do: module

  @doc "The default hash module's name."
  @spec default_hash() :: module
  def default_hash, do: @default

  @doc "The number of the fragment of a key."
  @spec number(state, term) :: pos_integer | no_return
  def number({:frag_state, _, n, module, hash}, key) do
    case hash(module).key_to_frag_number(hash, key) do
      number when is_integer(number) and number >= 1 and number <= n ->
        number

      other ->
        text = ~c"key_to_frag_number: Fragment number out of range"
        Signal.abort({text, other, {:range, 1, n}})
    end
  end

  @doc "The numbers of the fragments that a match specification may find something in."
  @spec numbers(state, term) :: [pos_integer] | no_return
  def numbers({:frag_state, _, n, module, hash}, spec) do
    numbers = hash(module).match_spec_to_frag_numbers(hash, spec)
    text = ~c"match_spec_to_frag_numbers: Fragment numbers out of range"
    in_range!(numbers, n, text)
    numbers
  end

  @doc "The state with one fragment more, those that give records away, and all that change."
  @spec add(state) :: {state, [pos_integer], [pos_integer]} | no_return
  def add({:frag_state, foreign, n, module, hash}) do
    {hash, from, others} = hash(module).add_frag(hash)
    {from, all} = union(from, others)
    in_range!(all, n + 1, ~c"add_frag: Fragment numbers out of range")
    {{:frag_state, foreign, n + 1, module, hash}, from, all}
  end

  @doc "The state with one fragment less, those that give records away, and all that change."
  @spec remove(state) :: {state, [pos_integer], [pos_integer]} | no_return
  def remove({:frag_state, foreign, n, module, hash}) do
    {hash, from, others} = hash(module).del_frag(hash)
    {from, all} = union(from, others)
    in_range!(all, n, ~c"del_frag: Fragment numbers out of range")
    last = {~c"del_frag: Last fragment number not included", n}
    if n not in from, do: Signal.abort(last)
    {{:frag_state, foreign, n - 1, module, hash}, from, all}
  end

  defp union(from, others), do: {Enum.sort(from), Enum.sort(from ++ others)}

  defp in_range!(numbers, n, text) do
    case Enum.reject(numbers, &(is_integer(&1) and &1 in 1..n)) do
      [] -> :ok
      bad -> Signal.abort({text, bad, {:range, 1, n}})
    end
  end
end
