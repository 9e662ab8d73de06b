defmodule RemnesiaTest do
  use ExUnit.Case

  import Example, only: [exit_of: 1, quiet: 1]
  import ExUnit.CaptureIO

  doctest Remnesia

  setup :quiet

  setup do
    on_exit(fn ->
      Remnesia.start()
      Remnesia.Table.delete(Example.User)
    end)
  end

  test "start and stop say what they find" do
    assert Remnesia.start() == {:error, {:already_started, :remnesia}}
    assert Remnesia.stop() == :ok
    assert Remnesia.stop() == {:error, {:not_started, :remnesia}}
    assert Remnesia.start() == :ok
  end

  test "tables are gone after a stop, and the process can go on" do
    Remnesia.Table.create!(Example.User)
    Remnesia.transaction!(fn -> Remnesia.Query.write(%Example.User{id: 1}) end)
    Remnesia.stop()
    assert Remnesia.transaction(fn -> :x end) == {:error, {:node_not_running, node()}}
    Remnesia.start()
    assert Remnesia.transaction(fn -> :x end) == {:ok, :x}

    assert Remnesia.transaction(fn -> Remnesia.Query.read(Example.User, 1) end) ==
             {:error, {:no_exists, Example.User}}

    Remnesia.Table.create!(Example.User)
    assert Remnesia.transaction(fn -> Remnesia.Query.read(Example.User, 1) end) == {:ok, nil}
    Remnesia.Table.delete!(Example.User)
  end

  test "a transaction that is cut off by a stop fails" do
    Remnesia.Table.create!(Example.User)

    assert Remnesia.transaction(fn ->
             Remnesia.stop()
             Remnesia.Query.read(Example.User, 1)
           end) == {:error, {:node_not_running, node()}}
  end

  describe "add_nodes" do
    test "raises for what is no node" do
      for nodes <- [123, ["a@b"], [:a@b, "c@d"]] do
        assert_raise Remnesia.Error, "Invalid Node list passed", fn ->
          Remnesia.add_nodes(nodes)
        end
      end
    end

    test "leaves out what cannot be reached" do
      assert Remnesia.add_nodes(:nonexistent@host) == {:ok, []}
      assert Remnesia.add_nodes([:nonexistent@host, node()]) == {:ok, [node()]}
    end

    test "needs a running database" do
      Remnesia.stop()
      assert Remnesia.add_nodes(:nonexistent@host) == {:error, {:node_not_running, node()}}
    end
  end

  describe "system" do
    test "answers items of a running and a stopped database" do
      assert Remnesia.system(:is_running) == :yes
      assert Remnesia.system(:tables) == [:schema]
      assert Remnesia.system(:db_nodes) == [node()]
      assert Remnesia.system(:running_db_nodes) == [node()]
      assert Remnesia.system(:use_dir) == false
      assert Remnesia.system(:access_module) == :remnesia
      all = Remnesia.system()
      assert all[:is_running] == :yes
      assert all == Remnesia.system(:all)

      Remnesia.stop()
      assert Remnesia.system(:is_running) == :no
      assert Remnesia.system(:running_db_nodes) == []

      assert exit_of(fn -> Remnesia.system(:tables) end) ==
               {:exit, {:aborted, {:node_not_running, node()}}}

      assert Remnesia.system()[:is_running] == :no
    end

    test "exits for an unknown item" do
      assert exit_of(fn -> Remnesia.system(:bogus) end) == {:exit, {:aborted, {:badarg, :bogus}}}
      assert exit_of(fn -> Remnesia.system("x") end) == {:exit, {:aborted, {:badarg, "x"}}}
    end
  end

  test "info prints Mnesia's lines" do
    Remnesia.Table.create!(Example.User)
    output = capture_io(fn -> assert Remnesia.info() == :ok end)
    assert output =~ ~r/'Elixir.Example.User'\s*: with 0\s+records occupying \d+\s+words of mem/
    assert output =~ ~r/Directory ".*" is NOT used/
    assert output =~ "ram_copies         = ['Elixir.Example.User',schema]"
    assert output =~ "disc_copies        = []"
    Remnesia.stop()

    assert capture_io(fn -> assert Remnesia.info() == :ok end) =~
             "stopped db nodes   = [#{node()}]"
  end

  test "wait is that of Table" do
    assert Remnesia.wait([], 0) == :ok
    assert Remnesia.wait(Example.User, 0) == {:timeout, [Example.User]}
  end
end
