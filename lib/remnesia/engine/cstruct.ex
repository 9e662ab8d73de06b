defmodule Remnesia.Engine.Cstruct do
  @moduledoc false

  # A table's definition: create_table's options read and checked, in Mnesia's order and with Mnesia's reasons. This is
  # the only place where options are checked; what is stored with the table is this struct.
  #
  # Reading (`read!/2`) and checking (`check!/1`) are two steps because Mnesia looks between them whether the table
  # exists. Both leave by `exit({:aborted, reason})`, as all of a schema change does.

  defstruct name: nil,
            type: :set,
            ram_copies: [],
            disc_copies: [],
            disc_only_copies: [],
            external_copies: [],
            load_order: 0,
            access_mode: :read_write,
            majority: false,
            index: [],
            unique: [],
            snmp: [],
            local_content: false,
            record_name: nil,
            attributes: [:key, :val],
            user_properties: [],
            frag_properties: [],
            storage_properties: [],
            cookie: nil,
            version: {{2, 0}, []}

  @type t :: %__MODULE__{}
  @type position :: pos_integer | [pos_integer]

  # Mnesia's order, which is the order of the record that table_info(_, :cstruct) answers.
  @fields [
            :name,
            :type,
            :ram_copies,
            :disc_copies,
            :disc_only_copies,
            :external_copies,
            :load_order,
            :access_mode
          ] ++
            [
              :majority,
              :index,
              :snmp,
              :local_content,
              :record_name,
              :attributes,
              :user_properties
            ] ++
            [:frag_properties, :storage_properties, :cookie, :version]

  # Ours: the positions of those indexes that are unique. An index on several attributes is a list of positions, too.
  @own_fields [:unique]

  # duplicate_bag is ours: Mnesia has the other three.
  @types [:set, :ordered_set, :bag, :duplicate_bag]
  @ets_reserved [
    :set,
    :ordered_set,
    :bag,
    :duplicate_bag,
    :public,
    :private,
    :protected,
    :keypos,
    :named_table
  ]
  @dets_reserved [:type, :keypos, :repair, :access, :file]

  @doc "The definition that the options describe, with defaults."
  @spec read!(term, list) :: t | no_return
  def read!(name, options) do
    options = [{:name, name} | storage_type(options)]
    keys = keys!(options, name)
    if keys != Enum.uniq(keys), do: abort({:badarg, name, ~c"Duplicate keys", keys})

    given = Map.new(options)

    cstruct =
      Map.merge(
        %__MODULE__{record_name: name, cookie: cookie()},
        Map.delete(given, :external_copies)
      )

    list!(cstruct.user_properties, {:bad_type, name, {:user_properties, cstruct.user_properties}})
    list!(cstruct.index, {:bad_type, name, {:index, [cstruct.index]}})
    list!(cstruct.unique, {:bad_type, name, {:unique, cstruct.unique}})
    list!(cstruct.frag_properties, {:badarg, name, {:frag_properties, cstruct.frag_properties}})
    storage!(cstruct)

    unique = cstruct.unique |> Enum.map(&position!(&1, cstruct)) |> Enum.uniq()
    index = Enum.map(cstruct.index, &index!(&1, cstruct))

    %{
      cstruct
      | index:
          index ++
            for(position <- unique, not indexed?(index, position), do: {position, :ordered}),
        unique: unique,
        ram_copies: default_copies(cstruct),
        user_properties: Enum.sort(cstruct.user_properties),
        frag_properties: Enum.sort(cstruct.frag_properties),
        storage_properties: Enum.sort(cstruct.storage_properties)
    }
  end

  @doc "Refuses what no table can be."
  @spec check!(t) :: t | no_return
  def check!(%__MODULE__{name: name} = cstruct) do
    nodes!(cstruct)
    verify(is_atom(name), {:bad_type, name})
    verify(cstruct.type in @types, {:bad_type, name, {:type, cstruct.type}})

    verify(is_atom(cstruct.record_name), {:bad_type, name, {:record_name, cstruct.record_name}})
    attributes!(cstruct)

    Enum.each(
      cstruct.index,
      &verify(position?(&1, arity(cstruct)), {:bad_type, name, {:index, [&1]}})
    )

    verify(
      is_boolean(cstruct.local_content),
      {:bad_type, name, {:local_content, cstruct.local_content}}
    )

    verify(
      cstruct.access_mode in [:read_write, :read_only],
      {:bad_type, name, {:access_mode, cstruct.access_mode}}
    )

    verify(is_boolean(cstruct.majority), {:bad_type, name, {:majority, cstruct.majority}})

    verify(
      not (cstruct.majority and cstruct.local_content),
      {:combine_error, name, [local_content: true, majority: true]}
    )

    # There is no SNMP here: the reason is the one Mnesia gives to a bad value.
    verify(cstruct.snmp == [], {:badarg, name, {:snmp, cstruct.snmp}})

    Enum.each(
      cstruct.user_properties,
      &verify(is_tuple(&1) and tuple_size(&1) > 0, {:bad_type, name, {:user_properties, [&1]}})
    )

    verify(integers?(cstruct.cookie, 3), {:bad_type, name, {:cookie, cstruct.cookie}})
    verify(integers?(cstruct.version, 2), {:bad_type, name, {:version, cstruct.version}})

    cstruct
  end

  @doc "Refuses the replicas that this engine cannot hold: it has tables on this node, on disc where the schema is."
  @spec check_replicas!(t, disc :: boolean) :: t | no_return
  def check_replicas!(%__MODULE__{name: name} = cstruct, disc?) do
    disc = cstruct.disc_copies ++ cstruct.disc_only_copies

    # Mnesia's, who never can; here it is as for any other type.
    verify(
      disc? or cstruct.type != :ordered_set or cstruct.disc_only_copies == [],
      {:bad_type, name, {:not_supported, :ordered_set, :disc_only_copies}}
    )

    Enum.each(disc ++ cstruct.ram_copies, &verify(&1 == node(), {:not_active, name, &1}))
    verify(disc? or cstruct.disc_copies == [], {:bad_type, name, :disc_copies, node()})
    verify(disc? or cstruct.disc_only_copies == [], {:bad_type, name, :disc_only_copies, node()})
    cstruct
  end

  @storage [:ram_copies, :disc_copies, :disc_only_copies]

  @doc "Can a node keep a table so?"
  @spec storage_type?(term) :: boolean
  def storage_type?(type), do: type in @storage

  @doc "The nodes that have the table, however they keep it."
  @spec nodes(t) :: [node]
  def nodes(cstruct), do: Enum.flat_map(@storage, &Map.fetch!(cstruct, &1))

  @doc "How a node keeps the table."
  @spec storage_type(t, node) :: :ram_copies | :disc_copies | :disc_only_copies | :unknown
  def storage_type(cstruct, node),
    do: Enum.find(@storage, :unknown, &(node in Map.fetch!(cstruct, &1)))

  @doc "The definition with another storage of the table at a node that has it."
  @spec put_storage(t, node, atom) :: t
  def put_storage(cstruct, node, type) do
    cstruct =
      Enum.reduce(@storage, cstruct, &Map.update!(&2, &1, fn nodes -> nodes -- [node] end))

    Map.update!(cstruct, type, &(&1 ++ [node]))
  end

  @doc "The definition of the schema, which is a table too."
  @spec schema() :: t
  def schema do
    %__MODULE__{
      name: :schema,
      record_name: :schema,
      attributes: [:table, :cstruct],
      ram_copies: [node()],
      cookie: {{0, 0, 1}, node()}
    }
  end

  @doc "The definition with the version after its own, as of now."
  @spec next_version(t) :: t
  def next_version(%__MODULE__{version: {{major, minor}, _detail}} = cstruct),
    do: %{cstruct | version: {{major + 1, minor}, {node(), :erlang.timestamp()}}}

  @doc "The number of elements of a record, its name included."
  @spec arity(t) :: pos_integer
  def arity(%__MODULE__{attributes: attributes}), do: length(attributes) + 1

  @doc "The indexed tuple positions, each once; a list of them for an index on several attributes."
  @spec positions(t) :: [position]
  def positions(%__MODULE__{index: index}), do: index |> Enum.map(&elem(&1, 0)) |> Enum.uniq()

  @doc "The indexes: positions, and whether they are unique."
  @spec indexes(t) :: [{position, boolean}]
  def indexes(%__MODULE__{unique: unique} = cstruct),
    do: for(position <- positions(cstruct), do: {position, position in unique})

  @doc "What the native side knows of a table."
  @spec shape(t) :: {atom, pos_integer, atom, [{position, boolean}]}
  def shape(%__MODULE__{type: type, record_name: record_name} = cstruct),
    do: {type, arity(cstruct), record_name, indexes(cstruct)}

  @doc "The definition with one index more, and the index's position; `item` as in the option `:index`."
  @spec add_index!(t, term, boolean) :: {t, position} | no_return
  def add_index!(%__MODULE__{name: name, index: index, unique: unique} = cstruct, item, unique?) do
    position = position!(item, cstruct)
    verify(not indexed?(index, position), {:already_exists, name, position})
    new = {position, :ordered}
    verify(position?(new, arity(cstruct)), {:bad_type, name, {:index, [position]}})
    unique = if unique?, do: [position | unique], else: unique
    {%{cstruct | index: [new | Enum.sort(index)], unique: unique}, position}
  end

  @doc "The definition without an index, and the index's position."
  @spec drop_index!(t, term) :: {t, position} | no_return
  def drop_index!(%__MODULE__{name: name, index: index, unique: unique} = cstruct, item) do
    position = position!(item, cstruct)
    verify(indexed?(index, position), {:no_exists, name, position})
    index = Enum.reject(index, &(elem(&1, 0) == position))
    {%{cstruct | index: index, unique: List.delete(unique, position)}, position}
  end

  defp indexed?(index, position), do: List.keymember?(index, position, 0)

  @doc "Mnesia's cstruct record."
  @spec to_record(t) :: tuple
  def to_record(%__MODULE__{} = cstruct) do
    List.to_tuple([:cstruct | Enum.map(@fields, &Map.fetch!(cstruct, &1))])
  end

  @doc "The fields in Mnesia's order."
  @spec fields() :: [atom]
  def fields, do: @fields

  @doc "Name and value of each field in Mnesia's order, as a backup has them."
  @spec to_list(t) :: keyword
  def to_list(%__MODULE__{} = cstruct), do: Enum.map(@fields, &{&1, Map.fetch!(cstruct, &1)})

  # --- reading ---

  # Ours: one word for a table whose only copy is here.
  defp storage_type(options) do
    with true <- not List.improper?(options),
         {:storage_type, type} when type in [:ram_copies, :disc_copies, :disc_only_copies] <-
           List.keyfind(options, :storage_type, 0) do
      [{type, [node()]} | List.keydelete(options, :storage_type, 0)]
    else
      _none -> options
    end
  end

  defp keys!([{key, _value} | rest], name) do
    field = if is_tuple(key) and tuple_size(key) > 0, do: elem(key, 0), else: key
    verify(field in @fields or field in @own_fields, {:badarg, name, key})
    [key | keys!(rest, name)]
  end

  defp keys!([], _name), do: []
  defp keys!(other, name), do: abort({:badarg, name, other})

  defp default_copies(%{ram_copies: [], disc_copies: [], disc_only_copies: []}), do: [node()]
  defp default_copies(%{ram_copies: ram_copies}), do: ram_copies

  defp cookie, do: {{System.os_time(), System.unique_integer(), 1}, node()}

  defp storage!(%{name: name, storage_properties: properties}) do
    list!(properties, {:badarg, name, {:storage_properties, properties}})
    storage!(:ets, properties, @ets_reserved, name)
    storage!(:dets, properties, @dets_reserved, name)
  end

  defp storage!(kind, properties, reserved, name) do
    options = :proplists.get_value(kind, properties, [])
    list!(options, {:badarg, name, {kind, options}})

    Enum.each(options, fn
      option when is_atom(option) ->
        verify(option not in reserved, {:badarg, name, option})

      option when is_tuple(option) and option != {} ->
        verify(elem(option, 0) not in reserved, {:badarg, name, option})

      option ->
        abort({:badarg, name, option})
    end)
  end

  # An attribute or a position, alone or with the kind of index Mnesia shall build; ours are ordered.
  defp index!(item, cstruct) when is_atom(item) or is_integer(item) or is_list(item),
    do: {position!(item, cstruct), :ordered}

  defp index!({plugin} = item, _cstruct) when is_atom(plugin), do: {item, :ordered}
  defp index!({item, kind}, cstruct), do: {position!(item, cstruct), kind}
  defp index!(_item, cstruct), do: abort({:bad_type, cstruct.name, {:index, cstruct.index}})

  @doc "The position of an attribute, which may be said by its name."
  @spec position!(term, t) :: term | no_return
  def position!(position, _cstruct) when is_integer(position), do: position
  def position!({_plugin} = item, _cstruct), do: item

  def position!([_ | _] = items, cstruct) do
    verify(not List.improper?(items), {:bad_type, items})

    case Enum.map(items, &position!(&1, cstruct)) do
      [position] -> position
      positions -> positions
    end
  end

  def position!(attribute, %{attributes: attributes}) do
    case is_atom(attribute) and is_list(attributes) and
           Enum.find_index(attributes, &(&1 == attribute)) do
      index when is_integer(index) -> index + 2
      _unknown -> abort({:bad_type, attribute})
    end
  end

  # --- checking ---

  defp nodes!(%{name: name} = cstruct) do
    for kind <- [:ram_copies, :disc_copies, :disc_only_copies] do
      nodes = Map.fetch!(cstruct, kind)
      list!(nodes, {:bad_type, name, {kind, nodes}})
    end

    verify(is_integer(cstruct.load_order), {:bad_type, name, {:load_order, cstruct.load_order}})
    nodes = cstruct.ram_copies ++ cstruct.disc_copies ++ cstruct.disc_only_copies
    verify(nodes == Enum.uniq(nodes), {:combine_error, name, nodes})
    Enum.each(nodes, &verify(is_atom(&1), {:bad_type, name, &1}))
  end

  defp attributes!(%{name: name, attributes: attributes}) do
    verify(
      is_list(attributes) and length(attributes) > 1,
      {:bad_type, name, {:attributes, attributes}}
    )

    Enum.reduce(attributes, [], fn attribute, seen ->
      verify(
        is_atom(attribute) and attribute != :snmp,
        {:bad_type, name, {:attributes, [attribute]}}
      )

      verify(attribute not in seen, {:combine_error, name, {:attributes, [attribute | seen]}})
      [attribute | seen]
    end)
  end

  # The key is position 2: it needs no index.
  defp position?({position, kind}, arity) when is_integer(position) and kind in [:ordered, :bag],
    do: position > 2 and position <= arity

  # Of several it may be one.
  defp position?({positions, kind}, arity) when is_list(positions) and kind in [:ordered, :bag],
    do:
      Enum.all?(positions, &(is_integer(&1) and &1 in 2..arity)) and
        positions == Enum.uniq(positions)

  defp position?(_index, _arity), do: false

  # A cookie is `{{a, b, c}, node}`, a version `{{a, b}, detail}`.
  defp integers?({numbers, _rest}, size) when tuple_size(numbers) == size,
    do: numbers |> Tuple.to_list() |> Enum.all?(&is_integer/1)

  defp integers?(_other, _size), do: false

  defp list!(value, reason), do: verify(is_list(value), reason)

  defp verify(true, _reason), do: :ok
  defp verify(false, reason), do: abort(reason)

  @spec abort(term) :: no_return
  defp abort(reason), do: exit({:aborted, reason})
end
