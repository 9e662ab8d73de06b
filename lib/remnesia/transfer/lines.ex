defmodule Remnesia.Transfer.Lines do
  @moduledoc false

  # Passes the output of a program on line by line as it comes, and keeps it.

  defstruct [:progress]

  defimpl Collectable do
    def into(%{progress: progress}) do
      collect = fn
        output, {:cont, text} ->
          for line <- String.split(text, "\n", trim: true), do: progress.(line)
          [output, text]

        output, :done ->
          IO.iodata_to_binary(output)

        _output, :halt ->
          :ok
      end

      {[], collect}
    end
  end
end
