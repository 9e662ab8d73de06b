defmodule Remnesia.MnesiaTest do
  use ExUnit.Case

  require Remnesia.Mnesia
  alias Remnesia.Mnesia

  setup do
    on_exit(&Remnesia.start/0)
  end

  test "call goes to the engine" do
    assert Mnesia.call(:system_info, [:is_running]) == :yes
  end

  test "call_and_catch raises exits" do
    assert Mnesia.call_and_catch(:system_info, [:is_running]) == :yes

    assert_raise Remnesia.MnesiaException, ~r/tried to perform op on non-existing/i, fn ->
      Mnesia.call_and_catch(:table_info, [:t, :all])
    end

    Remnesia.stop()

    assert_raise Remnesia.MnesiaException, ~r/not running/i, fn ->
      Mnesia.call_and_catch(:schema)
    end
  end

  test "results" do
    assert Mnesia.handle_result(:ok) == :ok
    assert Mnesia.handle_result({:atomic, :ok}) == :ok
    assert Mnesia.handle_result({:atomic, 1}) == {:ok, 1}
    assert Mnesia.handle_result({:error, :r}) == {:error, :r}
    assert Mnesia.handle_result({:aborted, "r"}) == {:error, "r"}
    assert Mnesia.handle_result({:aborted, {:no_exists, :t}}) == {:error, {:no_exists, :t}}

    assert Mnesia.handle_result({:aborted, {:transaction_aborted, "x"}}) ==
             {:error, {:transaction_aborted, "x"}}

    assert catch_throw(Mnesia.handle_result({:aborted, {:throw, 1}})) == 1
  end

  test "exceptions are raised again, reasons that only look like them are not" do
    stacktrace = [{:m, :f, 1, []}]

    assert_raise RuntimeError, "x", fn ->
      Mnesia.handle_result({:aborted, {%RuntimeError{message: "x"}, stacktrace}})
    end

    assert_raise ArithmeticError, fn ->
      Mnesia.handle_result({:aborted, {:badarith, stacktrace}})
    end

    assert_raise ArgumentError, fn ->
      Mnesia.handle_result({:aborted, {:badarg, [:t, [:spec]]}})
    end

    assert Mnesia.handle_result({:aborted, {:my, stacktrace}}) == {:error, {:my, stacktrace}}

    assert Mnesia.handle_result({:aborted, {:noproc, {GenServer, :call, []}}}) ==
             {:error, {:noproc, {GenServer, :call, []}}}
  end
end
