defmodule Remnesia.TestErlang do
  @moduledoc false

  # Erlang programs among the tests, compiled when they are asked for.

  @doc "Compiles and loads test/erlang/NAME.erl; `defines` are macros."
  def load(name, defines \\ []) do
    file = Path.join([File.cwd!(), "test", "erlang", "#{name}.erl"])

    options =
      [:binary, :return_errors, :nowarn_export_all] ++
        for {key, value} <- defines, do: {:d, key, value}

    {:ok, module, binary} = :compile.file(String.to_charlist(file), options)
    {:module, ^module} = :code.load_binary(module, String.to_charlist(file), binary)
    module
  end
end
