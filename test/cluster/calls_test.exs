defmodule Remnesia.Cluster.CallsTest do
  # Every call that is about several nodes, the same program on two of ours and on two of stock Mnesia: the same answers, errors included, and the
  # same facts about every table on each node (Remnesia.Calls). The programs are test/cluster/calls/*.txt.
  use Remnesia.PeerCase, async: true

  alias Remnesia.Calls

  @programs Map.new(Path.wildcard(Path.join(__DIR__, "calls/*.txt")), fn path ->
              {Path.basename(path, ".txt"), Calls.lines(File.read!(path))}
            end)

  # What the inventory of Mnesia's functions says is about several nodes.
  @functions ~w(change_config lkill kill create_schema delete_schema create_table delete_table clear_table
                add_table_copy del_table_copy move_table_copy change_table_copy_type add_table_index del_table_index
                transform_table change_table_access_mode change_table_load_order change_table_majority change_table_frag
                wait_for_tables force_load_table set_master_nodes transaction sync_transaction async_dirty sync_dirty ets
                activity lock lock_table read_lock_table write_lock_table write s_write delete s_delete delete_object
                s_delete_object read wread match_object select all_keys first last next prev index_read
                index_match_object foldl foldr dirty_read dirty_write dirty_delete dirty_delete_object
                dirty_update_counter dirty_match_object dirty_select dirty_all_keys dirty_first dirty_last dirty_next
                dirty_prev dirty_slot dirty_index_read dirty_index_match_object activate_checkpoint
                deactivate_checkpoint backup backup_checkpoint traverse_backup restore install_fallback
                uninstall_fallback dump_log sync_log dump_tables subscribe table_info system_info)

  setup_all do
    place = Remnesia.PeerCase.place(__MODULE__)
    peers = [a, b, c, d] = Peers.start(place.names ++ [place.spare], place.options)
    for {x, y} <- [{a, b}, {c, d}], do: :pong = Peers.call(x, :net_adm, :ping, [elem(y, 1)])

    pairs =
      for {side, one, two} <- [{:remnesia, a, b}, {:mnesia, c, d}] do
        :ok = Peers.call(one, side, :create_schema, [[elem(one, 1), elem(two, 1)]])
        for peer <- [one, two], do: :ok = Peers.call(peer, side, :start, [])
        dir = Path.join(place.dir, "files-#{side}")
        File.mkdir_p!(dir)
        {side, one, two, String.to_charlist(dir)}
      end

    on_exit(fn -> Enum.each(peers, &Peers.stop/1) end)
    {:ok, pairs: pairs}
  end

  # What an earlier program has left.
  setup %{pairs: pairs} do
    for {side, one, two, _dir} <- pairs,
        do: Peers.call(one, Calls.Here, :clean, [side, elem(two, 1)])

    :ok
  end

  for name <- Map.keys(@programs) do
    test name, %{pairs: pairs} do
      assert differences(@programs[unquote(name)], pairs) == []
    end
  end

  # One copy in each storage and in each other, while the other one stays.
  for {type, storages} <- [
        set: [:ram_copies, :disc_copies, :disc_only_copies],
        bag: [:ram_copies, :disc_copies, :disc_only_copies],
        ordered_set: [:ram_copies, :disc_copies]
      ] do
    test "conversions of a #{type}", %{pairs: pairs} do
      program =
        [
          "1 m.create_table(:t, ram_copies: [n2], disc_copies: [n1], type: #{inspect(unquote(type))}, index: [:val])"
        ] ++
          Enum.flat_map(Enum.with_index(ways(unquote(storages)), 1), fn {to, step} ->
            [
              "#{rem(step, 2) + 1} m.change_table_copy_type(:t, n2, #{inspect(to)})",
              "#{rem(step + 1, 2) + 1} h.fill(m, [:t], #{step * 10}..#{step * 10 + 25})",
              "1 {h.all(m, :t), for(i <- 0..4, do: Enum.sort(m.dirty_index_read(:t, i, :val)))}",
              "2 {h.all(m, :t), for(i <- 0..4, do: Enum.sort(m.dirty_index_read(:t, i, :val)))}"
            ]
          end) ++ ["2 m.stop()", "2 m.start()", "2 h.loaded(m, [:t])", "2 h.all(m, :t)"]

      assert differences(program, pairs) == []
    end
  end

  # From the first through every pair.
  defp ways(storages) do
    pairs = for from <- storages, to <- storages, from != to, do: {from, to}
    walk(hd(storages), pairs, [])
  end

  defp walk(_at, [], way), do: Enum.reverse(way)

  defp walk(at, pairs, way) do
    Enum.find_value(pairs, fn
      {^at, to} = pair -> walk(to, List.delete(pairs, pair), [to | way])
      _other -> nil
    end)
  end

  test "no function is forgotten" do
    text = @programs |> Map.values() |> List.flatten() |> Enum.join("\n")
    assert for(name <- @functions, not (text =~ ~r/m\.#{name}\(/), do: name) == []
  end

  defp differences(program, [ours, stock]) do
    Enum.reduce_while(program, [], fn line, lines ->
      case Calls.difference(line, ours, stock) do
        nil -> {:cont, lines}
        {:answer, text} -> {:cont, [text | lines]}
        # From here on all would differ.
        {:facts, text} -> {:halt, [text | lines]}
      end
    end)
    |> Enum.map(&IO.puts/1)
  end
end
