defmodule Remnesia.Failures do
  @moduledoc false

  # Says every failure once more at the end, where one looks: the output of a thousand tests and of the VMs that they
  # start is long.

  use GenServer

  @lines 40

  @impl true
  def init(_options), do: {:ok, []}

  @impl true
  def handle_cast({:test_finished, %{state: {:failed, failures}} = test}, failed),
    do: {:noreply, [{test, failures} | failed]}

  def handle_cast({:module_finished, %{state: {:failed, failures}} = module}, failed),
    do: {:noreply, [{module, failures} | failed]}

  def handle_cast({:suite_finished, _times}, failed) do
    for {{item, failures}, number} <- Enum.with_index(Enum.reverse(failed), 1),
        do: IO.puts(:stderr, text(item, failures, number))

    {:noreply, []}
  end

  def handle_cast(_event, failed), do: {:noreply, failed}

  defp text(%ExUnit.Test{} = test, failures, number) do
    shortened(ExUnit.Formatter.format_test_failure(test, failures, number, 100, &plain/2))
  end

  defp text(module, failures, number),
    do:
      shortened(ExUnit.Formatter.format_test_all_failure(module, failures, number, 100, &plain/2))

  defp plain(:diff_enabled?, _text), do: false
  defp plain(_key, text), do: text

  defp shortened(text) do
    case text |> String.split("\n") |> Enum.split(@lines) do
      {lines, []} -> Enum.join(lines, "\n")
      {lines, more} -> Enum.join(lines, "\n") <> "\n     (#{length(more)} lines more above)"
    end
  end
end
