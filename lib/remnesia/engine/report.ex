defmodule Remnesia.Engine.Report do
  @moduledoc false

  # What info/0 and schema/0,1 print: Mnesia's layout, since programs read it ("Directory ... is used").

  alias Remnesia.Engine.Local.Info
  alias Remnesia.Native

  @doc "The state of the system, printed."
  @spec info() :: :ok
  def info do
    running = Info.system(:is_running) == :yes
    {held, queue} = if running, do: locks(), else: {[], []}
    if running, do: active_tables()

    print(~c"===> System info in version ~tp, debug level = ~w <===~n", [
      Info.system(:version),
      Info.system(:debug)
    ])

    print(~c"~w. Directory ~tp is ~tsused.~n", [
      Info.system(:schema_location),
      Info.system(:directory),
      if(Info.system(:use_dir), do: ~c"", else: ~c"NOT ")
    ])

    print(~c"use fallback at restart = ~w~n", [Info.system(:fallback_activated)])
    print(~c"running db nodes   = ~tw~n", [Info.system(:running_db_nodes)])

    print(~c"stopped db nodes   = ~tw ~n", [
      Info.system(:db_nodes) -- Info.system(:running_db_nodes)
    ])

    if running do
      storage()
      transactions(held, queue)
    end

    :ok
  end

  # No transaction here is anybody else's, or waits for what another node decides.
  defp locks do
    {held, queue} = {Info.system(:held_locks), Info.system(:lock_queue)}
    print(~c"---> Processes holding locks <--- ~n", [])
    for lock <- held, do: print(~c"Lock: ~tp~n", [lock])
    print(~c"---> Processes waiting for locks <--- ~n", [])

    for {item, kind, _pid, tid, owner} <- queue do
      print(~c"Tid ~tp waits for ~tp lock on oid ~tp owned by ~tp ~n", [tid, kind, item, owner])
    end

    print(~c"---> Participant transactions <--- ~n", [])
    print(~c"---> Coordinator transactions <---~n", [])
    for {serial, pid, _} <- Info.system(:transactions), do: print(~c"Tid: ~w ~w~n", [serial, pid])
    print(~c"---> Uncertain transactions <--- ~n", [])
    {held, queue}
  end

  defp transactions(held, queue) do
    counts =
      ~w(transaction_commits transaction_failures transaction_restarts transaction_log_writes)a

    print(
      ~c"~w transactions committed, ~w aborted, ~w restarted, ~w logged to disc~n",
      Enum.map(counts, &Info.system/1)
    )

    print(~c"~w held locks, ~w in queue; ~w local transactions, ~w remote~n", [
      length(held),
      length(queue),
      length(Info.system(:transactions)),
      0
    ])

    print(~c"~w transactions waits for other nodes: ~tp~n", [0, []])
  end

  defp active_tables do
    print(~c"---> Active tables <--- ~n", [])

    for table <- Info.system(:tables) do
      name = table |> inspect_erlang() |> String.pad_trailing(15)
      arguments = [name, Info.table(table, :size), Info.table(table, :memory)]
      print(~c"~ts: with ~-8w records occupying ~-8w words of mem~n", arguments)
    end
  end

  defp storage do
    tables = Enum.sort(Info.system(:tables))
    print(~c"master node tables = ~tw~n", [Info.system(:master_node_tables)])
    print(~c"remote             = ~tw~n", [[]])
    by_storage = Enum.group_by(tables, &Info.table(&1, :storage_type))

    for {storage, text} <- [
          ram_copies: ~c"ram_copies         = ~tw~n",
          disc_copies: ~c"disc_copies        = ~tw~n",
          disc_only_copies: ~c"disc_only_copies   = ~tw~n"
        ],
        do: print(text, [Map.get(by_storage, storage, [])])

    for {storage, tables} <- Enum.sort(by_storage),
        do: print(~c"~tw = ~tw~n", [[{node(), storage}], tables])
  end

  @doc "The definition of every table, printed."
  @spec schema() :: :ok | no_return
  def schema do
    if not Native.running(), do: exit({:aborted, {:node_not_running, node()}})
    :tables |> Info.system() |> Enum.sort() |> Enum.each(&schema/1)
  end

  @doc "The definition of one table, printed."
  @spec schema(atom) :: :ok | no_return
  def schema(table) do
    if not Native.running(), do: exit({:aborted, {:no_exists, table, :all}})
    print(~c"-- Properties for ~tw table --- ~n", [table])
    if table in Info.system(:tables), do: properties(table)
    print(~c"~n", [])
  end

  # Mnesia prints the type by an older name, and leaves the cstruct out.
  defp properties(table) do
    table
    |> Info.table(:all)
    |> Enum.map(fn {item, value} -> {if(item == :type, do: :setorbag, else: item), value} end)
    |> List.keydelete(:cstruct, 0)
    |> Enum.sort()
    |> Enum.each(fn {item, value} -> print(~c"~-20tw -> ~tp~n", [item, value]) end)
  end

  defp inspect_erlang(term), do: ~c"~tw" |> :io_lib.format([term]) |> to_string()

  defp print(format, arguments), do: :io.format(format, arguments)
end
