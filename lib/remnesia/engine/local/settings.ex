defmodule Remnesia.Engine.Local.Settings do
  @moduledoc false

  # Mnesia's settings: what each may be, and what it is where nobody has said anything. Those that Remnesia has no use for can be set
  # and read, and do nothing else.

  alias Remnesia.Engine.Local.Definitions
  alias Remnesia.{Events, Native}

  @defaults [
    access_module: :remnesia,
    auto_repair: true,
    backup_module: :mnesia_backup,
    debug: :none,
    dump_disc_copies_at_startup: true,
    dump_log_load_regulation: false,
    dump_log_time_threshold: 180_000,
    dump_log_update_in_place: true,
    dump_log_write_threshold: 1000,
    event_module: :mnesia_event,
    extra_db_nodes: [],
    ignore_fallback_at_startup: false,
    fallback_error_function: {:remnesia, :lkill},
    max_wait_for_decision: :infinity,
    schema_location: :opt_disc,
    core_dir: false,
    pid_sort_order: false,
    no_table_loaders: 2,
    dc_dump_limit: 4,
    send_compressed: 0,
    max_transfer_size: 64_000,
    allow_index_on_key: false,
    schema: []
  ]

  @levels [:none, :verbose, :debug, :trace]

  @doc "A setting of the application, or Mnesia's default."
  @spec get(atom) :: term
  def get(key), do: Application.get_env(:remnesia, key, @defaults[key])

  @doc "Puts settings into the application's environment, unless one is wrong, and starts."
  @spec start(term, (() -> result)) :: result | {:error, term} when result: term
  def start([], start), do: start.()

  def start([{key, value} | rest], start) do
    case check(key, value) do
      {:ok, value} ->
        Application.put_env(:remnesia, key, value)
        start(rest, start)

      error ->
        error
    end
  end

  def start([other | _rest], _start), do: {:error, {:bad_type, other}}
  def start(other, _start), do: {:error, {:badarg, other}}

  defp check(:dir, dir) when is_list(dir) or is_atom(dir) or is_binary(dir),
    do: {:ok, to_string(dir)}

  defp check(:dir, dir), do: {:error, {:bad_type, :dir, dir}}

  defp check(key, value) do
    case List.keyfind(@defaults, key, 0) do
      {^key, default} -> check(key, value, default)
      nil -> {:error, {:bad_type, key, value}}
    end
  end

  defp check(:debug, false, _), do: {:ok, :none}
  defp check(:debug, true, _), do: {:ok, :debug}
  defp check(:debug, level, _) when level in @levels, do: {:ok, level}

  defp check(:schema_location, value, _) when value in [:disc, :ram, :opt_disc], do: {:ok, value}

  defp check(key, value, _)
       when key in [:debug, :schema_location],
       do: {:error, {:bad_type, key, value}}

  defp check(:max_wait_for_decision, :infinity, _), do: {:ok, :infinity}
  defp check(:max_wait_for_decision, n, _) when is_integer(n) and n > 0, do: {:ok, n}
  defp check(:core_dir, value, _) when is_boolean(value) or is_list(value), do: {:ok, value}

  defp check(:fallback_error_function, {module, function} = value, _)
       when is_atom(module) and is_atom(function),
       do: {:ok, value}

  defp check(key, value, default) do
    same_kind =
      cond do
        is_boolean(default) -> is_boolean(value)
        is_integer(default) -> is_number(value) and value >= 0
        is_list(default) -> is_list(value)
        key in [:max_wait_for_decision, :fallback_error_function] -> false
        true -> is_atom(value)
      end

    if same_kind, do: {:ok, value}, else: {:error, {:bad_type, key, value}}
  end

  @doc "Changes the debug level; answers what it was."
  @spec debug(term) :: atom | {:error, term}
  def debug(level) do
    case check(:debug, level, :none) do
      {:ok, level} ->
        before = Definitions.get(:debug, get(:debug))
        Application.put_env(:remnesia, :debug, level)
        Definitions.put(:debug, level)
        before

      error ->
        error
    end
  end

  @doc "Stops the database as a crash would, without a word to anybody."
  @spec kill() :: :ok
  def kill do
    Events.forget_all()
    Native.db_stop()
    Application.stop(:remnesia)
    :ok
  end
end
