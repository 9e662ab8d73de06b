defmodule Mix.Tasks.Remnesia do
  @moduledoc false

  # What the tasks share: options, the directory, and how they say what went wrong.

  @doc "The options and arguments of a task; `--help` shows its documentation."
  @spec parse([String.t()], module, keyword) :: {keyword, [String.t()]}
  def parse(arguments, task, switches) do
    switches = [help: :boolean, dir: :string] ++ switches
    {options, rest, invalid} = OptionParser.parse(arguments, strict: switches)

    cond do
      options[:help] ->
        Mix.shell().info(Mix.Task.moduledoc(task))
        exit(:normal)

      invalid != [] ->
        [{option, _value} | _] = invalid
        Mix.raise("Unknown option #{option}. See mix help #{Mix.Task.task_name(task)}")

      true ->
        {options, rest}
    end
  end

  @doc "Compiles and configures the project, and starts the database of its directory or the one given by `--dir`."
  @spec start(keyword) :: :ok
  def start(options) do
    configure(options)

    case Application.ensure_all_started(:remnesia) do
      {:ok, _started} -> :ok
      {:error, {:remnesia, {reason, _where}}} -> fail("The database does not start", reason)
      {:error, reason} -> fail("The database does not start", reason)
    end

    wait_for_tables()
  end

  @doc "Compiles and configures the project."
  @spec configure(keyword) :: term
  def configure(options) do
    Mix.Task.run("app.config")
    if dir = options[:dir], do: Application.put_env(:remnesia, :dir, Path.expand(dir))
  end

  @doc "Starts a database that is there."
  @spec start_existing(keyword) :: :ok
  def start_existing(options) do
    configure(options)

    if not Remnesia.Engine.Local.Directory.exists?(),
      do: Mix.raise("There is no database in #{Remnesia.Engine.Local.Directory.path()}")

    start(options)
  end

  @doc "Starts the database, and puts it on disc if it is not."
  @spec start_or_create(keyword) :: :ok
  def start_or_create(options) do
    start(options)

    with {:error, reason} <- Remnesia.Schema.setup([]),
         do: fail("The database on disc cannot be created", reason)

    :ok
  end

  @doc "The tables that `--table` names, as an option. Such a name is one of Elixir's, or begins with a colon."
  @spec tables(keyword) :: keyword
  def tables(options) do
    case Keyword.get_values(options, :table) do
      [] -> []
      names -> [tables: Enum.map(names, &table/1)]
    end
  end

  defp table(":" <> name), do: String.to_atom(name)

  defp table(name),
    do: if(name =~ ~r/^[A-Z]/, do: Module.concat([name]), else: String.to_atom(name))

  @doc "Says what was done, or ends the task with what went wrong."
  @spec done({:ok, [{atom, non_neg_integer}]} | {:error, term}, Path.t(), String.t()) :: :ok
  def done({:ok, tables}, file, _failed) do
    for {table, records} <- tables,
        do: Mix.shell().info("#{inspect(table)}: #{records} records")

    Mix.shell().info("#{file}: #{length(tables)} tables")
    :ok
  end

  def done({:error, reason}, file, failed), do: fail(failed, in_file(reason, file))

  defp in_file({:syntax, line, text}, file), do: {:text, "#{file}:#{line}: #{text}"}
  defp in_file({:bad_header, line}, file), do: {:text, "#{file}:#{line}: tables are expected"}

  defp in_file({:undefined_object, line, what}, file),
    do: {:text, "#{file}:#{line}: no record of its tables: #{inspect(what)}"}

  defp in_file({:bad_record, line, {_, record}}, file),
    do: {:text, "#{file}:#{line}: does not fit its table: #{inspect(record)}"}

  defp in_file({:not_a_backup, _}, file), do: {:text, "#{file} is no backup of Remnesia"}

  defp in_file({:bad_version, version}, file),
    do: {:text, "#{file} has format #{version}, which this version does not know"}

  defp in_file({:corrupt, _, what}, file), do: {:text, "#{file} is damaged: #{inspect(what)}"}

  defp in_file({:not_in_backup, tables}, file),
    do: {:text, "#{file} does not have #{Enum.map_join(tables, ", ", &inspect/1)}"}

  defp in_file(:too_many_atoms, file),
    do: {:text, "#{file} brings more new atoms than --max-atoms allows"}

  defp in_file(reason, file) when is_atom(reason),
    do: {:text, "#{file}: #{:file.format_error(reason)}"}

  defp in_file(reason, _file), do: reason

  defp wait_for_tables do
    loading = Remnesia.Native.tables_loading()

    if loading != [] do
      Mix.shell().info(
        "loading #{Enum.map_join(loading, ", ", fn {table, _} -> inspect(table) end)}"
      )

      Remnesia.wait(Enum.map(loading, &elem(&1, 0)), :infinity)
    end

    :ok
  end

  @doc "Ends the task with what went wrong."
  @spec fail(String.t(), term) :: no_return
  def fail(what, {:not_available, text}), do: Mix.raise("#{what}: #{text}")
  def fail(what, {:text, text}), do: Mix.raise("#{what}: #{text}")
  def fail(what, {:mnesia_directory, _dir, text}), do: Mix.raise("#{what}: #{text}")

  def fail(what, {:locked, dir}),
    do: Mix.raise("#{what}: #{dir} is used by another process; stop it first")

  def fail(what, reason), do: Mix.raise("#{what}: #{inspect(reason)}")
end
