defmodule Soak do
  @moduledoc false

  # Everything at once: workers of all kinds on tables of all types and storages, while the schema changes, backups are made and read, processes are killed
  # and, between two phases, the database is stopped and started. After each phase nobody is at work, and what must hold is looked at.
  #
  # Soak.Tables has the tables and what must hold, Soak.Work the workers, Soak.Changes those who change the schema, Soak.Copies backups.

  alias Soak.{Changes, Copies, Mirror, Tables, Work}

  @killed_every 4

  # Role, how many, may be killed.
  @roles [
    {&Work.transfer/1, 26, true},
    {&Work.transfer/1, 4, false},
    {&Work.count_all/1, 3, true},
    {&Work.look/1, 6, true},
    {&Work.counter/1, 5, true},
    {&Work.mirrored/1, 6, false},
    {&Work.person/1, 4, true},
    {&Work.subscriber/1, 2, true},
    {&Work.temporary/1, 3, true},
    {&Changes.bank/1, 1, false},
    {&Changes.bank/1, 1, true},
    {&Changes.others/1, 1, true},
    {&Copies.run/1, 1, false},
    {&Copies.snapshot/1, 1, true}
  ]

  @doc "How many processes work."
  def processes, do: @roles |> Enum.map(&elem(&1, 1)) |> Enum.sum()

  @doc "Runs phases of so many milliseconds; gives what was found wrong, counts and the memory after each phase."
  def run(phases, milliseconds, directory) do
    soak = %{
      stop: :atomics.new(1, []),
      done: :counters.new(length(@roles), [:write_concurrency]),
      counters: :counters.new(4, [:write_concurrency]),
      wrong: :ets.new(:soak, [:public, :bag]),
      directory: directory
    }

    Tables.create()

    memory =
      for n <- 1..phases do
        mirrors = for table <- Tables.mirrored(), do: Mirror.start(table)
        phase(soak, milliseconds)
        check(soak, "after phase #{n}", fn -> Tables.check(soak, mirrors) end)
        Enum.each(mirrors, &Mirror.stop/1)
        check(soak, "restart #{n}", fn -> Tables.restart() end)
        Float.round(Stress.resident(), 1)
      end

    done =
      for {{role, _, _}, n} <- Enum.with_index(@roles, 1),
          do: {Function.info(role)[:name], :counters.get(soak.done, n)}

    %{wrong: :ets.tab2list(soak.wrong), done: done, memory: memory}
  end

  @doc "Notes something that must not be."
  def wrong(soak, what, details) do
    # Enough is enough.
    if :ets.info(soak.wrong, :size) < 50, do: :ets.insert(soak.wrong, {what, details})
    :ok
  end

  defp check(soak, when_, fun) do
    for {what, details} <- fun.(), do: wrong(soak, {when_, what}, details)
  end

  defp phase(soak, milliseconds) do
    :atomics.put(soak.stop, 1, 0)
    parent = self()

    spawn_link(fn -> keep_going(soak, parent, milliseconds) end)
    |> Process.monitor()
    |> then(&receive do: ({:DOWN, ^&1, _, _, _} -> :ok))
  end

  # Starts whoever is killed again, until the time is over.
  defp keep_going(soak, _parent, milliseconds) do
    Process.flag(:trap_exit, true)
    Process.send_after(self(), :over, milliseconds)
    Process.send_after(self(), :kill, @killed_every)

    workers =
      for {{role, count, mortal?}, n} <- Enum.with_index(@roles, 1),
          _ <- 1..count,
          into: %{},
          do: start(soak, {role, n, mortal?})

    workers = go_on(soak, workers)
    :atomics.put(soak.stop, 1, 1)
    finish(soak, workers, 120_000)
  end

  defp start(soak, {role, n, _mortal?} = worker),
    do: {spawn_link(fn -> loop(soak, role, n) end), worker}

  defp loop(soak, role, n) do
    if :atomics.get(soak.stop, 1) == 0 do
      role.(soak)
      :counters.add(soak.done, n, 1)
      loop(soak, role, n)
    end
  end

  defp go_on(soak, workers) do
    receive do
      :over ->
        workers

      :kill ->
        mortal = for {pid, {_, _, true}} <- workers, do: pid
        if mortal != [], do: Process.exit(Enum.random(mortal), :kill)
        Process.send_after(self(), :kill, @killed_every)
        go_on(soak, workers)

      {:EXIT, pid, reason} when is_map_key(workers, pid) ->
        {worker, workers} = Map.pop(workers, pid)
        died(soak, worker, reason)
        {pid, worker} = start(soak, worker)
        go_on(soak, Map.put(workers, pid, worker))

      {:EXIT, _other, _reason} ->
        go_on(soak, workers)
    end
  end

  defp died(_soak, _worker, reason) when reason in [:killed, :normal], do: :ok
  defp died(soak, {role, _, _}, reason), do: wrong(soak, {:died, role}, reason)

  defp finish(_soak, workers, _patience) when workers == %{}, do: :ok

  defp finish(soak, workers, patience) do
    receive do
      {:EXIT, pid, reason} when is_map_key(workers, pid) ->
        {worker, workers} = Map.pop(workers, pid)
        died(soak, worker, reason)
        finish(soak, workers, patience)

      _other ->
        finish(soak, workers, patience)
    after
      patience ->
        for {pid, {role, _, _}} <- workers do
          wrong(soak, {:hangs, role}, Process.info(pid, [:current_stacktrace, :messages]))
          Process.exit(pid, :kill)
        end
    end
  end
end
