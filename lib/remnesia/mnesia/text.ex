defmodule Remnesia.Mnesia.Text do
  @moduledoc """
  Tables as text files, in the format of Mnesia: Erlang terms, each with its full stop. The first has the definitions of the tables, the others are
  records under the names of their tables.

      {tables,[{fruit,[{record_name,fruit},{attributes,[name,color]}]}]}.
      {fruit,apple,green}.

  A file that Mnesia has written is read here, and the other way round.
  """

  alias Remnesia.Engine
  alias Remnesia.Mnesia.{System, Tables}

  @doc """
  Writes all tables into a file. Answers `:ok`, or `:error` if the file cannot be written or the database is stopped.

      iex> :remnesia.dump_to_textfile("/nowhere/at/all")
      :error
  """
  @spec dump_to_textfile(Path.t() | charlist) :: :ok | :error | {:error, term}
  def dump_to_textfile(file) do
    with :yes <- Engine.system_info(:is_running),
         {:ok, device} <- :file.open(file, [:write, :delayed_write]) do
      tables = List.delete(Engine.system_info(:tables), :schema)
      write(device, {:tables, Enum.map(tables, &definition/1)})
      Enum.each(tables, &dump(device, &1))
      :file.close(device)
    else
      _stopped_or_refused -> :error
    end
  end

  defp definition(table) do
    {table, for(item <- [:record_name, :attributes], do: {item, Engine.table_info(table, item)})}
  end

  # The lock comes first: once it is held nothing makes the transaction run again, so each record is written once.
  defp dump(device, table) do
    {:atomic, :ok} =
      Engine.transaction(fn ->
        Engine.lock_table(table, :read)
        write = fn record, :ok -> write(device, put_elem(record, 0, table)) end
        Engine.fold(:left, write, :ok, table, :read)
      end)
  end

  defp write(device, term), do: :io.format(device, ~c"~p.~n", [term])

  @doc """
  Creates the tables of a file, as far as they are not there, and writes its records, all in one transaction. Starts the database if it is stopped.

  Answers `{:atomic, :ok}`, `{:aborted, reason}`, or `{:error, reason}`: `:open` for a file that cannot be opened, `:read` for one that is no
  list of terms, `:bad_header` and `:undefined_object` for terms that are not what they should be.

      iex> :remnesia.load_textfile("/nowhere/at/all")
      {:error, :open}
  """
  @spec load_textfile(Path.t() | charlist) :: Tables.result() | {:error, term}
  def load_textfile(file) do
    if Engine.system_info(:is_running) == :no, do: System.start()

    with {:ok, terms} <- read(file),
         {:ok, definitions, records} <- parse(terms) do
      refused = Enum.reject(definitions, &create/1) |> Enum.map(&elem(&1, 0))
      load(Enum.reject(records, &(elem(&1, 0) in refused)))
    end
  end

  defp read(file) do
    case :file.open(file, [:read]) do
      {:ok, device} ->
        terms = terms(device, 1, [])
        :file.close(device)
        terms

      {:error, _reason} ->
        {:error, :open}
    end
  end

  defp terms(device, line, terms) do
    case :io.request(device, {:get_until, :latin1, ~c"", :erl_scan, :tokens, [line]}) do
      {:ok, tokens, next} ->
        case :erl_parse.parse_term(tokens) do
          {:ok, term} -> terms(device, next, [term | terms])
          {:error, _reason} -> {:error, :read}
        end

      {:eof, _line} ->
        {:ok, Enum.reverse(terms)}

      _other ->
        {:error, :read}
    end
  end

  defp parse([{:tables, definitions} | records]) when is_list(definitions) do
    known = for definition <- definitions, is_tuple(definition), do: elem(definition, 0)
    good? = &(is_tuple(&1) and &1 != {} and elem(&1, 0) in known)

    if Enum.all?(records, good?),
      do: {:ok, definitions, records},
      else: {:error, :undefined_object}
  end

  defp parse(_terms), do: {:error, :bad_header}

  # True if the table is there afterwards. What is printed is what Mnesia prints.
  defp create({table, options}) do
    exists? = table in Engine.system_info(:tables)
    result = if exists?, do: :exists, else: Engine.create_table(table, options)
    say(table, result, options)
    not match?({:aborted, _}, result)
  end

  defp say(table, :exists, _options) do
    text = ~c"** Table ~tw already exists on ~p, just entering data~n"
    :io.format(text, [table, node()])
  end

  defp say(table, {:atomic, :ok}, _options), do: :io.format(~c"New table ~tw~n", [table])

  defp say(table, {:aborted, reason}, options) do
    text = ~c"** Failed to create table ~tw ~n** Reason = ~tw, Args = ~tp~n"
    :io.format(text, [table, reason, options])
  end

  defp load(records) do
    names =
      records
      |> Enum.uniq_by(&elem(&1, 0))
      |> Map.new(&{elem(&1, 0), Engine.table_info(elem(&1, 0), :record_name)})

    Engine.transaction(fn ->
      Enum.each(records, fn record ->
        table = elem(record, 0)
        Engine.write(table, put_elem(record, 0, names[table]), :write)
      end)
    end)
  end
end
