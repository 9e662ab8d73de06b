defmodule Remnesia.CrashTest do
  use ExUnit.Case, async: false

  # A VM writes, tells what was answered, and dies. Whatever it dies of, the next one opens at once and finds every answered commit, whole
  # transactions only, in the order of their commits, and indexes that say what the tables say.

  alias Remnesia.{Engine, Native}

  @moduletag timeout: 600_000

  # In every transaction a counter goes up, which orders them all; the row of that number says who it was.
  @writer """
  alias Remnesia.Engine
  [dir, ending] = System.argv()
  Application.put_env(:remnesia, :dir, dir)
  {:ok, _} = Application.ensure_all_started(:remnesia)
  :ok = Engine.wait_for_tables([:counter, :rows, :big, :bag, :dirty], 60_000)

  commit = fn who, fun ->
    Engine.transaction(fn ->
      [{:counter, :n, n}] = Engine.read(:counter, :n, :write)
      Engine.write(:counter, {:counter, :n, n + 1}, :write)
      Engine.write(:rows, {:rows, n + 1, who, rem(n, 5)}, :write)
      fun.(n + 1)
      n + 1
    end)
  end

  say = fn what, n -> IO.binwrite("\#{what} \#{n}\\n") end

  small = fn _ ->
    {:atomic, n} = commit.(:small, fn n -> Engine.write(:bag, {:bag, rem(n, 7), n}, :write) end)
    say.("commit", n)
  end

  synced = fn _ ->
    {:atomic, n} = Engine.sync_transaction(fn -> {:atomic, n} = commit.(:synced, fn _ -> :ok end); n end)
    say.("commit", n)
  end

  # Large commits take another way into the log; each replaces the rows of the one before.
  large = fn i ->
    {:atomic, n} = commit.(:large, fn n -> for j <- 1..(500 + rem(i, 3) * 3_000), do: Engine.write(:big, {:big, j, n, rem(j, 3)}, :write) end)
    say.("commit", n)
  end

  dirty = fn i ->
    :ok = Engine.dirty_write(:dirty, {:dirty, rem(i, 10), i})
    say.("dirty", i)
  end

  loop = fn loop, work, i, to -> if i <= to, do: (work.(i); loop.(loop, work, i + 1, to)), else: :ok end
  first = case Engine.dirty_read(:dirty, :next) do [{_, _, i}] -> i; [] -> 1 end
  to = if ending in ["kill", "convert"], do: 1_000_000_000, else: 300

  if ending == "kill", do: Process.flag(:trap_exit, true)
  works = [small, small, synced, large, fn i -> dirty.(first + i) end]
  tasks = for work <- works, do: Task.async(fn -> loop.(loop, work, 1, if(work == large, do: min(to, 4_000), else: to)) end)
  # Tables in memory are not durable: the writer's stay on disc, one way or the other. One that nobody writes goes all ways.
  convert = fn ->
    around = [:ram_copies, :disc_copies, :disc_only_copies, :ram_copies, :disc_only_copies, :disc_copies]

    Stream.iterate(0, &(&1 + 1))
    |> Stream.each(fn n ->
      table = Enum.at([:rows, :big, :bag, :dirty], rem(n, 4))
      now = Engine.table_info(table, :storage_type)
      next = if now == :disc_copies, do: :disc_only_copies, else: :disc_copies
      {:atomic, :ok} = Engine.change_table_copy_type(table, node(), next)
      fixed = Enum.at(around, rem(n, 6))
      if Engine.table_info(:fixed, :storage_type) != fixed, do: {:atomic, :ok} = Engine.change_table_copy_type(:fixed, node(), fixed)
    end)
    |> Stream.run()
  end

  :ok = Engine.wait_for_tables([:fixed], 60_000)
  if ending == "convert", do: Task.async(convert)
  IO.binwrite("ready\\n")
  # A VM that is being stopped takes the database away: that is no reason for the script to halt it meanwhile.
  try do
    Task.await_many(tasks, :infinity)
  catch
    :exit, _reason when ending == "kill" -> Process.sleep(:infinity)
  end

  IO.binwrite("done\\n")
  if ending == "halt", do: System.halt()
  if ending == "stop", do: (:init.stop(); Process.sleep(:infinity))
  """

  setup context do
    dir = Remnesia.OnDisc.directory()
    :ok = Remnesia.Schema.create([node()])
    :ok = Remnesia.start()
    disc = [disc_copies: [node()]]
    {:atomic, :ok} = Engine.create_table(:counter, disc)

    {:atomic, :ok} =
      Engine.create_table(:rows, disc ++ [attributes: [:n, :who, :rest], index: [:who, :rest]])

    {:atomic, :ok} =
      Engine.create_table(
        :big,
        disc ++ [type: :ordered_set, attributes: [:j, :n, :rest], index: [:rest]]
      )

    {:atomic, :ok} = Engine.create_table(:bag, disc ++ [type: :bag])
    {:atomic, :ok} = Engine.create_table(:dirty, disc)

    {:atomic, :ok} = Engine.create_table(:fixed, disc ++ [index: [:val]])
    fix()

    # The same from disc alone: each test of one kind of storage is one of the other, by a tag.
    if storage = context[:storage] do
      for table <- [:rows, :big, :bag, :dirty],
          do: {:atomic, :ok} = Engine.change_table_copy_type(table, node(), storage)
    end

    {:atomic, :ok} =
      Engine.transaction(fn -> Engine.write(:counter, {:counter, :n, 0}, :write) end)

    :ok = Remnesia.stop()
    %{dir: dir}
  end

  test("killed at any time", %{dir: dir}, do: deaths(dir, 20))

  @tag storage: :disc_only_copies
  test("killed at any time, with tables on disc alone", %{dir: dir}, do: deaths(dir, 20))

  # While it writes, its tables go from one storage to the next.
  @tag storage: :disc_only_copies, converting: true
  test "killed at any time, and in the middle of conversions", %{dir: dir} do
    types = for _ <- 1..15, do: deaths(dir, 1, "convert")
    assert types |> List.flatten() |> Enum.uniq() |> length() > 1
  end

  @tag :long
  @tag timeout: 7_200_000
  test("killed at any time, again and again", %{dir: dir}, do: deaths(dir, 1_000))

  test "halted, and at the end of its script", %{dir: dir} do
    for ending <- ["halt", "end", "stop"] do
      answered = run(dir, ending, fn _port, _pid -> :ok end)
      assert answered.done
      check(answered)
    end
  end

  test "ended by Ctrl-C, and by a signal that stops the VM, while it writes", %{dir: dir} do
    signal = fn name, pid ->
      Process.sleep(100 + :rand.uniform(300))
      {_, 0} = System.cmd("kill", ["-#{name}", "#{pid}"])
    end

    # Ctrl-C asks what to do, and "a" is abort. Who reads its input until then may take the answer.
    interrupt = fn port, pid ->
      signal.("INT", pid)
      Port.command(port, "a\n")
      {:when_silent, "a\n"}
    end

    commits =
      for kill <- [interrupt, fn _port, pid -> signal.("TERM", pid) end, interrupt] do
        # 1: writers that found the database stopped.
        answered = run(dir, "kill", kill, [0, 1, 130, 143])
        check(answered)
        answered.commits
      end

    # On a busy machine one may be ended before it wrote.
    assert List.flatten(commits) != []
  end

  # Answers the storage types that tables were found in.
  defp deaths(dir, count, ending \\ "kill") do
    answered =
      for _ <- 1..count do
        answered =
          run(dir, ending, fn _port, pid ->
            Process.sleep(:rand.uniform(400))
            {_, 0} = System.cmd("kill", ["-9", "#{pid}"])
          end)

        {length(answered.commits), check(answered)}
      end

    commits = answered |> Enum.map(&elem(&1, 0)) |> Enum.sum()
    IO.puts("\n    #{count} deaths, #{commits} commits answered before them")
    if ending == "kill", do: assert(commits > 10 * count)
    for {_commits, types} <- answered, do: types
  end

  # Runs the writer; `kill` is called once it writes. What it said until it was gone.
  defp run(dir, ending, kill, statuses \\ [0, 137]) do
    ebin = Path.join([Mix.Project.build_path(), "lib", "remnesia", "ebin"])
    elixir = System.find_executable("elixir")
    arguments = ["-pa", ebin, "-e", @writer, "--", dir, ending]

    port =
      Port.open({:spawn_executable, elixir}, [
        :binary,
        :exit_status,
        {:line, 1_000},
        args: arguments
      ])

    said = listen(port, kill, statuses, [], :nothing)

    numbers = fn what ->
      for <<^what::binary-size(7), n::binary>> <- said, do: String.to_integer(n)
    end

    %{
      commits: numbers.("commit "),
      dirty: for("dirty " <> n <- said, do: String.to_integer(n)),
      done: "done" in said
    }
  end

  defp listen(port, kill, statuses, said, answer) do
    receive do
      {^port, {:data, {:eol, "ready"}}} ->
        {:os_pid, pid} = Port.info(port, :os_pid)
        listen(port, kill, statuses, said, kill.(port, pid))

      {^port, {:data, {:eol, line}}} ->
        listen(port, kill, statuses, [line | said], answer)

      {^port, {:data, {:noeol, _cut}}} ->
        listen(port, kill, statuses, said, answer)

      {^port, {:exit_status, status}} ->
        if status not in statuses,
          do: flunk("the writer failed:\n" <> Enum.join(Enum.reverse(said), "\n"))

        said
    after
      2_000 ->
        with {:when_silent, line} <- answer, do: Port.command(port, line)
        listen(port, kill, statuses, said, answer)
    end
  end

  @fixed for i <- 1..2_000, do: {:fixed, i, rem(i, 7)}

  defp fix do
    {:atomic, :ok} =
      Engine.transaction(fn -> Enum.each(@fixed, &Engine.write(:fixed, &1, :write)) end)
  end

  defp check(answered) do
    :ok = Remnesia.start()
    assert :ok == Engine.wait_for_tables([:counter, :rows, :big, :bag, :dirty, :fixed], 60_000)

    # It was in memory, or it is whole.
    case {Engine.table_info(:fixed, :storage_type), Engine.table_info(:fixed, :size)} do
      {:ram_copies, 0} ->
        # The next VM is to find it.
        {:atomic, :ok} = Engine.change_table_copy_type(:fixed, node(), :disc_copies)
        fix()

      {_on_disc, 2_000} ->
        assert :fixed |> Engine.dirty_select([{:_, [], [:"$_"]}]) |> Enum.sort() == @fixed
    end

    for table <- Native.tables(), do: assert({table, Native.table_check(table)} == {table, :ok})

    # All answered commits, and a prefix of the order: the rows are 1 to n without a gap.
    [{:counter, :n, n}] = Engine.dirty_read(:counter, :n)
    assert n >= Enum.max([0 | answered.commits])
    rows = Engine.dirty_select(:rows, [{:_, [], [:"$_"]}])
    assert rows |> Enum.map(&elem(&1, 1)) |> Enum.sort() == Enum.to_list(1..n//1)

    # Transactions as a whole: the bag has the small ones' rows, and the large table is that of the last large ones.
    small = for {:rows, i, :small, _} <- rows, do: i

    assert :bag |> Engine.dirty_select([{{:bag, :_, :"$1"}, [], [:"$1"]}]) |> Enum.sort() ==
             Enum.sort(small)

    large = for({:rows, i, :large, _} <- rows, do: i) |> Enum.sort()
    big = Engine.dirty_select(:big, [{:_, [], [:"$_"]}])
    assert MapSet.subset?(MapSet.new(big, &elem(&1, 2)), MapSet.new(large))

    if large != [] do
      last = List.last(large)
      first_rows = for {:big, j, ^last, _} <- big, do: j
      assert length(first_rows) in [500, 3_500, 6_500]
      assert first_rows == Enum.to_list(1..length(first_rows))
    end

    by_index =
      for who <- [:small, :synced, :large], do: length(Engine.dirty_index_read(:rows, who, :who))

    assert Enum.sum(by_index) == n

    # The newest dirty writes: each of ten keys has what was answered last, or what came after it.
    for {key, i} <- Enum.reduce(Enum.sort(answered.dirty), %{}, &Map.put(&2, rem(&1, 10), &1)) do
      assert [{:dirty, ^key, found}] = Engine.dirty_read(:dirty, key)
      assert found >= i
    end

    # So that the numbers of the next run are greater.
    types = for table <- [:rows, :big, :bag, :fixed], do: Engine.table_info(table, :storage_type)
    newest = Enum.max([0 | Engine.dirty_select(:dirty, [{{:dirty, :_, :"$1"}, [], [:"$1"]}])])
    :ok = Engine.dirty_write(:dirty, {:dirty, :next, newest + 1})
    :ok = Remnesia.stop()
    types
  end
end
