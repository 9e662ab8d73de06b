# Stock Mnesia is the judge in many tests. It is no dependency of the library, so newer Mix has to be told of it.
if function_exported?(Mix, :ensure_application!, 1), do: Mix.ensure_application!(:mnesia)
{:ok, _} = Application.ensure_all_started(:mnesia)

# Longer forms: mix test --include long
ExUnit.start(capture_log: true, exclude: [:long])
