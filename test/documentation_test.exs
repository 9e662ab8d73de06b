defmodule Remnesia.DocumentationTest do
  # What a reader may rely on: every function that can be called says what it takes and answers, and every one of a documented module
  # has a text and an example, which the doctests run.

  use ExUnit.Case, async: true

  # What the compiler puts into modules.
  @compiled [:__info__, :__struct__, :__impl__, :behaviour_info, :module_info, :child_spec]

  # What can have no example that runs, and why.
  @without_example [
    # It changes the Mnesia that other tests compare with; test/backend calls it in VMs of its own.
    {Remnesia.Backend, :register, 0}
  ]

  test "every function of the library has a spec, or is a callback of a behaviour that has one" do
    missing =
      for module <- modules(),
          {name, arity} <- functions(module) -- (specs(module) ++ callbacks(module)),
          do: {module, name, arity}

    assert missing == []
  end

  test "every function and macro of a documented module has a text" do
    missing =
      for {module, entries} <- documented(),
          {{kind, name, arity}, _, _, :none, meta} <- entries,
          kind in [:function, :macro] and meta[:delegate_to] == nil,
          do: {module, name, arity}

    assert missing == []
  end

  test "every one of them has an example, which a doctest runs" do
    run = doctested()
    assert run != []

    missing =
      for {module, entries} <- documented(),
          {{kind, name, arity}, _, _, %{"en" => text}, _} <- entries,
          kind in [:function, :macro],
          not (text =~ "iex>" and module in run),
          {module, name, arity} not in @without_example,
          do: {module, name, arity}

    assert missing == []
  end

  test "what is excused is there, and has a text without an example" do
    for {module, name, arity} <- @without_example do
      {:docs_v1, _, _, _, _, _, entries} = docs(module)

      assert {_, _, _, %{"en" => text}, _} =
               Enum.find(entries, &match?({{:function, ^name, ^arity}, _, _, _, _}, &1))

      refute text =~ "iex>", "#{inspect(module)}.#{name}/#{arity} has an example"
    end
  end

  test "the NIF contract in docs/design.md has every call, with its arguments" do
    calls =
      for {name, arity} <- Remnesia.Native.module_info(:exports) -- [load: 0, path: 0],
          name not in @compiled and not String.starts_with?(to_string(name), "test_"),
          do: {name, arity}

    [_before, contract] = "docs/design.md" |> File.read!() |> String.split("## The NIF contract")

    described =
      for [_, block] <- Regex.scan(~r/```text\n(.*?)```/s, contract),
          [_, name, arguments] <- Regex.scan(~r/\b([a-z_]+)(\((?:[^()]|(?2))*\))/, block),
          do: {String.to_atom(name), arity(arguments)}

    assert calls -- described == []
    names = Keyword.keys(calls)
    # `next(nil, ..)` stands for any arguments.
    assert for({name, arity} <- described -- calls, name in (names -- [:next]), do: {name, arity}) --
             calls == []
  end

  # The second of a name takes the place of the first, whose tests then do not run.
  test "no two modules of tests have one name" do
    names =
      for file <- Path.wildcard("test/**/*.exs"),
          "defmodule " <> rest <- file |> File.read!() |> String.split("\n"),
          do: rest

    assert names -- Enum.uniq(names) == []
  end

  defp arity(arguments) do
    # What is in brackets is one argument.
    flat = Regex.replace(~r/(\{(?:[^{}]|(?1))*\}|\[[^\[\]]*\])/, arguments, "x")
    inner = flat |> String.trim_leading("(") |> String.trim_trailing(")") |> String.trim()
    if inner == "", do: 0, else: length(String.split(inner, ","))
  end

  # --- what the library has ---

  defp modules do
    for module <- Application.spec(:remnesia, :modules),
        source = to_string(module.module_info(:compile)[:source]),
        source |> Path.relative_to_cwd() |> String.starts_with?("lib/"),
        do: module
  end

  defp functions(module) do
    for {name, arity} <- module.module_info(:exports),
        name not in @compiled and not String.starts_with?(to_string(name), "MACRO-"),
        do: {name, arity}
  end

  # A function with defaults has those of fewer arguments, too, under one spec.
  defp specs(module) do
    {:ok, specs} = Code.Typespec.fetch_specs(module)

    for {{name, arity}, _forms} <- specs,
        fewer <- 0..defaults(module, name, arity),
        do: {name, arity - fewer}
  end

  defp defaults(module, name, arity) do
    with {:docs_v1, _, _, _, _, _, entries} <- docs(module),
         {_, _, _, _, %{defaults: defaults}} <-
           Enum.find(entries, &match?({{:function, ^name, ^arity}, _, _, _, _}, &1)) do
      defaults
    else
      _none -> 0
    end
  end

  # Declares no behaviour: that is Mnesia's, which is no dependency.
  defp callbacks(Remnesia.Backend),
    do: [{:sender_handle_info, 5} | :mnesia_backend_type.behaviour_info(:callbacks)]

  defp callbacks(module) do
    for {:behaviour, behaviours} <- module.module_info(:attributes),
        behaviour <- behaviours,
        callback <- behaviour.behaviour_info(:callbacks),
        do: callback
  end

  defp docs(module), do: Code.fetch_docs(module)

  defp documented do
    for module <- modules(),
        {:docs_v1, _, _, _, %{"en" => _text}, _, entries} <- [docs(module)],
        do: {module, entries}
  end

  # The modules that some test names in a `doctest`.
  defp doctested do
    for file <- Path.wildcard("test/**/*_test.exs"),
        [_, module] <- Regex.scan(~r/^\s+doctest ([\w.:]+)/m, File.read!(file)) do
      module |> Code.string_to_quoted!() |> expand()
    end
  end

  defp expand({:__aliases__, _, parts}), do: Module.concat(parts)
  defp expand(module), do: module
end
