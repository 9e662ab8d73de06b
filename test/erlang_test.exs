defmodule ErlangTest do
  use ExUnit.Case

  # An Erlang program, once with `mnesia` and once with `remnesia` in its place, prints the same.

  import ExUnit.CaptureIO

  test "a program of the Mnesia kind" do
    [stock, ours] =
      for side <- [:mnesia, :remnesia] do
        module = Remnesia.TestErlang.load(:company, DB: side)
        printed = capture_io(fn -> assert module.run() == :ok end)
        :code.purge(module)
        :code.delete(module)
        printed
      end

    assert ours == stock
    assert length(String.split(ours, "\n")) > 85
  end
end
