defmodule BothCheck do
  use ExUnit.Case

  # Both names in one program. test/memento_test.exs runs it among the tests of test/memento_app, which know one.

  defmodule Mine do
    use Remnesia.Table, attributes: [:id, :name], index: [:name]
  end

  defmodule Theirs do
    use Memento.Table, attributes: [:id, :name], index: [:name]
  end

  setup do
    Memento.Table.create!(Mine)
    Remnesia.Table.create!(Theirs)

    on_exit(fn ->
      Memento.Table.delete!(Mine)
      Remnesia.Table.delete!(Theirs)
    end)
  end

  describe "the tables" do
    test "are those of one database" do
      for table <- [Mine, Theirs] do
        assert Memento.Table.create(table) == Remnesia.Table.create(table)
        assert Memento.Table.info(table, :size) == Remnesia.Table.info(table, :size)
        assert Memento.Table.clear(table) == :ok and Remnesia.Table.clear(table) == :ok
        assert Memento.wait(table, 0) == :ok and Remnesia.wait(table, 0) == :ok
      end

      assert_raise Memento.Error, "Enum is not a Memento Table", fn ->
        Memento.Table.info(Enum)
      end

      assert_raise Remnesia.Error, "Enum is not a Remnesia Table", fn ->
        Remnesia.Table.info(Enum)
      end
    end

    test "have structs of their name, which both read and write" do
      assert %Mine{}.__meta__ == Remnesia.Table and %Theirs{}.__meta__ == Memento.Table

      for {writer, reader} <- [{Memento, Remnesia}, {Remnesia, Memento}],
          record <- [%Mine{id: 1, name: writer}, %Theirs{id: 1, name: writer}] do
        table = record.__struct__
        query = Module.concat(reader, Query)

        assert writer.transaction(fn -> Module.concat(writer, Query).write(record) end) ==
                 {:ok, record}

        assert reader.transaction!(fn ->
                 [
                   query.read(table, 1),
                   query.match(table, {1, writer}),
                   query.select(table, {:==, :name, writer})
                 ]
               end) == [record, [record], [record]]

        assert Remnesia.Engine.dirty_read(table, 1) == [{table, 1, writer}]
        assert Module.concat(query, Data).load({table, 1, writer}) == record
      end
    end
  end

  test "conditions of either name are for tables of either name" do
    require Memento.Query
    require Remnesia.Query

    Memento.transaction!(fn ->
      for id <- 1..3,
          do: {Memento.Query.write(%Mine{id: id}), Memento.Query.write(%Theirs{id: id})}
    end)

    assert Memento.transaction!(fn ->
             {Memento.Query.select(Memento.Query.where(Mine, id > 2)),
              Memento.Query.select(Memento.Query.where(Theirs, id > 2))}
           end) == {[%Mine{id: 3}], [%Theirs{id: 3}]}

    assert Remnesia.transaction!(fn ->
             Remnesia.Query.count(Remnesia.Query.where(Theirs, id > 1))
           end) == 2

    assert "#Memento.Query.Plan<" <> _ = inspect(Memento.Query.explain(Mine, {:==, :id, 1}))
  end

  describe "the transactions" do
    test "are the same ones" do
      assert Memento.transaction!(fn ->
               Remnesia.Query.write(%Theirs{id: 1})
               {Remnesia.Transaction.inside?(), Memento.Query.read(Theirs, 1)}
             end) == {true, %Theirs{id: 1}}

      assert Memento.transaction(fn ->
               Memento.Query.delete(Theirs, 1)
               Remnesia.Transaction.abort(:enough)
             end) == {:error, {:transaction_aborted, :enough}}

      assert Remnesia.transaction!(fn ->
               inner =
                 Memento.transaction(fn ->
                   Memento.Query.delete(Theirs, 1) && Memento.Transaction.abort()
                 end)

               {inner, Remnesia.Query.read(Theirs, 1)}
             end) == {{:error, {:transaction_aborted, :no_reason_given}}, %Theirs{id: 1}}
    end
  end

  describe "the modules" do
    setup do
      Application.load(:memento)

      {memento, remnesia} =
        {Application.spec(:memento, :modules), Application.spec(:remnesia, :modules)}

      # The Mnesia door has one name, an Erlang module's, and so have its parts.
      remnesia =
        Enum.filter(remnesia, fn module ->
          String.starts_with?(to_string(module), "Elixir.Remnesia") and
            not String.starts_with?(to_string(module), "Elixir.Remnesia.Mnesia.")
        end)

      %{pairs: Map.new(memento, &{remnesia_name(&1), &1}), remnesia: remnesia}
    end

    defp remnesia_name(module), do: :"#{String.replace(to_string(module), "Memento", "Remnesia")}"

    test "have the same functions, macros and fields under both names", %{pairs: pairs} do
      for {remnesia, memento} <- pairs, kind <- [:functions, :macros, :struct] do
        assert {memento, kind, info(memento, kind)} == {memento, kind, info(remnesia, kind)}
      end
    end

    # Elixir 1.14 has no :struct in __info__.
    defp info(module, :struct) do
      if function_exported?(Code.ensure_loaded!(module), :__struct__, 0),
        do: module.__struct__() |> Map.keys() |> Enum.sort()
    end

    defp info(module, kind), do: module.__info__(kind)

    test "of one part of the API have two names, or none of them has", context do
      parts = for {remnesia, _} <- context.pairs, into: MapSet.new(), do: part(remnesia)

      missing =
        for module <- context.remnesia,
            part(module) in parts,
            module not in Map.keys(context.pairs),
            do: module

      assert missing == [], "compat/memento/compile.exs does not know the files of these"
    end

    defp part(module),
      do: module |> Module.split() |> Enum.drop_while(&(&1 != "Remnesia")) |> Enum.at(1, :root)

    # A module that keeps its name and reached back would take Memento's users to Remnesia's structs and exceptions.
    test "that Memento calls below know nothing of the API", %{pairs: pairs, remnesia: remnesia} do
      below = remnesia -- Map.keys(pairs)
      reached = reach(Map.values(pairs), below, MapSet.new())
      assert Remnesia.Native in reached

      for module <- reached do
        assert {module, Enum.filter(atoms(module), &is_map_key(pairs, &1))} == {module, []}
      end
    end

    defp reach([], _below, reached), do: reached

    defp reach([module | rest], below, reached) do
      new = Enum.filter(atoms(module), &(&1 in below and &1 not in reached))
      reach(new ++ rest, below, MapSet.union(reached, MapSet.new(new)))
    end

    defp atoms(module) do
      {:ok, {_, [atoms: atoms]}} = :beam_lib.chunks(:code.which(module), [:atoms])
      for {_, atom} <- atoms, do: atom
    end
  end
end
