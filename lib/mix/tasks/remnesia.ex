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
    Mix.Task.run("app.config")
    if dir = options[:dir], do: Application.put_env(:remnesia, :dir, Path.expand(dir))

    case Application.ensure_all_started(:remnesia) do
      {:ok, _started} -> :ok
      {:error, {:remnesia, {reason, _where}}} -> fail("The database does not start", reason)
      {:error, reason} -> fail("The database does not start", reason)
    end

    wait_for_tables()
  end

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
  def fail(what, {:mnesia_directory, _dir, text}), do: Mix.raise("#{what}: #{text}")

  def fail(what, {:locked, dir}),
    do: Mix.raise("#{what}: #{dir} is used by another process; stop it first")

  def fail(what, reason), do: Mix.raise("#{what}: #{inspect(reason)}")
end
