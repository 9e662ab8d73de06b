defmodule Remnesia.Query.SpecFunctionsTest do
  use ExUnit.Case, async: true

  # What match specs may call differs between releases of OTP: ours take exactly what this VM's ETS takes, and answer the same.

  alias Remnesia.Native

  # All that some release takes, and names that none does.
  @names ~w(is_atom is_boolean is_float is_integer is_list is_number is_pid is_port is_reference is_tuple is_map is_binary)a ++
           ~w(is_bitstring is_function is_record is_map_key map_get map_size and or not xor andalso orelse abs element hd)a ++
           ~w(length node round size tuple_size byte_size bit_size binary_part tl trunc ceil floor float + - * / div rem)a ++
           ~w(band bor bxor bnot bsl bsr > >= < =< =:= == =/= /= self min max get_tcw is_seq_trace get_seq_token)a ++
           ~w(enabled message silent display process_dump return_trace is_exception is_nil tuple ++ -- ! setelement const)a

  @values [0, 0.0, -0.0, 1, 1.0, -1.5, 2.5, 1.0e300, 18_446_744_073_709_551_616, :a, true, nil] ++
            ["", "abc", <<5::3>>, [], [1], [1 | 2], [1, 2.0], {}, {:a}, {:a, 1, 2}, %{}] ++
            [%{1 => :int}, %{1.0 => :float, 0.0 => :zero}]

  test "functions and their numbers of arguments" do
    for name <- @names, count <- 0..5 do
      call = List.to_tuple([name | Enum.take([:"$1", 1, 2, 3, 4], count)])

      for spec <- [
            [{{:x, :"$1"}, [call], [:"$_"]}],
            [{{:x, :"$1"}, [], [call]}],
            [{{:x, :"$1"}, [{:not, call}], [{{call}}]}]
          ] do
        # Both alike: is it a spec, and if so, what comes of it?
        assert {spec, ours({:x, 5}, spec)} == {spec, ets({:x, 5}, spec)}
      end
    end
  end

  test "their values" do
    calls = for name <- @names, count <- 1..3, callable?(name, count), do: {name, count}
    assert length(calls) > 50

    for {name, count} <- calls, record <- records(count) do
      call = List.to_tuple([name | Enum.take([:"$1", :"$2", :"$3"], count)])
      head = List.to_tuple([:x | Enum.take([:"$1", :"$2", :"$3"], count)])

      for spec <- [
            [{head, [], [call]}],
            [{head, [call], [:yes]}],
            [{head, [{:==, call, 0}], [0]}]
          ] do
        {ours, ets} = {ours(record, spec), ets(record, spec)}
        # From OTP 27 on this tells 0.0 from -0.0; before, abs(-0.0) is -0.0 there and 0.0 here.
        assert ours === ets, inspect({spec, record, ours: ours, ets: ets})
      end
    end
  end

  test "closures in heads" do
    values = [0.0, -0.0, 1, 1.0, {0.0}, {-0.0}, [1 | -0.0], %{0.0 => -0.0}, %{-0.0 => 0.0}, :a]

    for a <- values, b <- values, {here, there} = {Nasty.closure(a), Nasty.closure(b)} do
      for {record, head} <- [
            {{:x, here}, {:x, there}},
            {{:x, {1, here}}, {:x, {:"$1", there}}},
            {{:x, [here | 2]}, {:x, [there | :"$1"]}}
          ] do
        spec = [{head, [], [true]}]
        assert {a, b, ours(record, spec)} == {a, b, ets(record, spec)}
      end
    end
  end

  # What runs only where something is traced has no value here.
  defp callable?(name, count) do
    call = List.to_tuple([name | Enum.take([:"$1", :"$2", :"$3"], count)])
    ets({:x, 1, 1, 1}, [{{:x, :"$1", :"$2", :"$3"}, [], [call]}]) != :error
  end

  defp records(1), do: for(a <- @values, do: {:x, a})
  defp records(2), do: for(a <- @values, b <- @values, do: {:x, a, b})

  defp records(3) do
    parts =
      for a <- ["abc", <<5::3>>, <<1, 5::3>>], b <- [0, 1], c <- [-1, 0, 1], do: {:x, a, b, c}

    any = for a <- @values, b <- Enum.take_random(@values, 4), c <- [0, 1, :a], do: {:x, a, b, c}
    parts ++ any
  end

  defp ours(record, spec) do
    case Native.spec_test(record, spec) do
      {:ok, value} -> {:ok, value}
      {:error, _text} -> :error
    end
  end

  defp ets(record, spec) do
    case :ets.match_spec_run([record], :ets.match_spec_compile(spec)) do
      [value] -> {:ok, value}
      [] -> {:ok, false}
    end
  rescue
    ArgumentError -> :error
  end
end
