defmodule Remnesia.Mnesia.FragmentsTest do
  use ExUnit.Case

  # Fragmented tables: every function, right and wrong, answers as stock does through `mnesia_frag`.

  import Remnesia.FragmentTables

  alias Remnesia.{Door, Modulo}

  setup do
    remove()
    on_exit(&remove/0)
  end

  @items [:base_table, :foreign_key, :foreigners, :n_fragments, :node_pool, :n_ram_copies] ++
           [:n_disc_copies, :n_disc_only_copies, :n_external_copies, :frag_names, :frag_dist] ++
           [:frag_size, :size, :type, :frag_properties, :frag_hash, :where_to_read, :nope, :index]

  defp about(m, table) do
    for item <- @items do
      {item,
       [
         Door.answer(m, fn -> frag(m, fn -> m.table_info(table, item) end) end),
         Door.answer(m, fn -> frag(m, :async_dirty, fn -> m.table_info(table, item) end) end),
         Door.answer(m, fn -> m.table_info(table, item) end)
       ]}
    end
  end

  describe "frag_properties" do
    test "good and bad ones" do
      for properties <- [
            [],
            properties(1),
            properties(7),
            [n_fragments: 3],
            [n_fragments: 0],
            [n_fragments: :x],
            [node_pool: :x],
            [node_pool: [1]],
            [node_pool: [:other@nowhere]],
            [node_pool: []],
            [n_fragments: 2, n_ram_copies: 1],
            [n_fragments: 2, n_ram_copies: 2],
            [n_ram_copies: -1],
            [n_disc_copies: :x],
            [n_disc_only_copies: -1],
            [n_disc_copies: 1],
            [unknown: 1],
            [n_fragments: 1, n_fragments: 2],
            [:x],
            [{{:n_fragments, 1}, 2}],
            [foreign_key: :x],
            [foreign_key: {:door_f, :a}],
            [foreign_key: {:nowhere, :a}],
            [hash_module: :no_such_module],
            [hash_state: :x],
            [hash_module: Modulo, hash_state: :mine, n_fragments: 3],
            :x,
            {:x}
          ],
          more <- [[], [local_content: true], [type: :bag], [attributes: [:k, :a, :b]]] do
        {stock, ours} =
          Door.both(fn m ->
            answer = m.create_table(:door_f, [frag_properties: properties] ++ more)
            about = if answer == {:atomic, :ok}, do: about(m, :door_f)

            all =
              if answer == {:atomic, :ok},
                do: Keyword.drop(m.table_info(:door_f, :all), [:memory])

            {answer, about, all, m.delete_table(:door_f)}
          end)

        assert {properties, more, ours} == {properties, more, stock}
      end
    end

    test "a fragment whose name is taken" do
      same(fn m ->
        m.create_table(:door_f_frag3, [])
        answer = create(m)
        {answer, m.delete_table(:door_f_frag3), m.delete_table(:door_f)}
      end)
    end

    test "deleting" do
      same(fn m ->
        create(m)
        refused = m.delete_table(:door_f_frag2)
        m.change_table_access_mode(:door_f_frag4, :read_only)
        read_only = m.delete_table(:door_f)
        m.change_table_access_mode(:door_f_frag4, :read_write)
        gone = m.delete_table(:door_f)
        {refused, read_only, gone, for(n <- 1..5, do: m.table_info(:"door_f_frag#{n}", :size))}
      end)
    end

    test "majority is that of all fragments" do
      same(fn m ->
        create(m, :set, 2)
        answers = for t <- [:door_f, :door_f_frag2], do: m.change_table_majority(t, true)
        {answers, for(t <- [:door_f, :door_f_frag2], do: m.table_info(t, :majority))}
      end)
    end
  end

  describe "change_table_frag" do
    test "all kinds of fragments more and less, with the records" do
      for type <- [:set, :ordered_set, :bag], more <- [[], [hash_module: Modulo]] do
        same(fn m ->
          create(m, type, 1, more)
          fill(m)
          if type == :bag, do: fill(m, 1..10)

          grow =
            for _ <- 1..9,
                do:
                  {m.change_table_frag(:door_f, {:add_frag, [node()]}), contents(m, :door_f),
                   about(m, :door_f)}

          shrink =
            for _ <- 1..10,
                do:
                  {m.change_table_frag(:door_f, :del_frag), contents(m, :door_f),
                   about(m, :door_f)}

          {grow, shrink, m.delete_table(:door_f)}
        end)
      end
    end

    test "good and bad changes of tables of all kinds" do
      changes = [
        {:activate, []},
        {:activate, [n_fragments: 2]},
        {:activate, [n_fragments: 1, node_pool: [node()]]},
        {:activate, [foreign_key: {:door_f, :k}]},
        {:activate, [foreign_key: {:door_g, 3}]},
        {:activate, [x: 1]},
        {:activate, :x},
        :deactivate,
        {:add_frag, [node()]},
        {:add_frag, [{node(), 3}]},
        {:add_frag, []},
        {:add_frag, :x},
        {:add_frag, [:other@nowhere]},
        {:add_frag, [1]},
        :del_frag,
        {:add_node, :other@nowhere},
        {:add_node, node()},
        {:add_node, 1},
        {:del_node, :other@nowhere},
        {:del_node, node()},
        {:del_node, 1},
        {:x, 1},
        :x
      ]

      for change <- changes do
        {stock, ours} =
          Door.both(fn m ->
            create(m, :set, 3)
            fill(m)
            m.create_table(:door_p, attributes: [:k, :a, :b])

            m.create_table(:door_g,
              attributes: [:k, :a, :b],
              frag_properties: [foreign_key: {:door_f, :a}]
            )

            answers =
              for table <- [:door_f, :door_f_frag2, :door_p, :door_g, :nowhere, :schema, 1] do
                inside = m.transaction(fn -> m.change_table_frag(table, change) end)
                {table, m.change_table_frag(table, change), inside}
              end

            seen = for t <- [:door_f, :door_g, :door_p], do: {about(m, t), contents(m, t)}
            {answers, seen, for(t <- [:door_p, :door_f, :door_g, :door_f], do: m.delete_table(t))}
          end)

        assert {change, ours} == {change, stock}
      end
    end

    test "a table that follows another one" do
      same(fn m ->
        create(m, :set, 2)

        m.create_table(:door_g,
          attributes: [:k, :f, :b],
          frag_properties: [foreign_key: {:door_f, :f}]
        )

        bad =
          m.create_table(:door_p,
            attributes: [:k, :f],
            frag_properties: [foreign_key: {:door_g, :f}]
          )

        bad_n =
          m.create_table(:door_p, frag_properties: [n_fragments: 3, foreign_key: {:door_f, :val}])

        bad_pool =
          m.create_table(:door_p, frag_properties: [node_pool: [], foreign_key: {:door_f, :val}])

        bad_attribute = m.create_table(:door_p, frag_properties: [foreign_key: {:door_f, :nope}])
        fill(m)
        frag(m, fn -> for k <- 1..40, do: m.write({:door_g, k, 41 - k, :x}) end)

        found =
          frag(m, fn ->
            for k <- 1..5 do
              {m.read({:door_g, 41 - k}, k, :read), m.table_info({:door_g, 41 - k}, :name),
               Door.answer(m, fn -> m.read({:door_f, k}, k, :read) end)}
            end
          end)

        moved =
          for _ <- 1..3,
              do: {m.change_table_frag(:door_f, {:add_frag, [node()]}), contents(m, :door_g)}

        back =
          {m.change_table_frag(:door_f, :del_frag), contents(m, :door_f), contents(m, :door_g)}

        {bad, bad_n, bad_pool, bad_attribute, found, moved, back, about(m, :door_f),
         about(m, :door_g)}
      end)
    end

    test "its events" do
      same(fn m ->
        create(m, :set, 2)
        for level <- [:simple], t <- [:door_f, :door_f_frag2], do: m.subscribe({:table, t, level})
        m.subscribe({:table, :schema, :detailed})
        fill(m, 1..12)

        for change <- [{:add_frag, [node()]}, {:add_frag, [node()]}, :del_frag, {:add_node, :x@y}] do
          {:atomic, :ok} = m.change_table_frag(:door_f, change)
          events = flush([])
          {schema, others} = Enum.split_with(events, &match?({_, :schema, _, _, _}, &1))
          {schema, Enum.sort(others)}
        end
        |> then(&{&1, m.unsubscribe({:table, :schema, :detailed}), flush([])})
      end)
    end

    test "nothing has changed where the hash module fails" do
      for m <- [:mnesia, :remnesia] do
        create(m, :set, 2, hash_module: Modulo)
        frag(m, fn -> for k <- 1..9, do: m.write({:door_f, k, 1, 1}) end)
        m.dirty_write(:door_f_frag2, {:door_f, :no_number, 1, 1})
      end

      same(fn m ->
        before = contents(m, :door_f)
        answer = m.change_table_frag(:door_f, {:add_frag, [node()]})
        {answer, contents(m, :door_f) == before, m.table_info(:door_f_frag3, :size)}
      end)

      assert Remnesia.Native.lock_count() == 0
      assert :remnesia.dirty_write(:door_f, {:door_f, 99, 1, 1}) == :ok
    end

    test "while others write" do
      create(:remnesia, :set, 1)
      write = fn k -> frag(:remnesia, fn -> :remnesia.write({:door_f, k, 1, self()}) end) end
      writers = for w <- 1..3, do: Task.async(fn -> for k <- 1..400, do: write.({w, k}) end)

      for _ <- 1..8,
          do: {:atomic, :ok} = :remnesia.change_table_frag(:door_f, {:add_frag, [node()]})

      for _ <- 1..4, do: {:atomic, :ok} = :remnesia.change_table_frag(:door_f, :del_frag)
      Task.await_many(writers, 60_000)
      assert frag(:remnesia, fn -> :remnesia.table_info(:door_f, :size) end) == 1200

      for {name, records} <- contents(:remnesia, :door_f),
          record <- records,
          do: assert(Remnesia.Engine.Local.Fragments.of_record(:door_f, record) == name)
    end
  end

  defp flush(events) do
    receive do
      {:mnesia_table_event, event} -> flush([event | events])
    after
      20 -> Enum.reverse(events)
    end
  end
end
