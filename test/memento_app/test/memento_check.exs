defmodule MementoCheck do
  use ExUnit.Case

  import Check
  import ExUnit.CaptureIO

  alias MementoApp.Movie

  setup :tables
  setup do: on_exit(fn -> Memento.start() end)

  test "start and stop name mnesia" do
    assert Memento.start() == {:error, {:already_started, :mnesia}}
    assert Memento.stop() == :ok
    assert Memento.stop() == {:error, {:not_started, :mnesia}}
    assert Memento.transaction(fn -> :x end) == {:error, {:node_not_running, node()}}
    assert Memento.Table.create(Movie) == {:error, {:node_not_running, node()}}
    assert Memento.wait(Movie, 0) == {:error, {:node_not_running, node()}}

    assert_raise Memento.Error, ~r/^Transaction Failed with: {:node_not_running/, fn ->
      Memento.transaction!(fn -> 1 end)
    end

    assert Memento.start() == :ok
    assert Memento.transaction(fn -> :x end) == {:ok, :x}
  end

  test "add_nodes" do
    assert Memento.add_nodes(:nobody@nowhere) == {:ok, []}
    assert Memento.add_nodes([]) == {:ok, []}

    for nodes <- ["a@b", [:a@b, 1]] do
      assert_raise Memento.Error, "Invalid Node list passed", fn -> Memento.add_nodes(nodes) end
    end
  end

  test "info and system" do
    assert capture_io(fn -> assert Memento.info() == :ok end) =~ "Elixir.MementoApp.Movie"
    assert Memento.system(:is_running) == :yes
    assert Memento.system()[:is_running] == Memento.system(:all)[:is_running]
    assert exit_of(fn -> Memento.system(:bogus) end) == {:aborted, {:badarg, :bogus}}
  end

  test "wait" do
    assert Memento.wait(Movie) == :ok
    assert Memento.wait([Movie, Missing], 0) == {:timeout, [Missing]}
    assert Memento.wait(Movie, :soon) == {:error, {:badarg, [Movie], :soon}}
  end

  test "transaction" do
    assert Memento.transaction(fn -> 1 end) == {:ok, 1}
    assert Memento.transaction(fn -> :ok end) == :ok
    assert Memento.transaction!(fn -> 1 end) == 1
  end

  test "a library on the same database" do
    :ok = JobQueue.start()
    :ok = JobQueue.start()
    assert %JobQueue.Job{id: 1, status: :queued} = JobQueue.push(:mail, [1])
    assert %JobQueue.Job{id: 2} = JobQueue.push(:mail, [2])
    assert %JobQueue.Job{arguments: [1], status: :taken} = JobQueue.take()
    assert %JobQueue.Job{arguments: [2]} = JobQueue.take()
    assert JobQueue.take() == nil
    assert Memento.Table.delete(JobQueue.Job) == :ok
  end
end
