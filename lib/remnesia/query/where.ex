defmodule Remnesia.Query.Where do
  @moduledoc """
  Conditions on the records of a table, written as Elixir and compiled to a match specification: what
  `Remnesia.Query.where/2` makes and the functions of `Remnesia.Query` take in the place of a table and its guards.

  `spec` is an ordinary match specification, for those who want to see it:

      iex> require Remnesia.Query
      iex> Remnesia.Query.where(Example.Movie, year < 2000).spec
      [{{Example.Movie, :"$1", :"$2", :"$3", :"$4"}, [{:<, :"$3", 2000}], [:"$_"]}]
  """

  # What is known at compile time is in the code as a literal; only pinned values are put in at run time. Translation is by the operators that
  # are listed here: what is not, is refused with the place and the reason, so that nothing reaches the database that would fail there.

  alias Remnesia.Query.Spec

  @typedoc "A table and a specification of its records."
  @type t :: %__MODULE__{table: Remnesia.Table.name(), spec: list}

  @enforce_keys [:table, :spec]
  defstruct [:table, :spec]

  @renamed %{
    :and => :andalso,
    :or => :orelse,
    :<= => :"=<",
    :!= => :"/=",
    :=== => :"=:=",
    :!== => :"=/=",
    :&&& => :band,
    :||| => :bor,
    :<<< => :bsl,
    :>>> => :bsr
  }

  @binary [:and, :or, :==, :!=, :===, :!==, :<, :<=, :>, :>=, :+, :-, :*, :/, :div, :rem] ++
            [:&&&, :|||, :<<<, :>>>, :band, :bor, :bxor, :bsl, :bsr]

  @unary [:not, :+, :-, :abs, :bnot, :bit_size, :byte_size, :hd, :tl, :length, :map_size, :node] ++
           [:round, :trunc, :is_atom, :is_binary, :is_float] ++
           [:is_function, :is_integer, :is_list, :is_map, :is_number, :is_pid, :is_port] ++
           [:is_reference, :is_tuple]

  @doc false
  # The code that makes the struct.
  @spec compile(Macro.t(), Macro.t(), Macro.Env.t()) :: Macro.t()
  def compile(table, condition, env) do
    {module, attributes} = table!(table, env)
    variables = Remnesia.Table.Definition.build_map(attributes)
    head = module |> Remnesia.Table.Definition.build_base(attributes) |> Macro.escape()
    guard = guard(condition, %{table: module, names: attributes, variables: variables, env: env})

    quote do
      %unquote(__MODULE__){
        table: unquote(module),
        spec: [{unquote(head), [unquote(guard)], [:"$_"]}]
      }
    end
  end

  # The attributes are compiled in, so whoever uses them is compiled again when they change: an alias that is expanded
  # outside of a function is such a dependency.
  defp table!(table, env) do
    module = Macro.expand(table, %{env | function: nil})

    cond do
      not is_atom(module) ->
        refuse(env, "expected the name of a table module, got: #{Macro.to_string(table)}")

      module == env.module and Module.open?(module) ->
        {module, Module.get_attribute(module, :remnesia_attributes) || no_table(env, module)}

      Code.ensure_compiled(module) == {:module, module} and table?(module) ->
        {module, module.__info__().attributes}

      true ->
        no_table(env, module)
    end
  end

  defp table?(module),
    do: function_exported?(module, :__info__, 0) and match?(%{attributes: _}, module.__info__())

  defp no_table(env, module), do: refuse(env, "#{inspect(module)} is not a Remnesia table")

  # --- from Elixir to guards; all of it as quoted code ---

  defp guard({:^, _, [value]}, _), do: {:const, value}

  defp guard({name, meta, context}, at) when is_atom(name) and is_atom(context),
    do: attribute(name, meta, at)

  defp guard({:__block__, _, [one]}, at), do: guard(one, at)
  defp guard({:is_nil, _, [value]}, at), do: call(:"=:=", [guard(value, at), nil])

  # Specifications know no such function.
  defp guard({:is_boolean, _, [value]}, at), do: member(guard(value, at), [true, false], at)

  defp guard({:in, _, [value, list]}, at), do: member(guard(value, at), list, at)

  defp guard({:not, _, [{:in, _, [value, list]}]}, at),
    do: call(:not, [member(guard(value, at), list, at)])

  defp guard({:elem, _, [tuple, index]}, at) when is_integer(index),
    do: call(:element, [index + 1, guard(tuple, at)])

  defp guard({:elem, _, [tuple, index]}, at),
    do: call(:element, [call(:+, [guard(index, at), 1]), guard(tuple, at)])

  defp guard({:is_map_key, _, [map, key]}, at),
    do: call(:is_map_key, [guard(key, at), guard(map, at)])

  defp guard({{:., _, [:erlang, :map_get]}, _, [key, map]}, at),
    do: call(:map_get, [guard(key, at), guard(map, at)])

  defp guard({{:., _, [{:__aliases__, _, [:String]}, :starts_with?]}, _, [value, prefix]}, at),
    do: prefix(guard(value, at), prefix, at)

  # A field of a map in an attribute, as in a guard of Elixir.
  defp guard({{:., _, [{name, _, context} = map, key]}, _, []}, at)
       when is_atom(name) and is_atom(context) and is_atom(key),
       do: call(:map_get, [key, guard(map, at)])

  defp guard({:self, _, []}, _), do: {:{}, [], [:self]}
  defp guard({:node, _, []}, _), do: {:{}, [], [:node]}

  defp guard({operator, _, [left, right]}, at) when operator in @binary,
    do: call(Map.get(@renamed, operator, operator), [guard(left, at), guard(right, at)])

  defp guard({sign, _, [number]}, _) when sign in [:-, :+] and is_number(number),
    do: if(sign == :-, do: -number, else: number)

  defp guard({:tuple_size, _, [operand]} = code, at) do
    if String.to_integer(System.otp_release()) < 26,
      do:
        refuse(at.env, "#{Macro.to_string(code)}: specifications know tuple_size from OTP 26 on"),
      else: call(:tuple_size, [guard(operand, at)])
  end

  defp guard({operator, _, [operand]}, at) when operator in @unary,
    do: call(operator, [guard(operand, at)])

  defp guard({:__aliases__, _, _} = alias, at), do: Macro.expand(alias, at.env)
  defp guard({:__MODULE__, _, _}, at), do: at.env.module
  defp guard({:{}, _, values}, at), do: tuple(values, at)
  defp guard({left, right}, at), do: tuple([left, right], at)
  defp guard(list, at) when is_list(list), do: Enum.map(list, &element(&1, at))

  defp guard({form, _, parts} = code, at) when form in [:%{}, :<<>>] do
    if not Macro.quoted_literal?(parts),
      do: refuse(at.env, "#{Macro.to_string(code)} is no constant: if it is a value, pin it")

    {:const, code}
  end

  defp guard({:@, _, [{name, _, context}]} = attribute, _)
       when is_atom(name) and is_atom(context),
       do: {:const, attribute}

  defp guard(value, _) when is_number(value) or is_binary(value), do: value

  # Atoms that a specification takes for variables are written as constants.
  defp guard(value, _) when is_atom(value),
    do: if(match?("$" <> _, Atom.to_string(value)), do: {:const, value}, else: value)

  defp guard({operator, _, [_, _]} = code, at) when operator in [:&&, :||],
    do:
      refuse(
        at.env,
        "write #{if operator == :&&, do: "and", else: "or"} instead of #{operator}: #{Macro.to_string(code)}"
      )

  defp guard(code, at) do
    with {sigil, _, _} when is_atom(sigil) <- code,
         "sigil_" <> _ <- Atom.to_string(sigil),
         expanded when expanded != code <- Macro.expand(code, at.env),
         true <- Macro.quoted_literal?(expanded) do
      {:const, expanded}
    else
      _other -> not_a_condition(code, at)
    end
  end

  defp not_a_condition(code, at) do
    refuse(
      at.env,
      "#{Macro.to_string(code)} cannot be part of a condition; " <>
        "if it is a value, pin it: ^(#{Macro.to_string(code)})"
    )
  end

  defp element({:|, _, [head, tail]}, at), do: {:|, [], [guard(head, at), guard(tail, at)]}
  defp element(value, at), do: guard(value, at)

  # A tuple is written as a tuple in a tuple.
  defp tuple(values, at),
    do: {:{}, [], [{:{}, [], Enum.map(values, &guard(&1, at))}]}

  defp call(operator, operands), do: {:{}, [], [operator | operands]}

  # In a list or range what is pinned is a value, and so is everything else: there are no attributes in it.
  defp member(value, {:^, _, [list]}, _), do: later(:member, value, list)

  defp member(value, list, at) when is_list(list),
    do: sooner(:member, value, Enum.map(list, &constant(&1, at)))

  defp member(value, {range, meta, ends}, at) when range in [:.., :"..//"],
    do: sooner(:member, value, {range, meta, Enum.map(ends, &constant(&1, at))})

  defp member(_value, other, at) do
    refuse(
      at.env,
      "in takes a list, a range or a pinned value, got: #{Macro.to_string(other)}"
    )
  end

  defp constant({:^, _, [value]}, _at), do: {:pinned, value}

  defp constant(value, at) do
    if Macro.quoted_literal?(value) or match?({:-, _, [n]} when is_number(n), value),
      do: Macro.expand(value, at.env),
      else:
        refuse(at.env, "expected a constant or a pinned value, got: #{Macro.to_string(value)}")
  end

  defp prefix(value, prefix, _at) when is_binary(prefix), do: sooner(:prefix, value, prefix)
  defp prefix(value, {:^, _, [prefix]}, _at), do: later(:prefix, value, prefix)

  defp prefix(_value, prefix, at) do
    refuse(
      at.env,
      "String.starts_with? takes a string or a pinned value, got: #{Macro.to_string(prefix)}"
    )
  end

  # Now, if nothing has to be waited for.
  defp sooner(function, value, operand) do
    {operand, pinned?} =
      Macro.prewalk(operand, false, fn
        {:pinned, value}, _ -> {value, true}
        code, pinned? -> {code, pinned?}
      end)

    if pinned? or not is_atom(value) do
      later(function, value, operand)
    else
      {operand, _} = Code.eval_quoted(operand)
      Macro.escape(apply(Spec, function, [value, operand]))
    end
  end

  defp later(function, value, operand),
    do: quote(do: unquote(Spec).unquote(function)(unquote(value), unquote(operand)))

  defp attribute(name, _meta, %{variables: variables} = at) do
    case variables do
      %{^name => variable} ->
        variable

      _unknown ->
        refuse(
          at.env,
          "unknown field #{name} of #{inspect(at.table)}, known ones are #{Enum.join(at.names, ", ")}; " <>
            "if it is a variable, pin it: ^#{name}"
        )
    end
  end

  @spec refuse(Macro.Env.t(), String.t()) :: no_return
  defp refuse(env, text),
    do: raise(CompileError, file: env.file, line: env.line, description: text)
end
