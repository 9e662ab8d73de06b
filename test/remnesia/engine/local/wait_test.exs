defmodule Remnesia.Engine.Local.WaitTest do
  use ExUnit.Case, async: true

  alias Remnesia.Engine.Local.Wait

  # A receive that is not marked would look through the whole mailbox at each wait.
  test "all receives are marked" do
    {:beam_file, Wait, _exports, _attributes, _info, functions} =
      Wait |> :code.which() |> :beam_disasm.file()

    for name <- [:lock, :commit, :durable, :room] do
      {:function, ^name, _arity, _label, code} = List.keyfind(functions, name, 1)
      text = inspect(code, limit: :infinity)

      for mark <- ["recv_marker_reserve", "recv_marker_bind", "recv_marker_use"],
          do: assert({name, text =~ mark} == {name, true})
    end
  end
end
