defmodule Remnesia.Engine.Cluster.Convert do
  @moduledoc false

  # A local database becomes one of Mnesia's, where it is: the rows on disc stay, their tables get the names that the backend gives to
  # Mnesia's. One write decides, that of the mark with all definitions (`begin/1`). Everything after it happens at a start
  # of the database, each step only if it has not been done, so a start after a crash goes on:
  #
  #   1. tables on disc are renamed, all in one change of the log (`at_start/1`)
  #   2. Mnesia's schema is created (`schema/0`)
  #   3. the tables are created in it, and find their rows (`finish/0`); those in storage that is Mnesia's own - tables in memory, whose rows the
  #      first step of all has brought to disc, and fragmented ones - are copied
  #   4. the mark says what is left over, that is dropped, and the mark is that of any node

  alias Remnesia.Engine
  alias Remnesia.Engine.Choice
  alias Remnesia.Engine.Cluster
  alias Remnesia.Engine.Cluster.{Mark, Start}
  alias Remnesia.Engine.Cstruct
  alias Remnesia.Engine.Local.{Definitions, Disc, Nodes, Wait}
  alias Remnesia.Native

  require Logger

  @progress {__MODULE__, :progress}
  @everything [{:_, [], [:"$_"]}]
  @chunk 500

  # --- before ---

  @doc "Why the database that runs here cannot be converted, or nil."
  @spec refusal() :: nil | term
  def refusal do
    definitions = definitions()
    named = fn refused? -> for d <- definitions, refused?.(d), do: d.name end
    unique = named.(&(&1.unique != []))
    duplicate = named.(&(&1.type == :duplicate_bag))

    cond do
      Engine.is_transaction() ->
        :nested_transaction

      Application.get_env(:remnesia, :engine) == :local ->
        not_available("`config :remnesia, engine: :local` says that tables live on this node")

      not Node.alive?() ->
        not_available(
          "the schema of a cluster names its nodes: this node has no name (--sname or --name)"
        )

      not Disc.used?() ->
        not_available("the schema is in memory: Remnesia.Schema.setup/1 brings it to disc")

      unique != [] ->
        not_available(
          "unique indexes are not available in a cluster, drop those of: #{names(unique)}"
        )

      duplicate != [] ->
        not_available("Mnesia has no tables of type duplicate_bag: #{names(duplicate)}")

      mnesia?() ->
        not_available("Mnesia runs in this VM")

      Start.schema_on_disc?() ->
        not_available(
          "#{Start.directory()} holds a schema of Mnesia: move its files away, or set `config :mnesia, dir:`"
        )

      true ->
        nil
    end
  end

  defp not_available(text), do: {:not_available, text}
  defp names(tables), do: Enum.map_join(tables, ", ", &inspect/1)
  defp mnesia?, do: Process.whereis(:mnesia_sup) != nil

  defp definitions do
    for table <- Definitions.names(),
        is_atom(table),
        {:ok, definition} <- [Definitions.fetch(table)],
        do: definition
  end

  # --- the decision ---

  @doc "From here on the next start is that of a cluster."
  @spec begin((String.t() -> any) | nil) :: :ok | {:error, term}
  def begin(progress) do
    if progress, do: :persistent_term.put(@progress, progress)
    definitions = definitions()
    in_memory = Enum.filter(definitions, &(type(&1) == :ram_copies))

    with :ok <- Nodes.all_loaded(),
         :ok <- Mark.put({:convert, definitions}) do
      case each(in_memory, &to_disc/1) do
        :ok -> say("#{length(definitions)} tables are to be converted")
        {:error, reason} -> take_back(in_memory, reason)
      end
    end
  end

  # Every change from now on is there at the next start.
  defp to_disc(%{name: table, access_mode: mode}) do
    result =
      if mode == :read_only,
        do: Engine.dump_tables([table]),
        else: Engine.change_table_copy_type(table, node(), :disc_copies)

    with {:aborted, reason} <- result, do: {:error, {table, reason}}, else: (_done -> :ok)
  end

  defp take_back(in_memory, reason) do
    Mark.put(nil)
    for %{name: table} <- in_memory, do: Engine.change_table_copy_type(table, node(), :ram_copies)
    {:error, reason}
  end

  @doc "The function that was told of progress is told no longer."
  @spec forget_progress() :: boolean
  def forget_progress, do: :persistent_term.erase(@progress)

  defp say(text) do
    case :persistent_term.get(@progress, nil) do
      nil -> Logger.info("remnesia: cluster: #{text}")
      progress -> progress.(text)
    end

    :ok
  end

  # --- at a start ---

  @doc "Tables as they are to be, of those that are on disc, as `{number, definition}`."
  @spec at_start([{number, Cstruct.t()}]) :: {:ok, [{number, Cstruct.t()}]} | {:error, term}
  def at_start(tables) do
    case if(Choice.cluster?(), do: Mark.get(), else: :local) do
      :local ->
        {:ok, tables}

      {:ok, {:convert, definitions}} ->
        Definitions.put(:converting, definitions)
        {:ok, rename(tables, definitions)}

      {:ok, {:drop, names}} ->
        {:ok, drop(tables, names)}

      {:ok, _nothing_to_do} ->
        nobody_elses(tables)

      {:error, reason} ->
        {:error, reason}
    end
  end

  # Nobody shall think that the data are gone.
  defp nobody_elses(tables) do
    case for({_number, %{name: name}} <- tables, is_atom(name), name != :schema, do: name) do
      [] ->
        {:ok, tables}

      local ->
        {:error,
         not_available(
           "the database has tables of one node, which a cluster would not see: #{names(local)}. Start it without " <>
             "`config :remnesia, engine: :cluster`, and call Remnesia.Cluster.convert/1"
         )}
    end
  end

  defp rename(tables, definitions) do
    ours = for d <- definitions, kept?(d), into: MapSet.new(), do: d.name

    renamed =
      for {number, %{name: name} = cstruct} <- tables,
          name in ours,
          do: {number, here(%{cstruct | name: {:mnesia, name}})}

    if renamed != [] do
      Disc.change!(for {number, cstruct} <- renamed, do: Disc.definition(number, cstruct))
      say("#{length(renamed)} tables on disc are Mnesia's")
    end

    Enum.map(tables, &(List.keyfind(renamed, elem(&1, 0), 0) || &1))
  end

  # The node may have had another name. Who may write Mnesia decides.
  defp here(cstruct),
    do: %{Cstruct.put_storage(cstruct, node(), type(cstruct)) | access_mode: :read_write}

  defp drop(tables, names) do
    {left, rest} = Enum.split_with(tables, fn {_number, cstruct} -> cstruct.name in names end)
    if left != [], do: Disc.change!(for {number, _cstruct} <- left, do: {:drop, number})
    :ok = Mark.put(:cluster)
    rest
  end

  # Its rows stay where they are.
  defp kept?(definition), do: type(definition) != :ram_copies and definition.frag_properties == []

  defp type(%{disc_only_copies: [_ | _]}), do: :disc_only_copies
  defp type(%{disc_copies: [_ | _]}), do: :disc_copies
  defp type(_definition), do: :ram_copies

  @doc "Is a table to find the rows that it had before? What Mnesia says of its life does not count until it is there."
  @spec keeps_rows?(atom) :: boolean
  def keeps_rows?(table) do
    case Definitions.get(:converting, nil) do
      nil -> false
      definitions -> Enum.any?(definitions, &(&1.name == table and kept?(&1)))
    end
  end

  @doc "Creates Mnesia's schema, before Mnesia starts."
  @spec schema() :: :ok | {:error, term}
  def schema do
    if Definitions.get(:converting, nil) == nil or Start.schema_on_disc?() do
      :ok
    else
      with :ok <- :mnesia.create_schema([node()], backend_types: Remnesia.Backend.types()),
           do: say("Mnesia has a schema")
    end
  end

  @doc "Creates the tables in it, when Mnesia runs."
  @spec finish() :: :ok | {:error, term}
  def finish do
    case Definitions.get(:converting, nil) do
      nil -> :ok
      definitions -> finish(definitions)
    end
  end

  defp finish(definitions) do
    whole = Enum.filter(definitions, &(&1.frag_properties == [] or base?(&1)))
    {kept, copied} = Enum.split_with(definitions, &kept?/1)

    with :ok <- each(Enum.sort_by(whole, &foreign_key/1), &create/1),
         :ok <- :mnesia.wait_for_tables(Enum.map(definitions, & &1.name), :infinity),
         :ok <- each(copied, &copy/1),
         :dumped <- :mnesia.dump_log(),
         :ok <- Mark.put({:drop, Enum.map(copied, & &1.name)}) do
      Definitions.put(:converting, nil)

      for %{name: table} <- copied,
          do: Wait.with_room(fn -> Native.table_delete(nil, table) end)

      with {:"$error", reason} <- Disc.sync(), do: exit({:aborted, reason})
      :ok = Mark.put(:cluster)

      say(
        "converted: #{length(kept)} tables with their rows where they were, #{length(copied)} copied"
      )
    else
      {:error, reason} -> {:error, {:convert, reason}}
      other -> {:error, {:convert, other}}
    end
  end

  # --- one table ---

  defp base?(definition), do: definition.frag_properties[:base_table] == definition.name
  # Those that follow others come after them.
  defp foreign_key(definition), do: match?({_, _}, definition.frag_properties[:foreign_key])

  defp create(definition) do
    case Cluster.create_table(definition.name, options(definition)) do
      {:atomic, :ok} -> say("#{inspect(definition.name)} is there")
      {:aborted, {:already_exists, _table}} -> :ok
      {:aborted, reason} -> {:error, {definition.name, reason}}
    end
  end

  defp options(definition) do
    same =
      for field <- [
            :type,
            :record_name,
            :attributes,
            :load_order,
            :majority,
            :local_content,
            :user_properties,
            :storage_properties
          ],
          do: {field, Map.fetch!(definition, field)}

    mode = if kept?(definition), do: definition.access_mode, else: :read_write
    storage(definition) ++ [index: index(definition), access_mode: mode] ++ same
  end

  # The kind of an index is that of the storage.
  defp index(definition) do
    if kept?(definition), do: definition.index, else: Cstruct.positions(definition)
  end

  defp storage(%{frag_properties: []} = definition), do: [{type(definition), [node()]}]

  # OTP's fragments are in Mnesia's own storage; their records are in the same ones.
  defp storage(%{frag_properties: properties} = definition) do
    count =
      %{
        ram_copies: :n_ram_copies,
        disc_copies: :n_disc_copies,
        disc_only_copies: :n_disc_only_copies
      }[type(definition)]

    taken =
      for {key, _} = property <- properties,
          key in [:foreign_key, :n_fragments, :hash_module],
          property != {:foreign_key, :undefined},
          do: property

    [frag_properties: [{count, 1}, {:node_pool, [node()]} | taken]]
  end

  defp copy(%{name: table} = definition) do
    if Native.table_props(table) == :error do
      :ok
    else
      with {:error, {:load_failed, _table, reason}} <- Nodes.loaded([table]),
           do: exit({:aborted, reason})

      # After a crash one in memory may be empty and read-only.
      access(table, :read_write)
      rows(Native.select(nil, table, @everything, :read, @chunk), table)
      access(table, definition.access_mode)
      say("#{inspect(table)}: #{:mnesia.table_info(table, :size)} records are copied")
    end
  end

  defp access(table, mode) do
    if :mnesia.table_info(table, :access_mode) != mode,
      do: {:atomic, :ok} = :mnesia.change_table_access_mode(table, mode)
  end

  defp rows({:done, records}, table), do: write(records, table)

  defp rows({_slice_or_limit, records, continuation}, table) do
    write(records, table)
    rows(Native.select_next(nil, continuation), table)
  end

  defp write(records, table), do: Enum.each(records, &:mnesia.dirty_write(table, &1))

  defp each(list, fun) do
    Enum.reduce_while(list, :ok, fn item, :ok ->
      with :ok <- fun.(item), do: {:cont, :ok}, else: (error -> {:halt, error})
    end)
  end
end
