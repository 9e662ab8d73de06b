# Stock Mnesia is the judge in many tests. It is no dependency of the library, so newer Mix has to be told of it.
if function_exported?(Mix, :ensure_application!, 1),
  do: Enum.each([:mnesia, :sasl], &Mix.ensure_application!/1)

# Neither leaves anything in the sources.
scratch = Path.join(System.tmp_dir!(), "remnesia-test-#{System.pid()}")
File.mkdir_p!(scratch)
Application.stop(:remnesia)
Application.put_env(:remnesia, :dir, Path.join(scratch, "remnesia"))
Application.put_env(:mnesia, :dir, to_charlist(Path.join(scratch, "mnesia")))
{:ok, _} = Application.ensure_all_started(:remnesia)
{:ok, _} = Application.ensure_all_started(:mnesia)

# Tests on several VMs need a network of their own.
peers =
  case Remnesia.Peers.unavailable() do
    nil ->
      []

    reason ->
      IO.puts(:stderr, "\n*** Tests on several nodes are SKIPPED: #{reason} ***\n")
      [:peers]
  end

namespaces =
  case peers == [] && Remnesia.Namespaces.unavailable() do
    nil ->
      []

    reason ->
      if reason, do: IO.puts(:stderr, "*** Tests with cut cables are SKIPPED: #{reason} ***\n")
      [:namespaces]
  end

# Longer forms: mix test --include long. What takes longer than this hangs, also on a busy machine.
ExUnit.start(
  capture_log: true,
  timeout: 300_000,
  exclude: [:long | peers ++ namespaces],
  formatters: [ExUnit.CLIFormatter, Remnesia.Failures]
)

ExUnit.after_suite(fn _result -> File.rm_rf!(scratch) end)
