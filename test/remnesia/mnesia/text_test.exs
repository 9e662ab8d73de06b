defmodule Remnesia.Mnesia.TextTest do
  use ExUnit.Case

  # Text files go from stock Mnesia to Remnesia and back.

  import ExUnit.CaptureIO

  alias Remnesia.Door

  @tables [:door_fruit, :door_many, :door_other]

  setup do
    Door.delete_all()

    directory =
      Path.join(System.tmp_dir!(), "remnesia_text_#{System.unique_integer([:positive])}")

    File.mkdir_p!(directory)

    on_exit(fn ->
      Door.delete(@tables)
      File.rm_rf!(directory)
    end)

    {:ok, text: String.to_charlist(Path.join(directory, "tables.txt")), directory: directory}
  end

  defp fill(m) do
    {:atomic, :ok} = m.create_table(:door_fruit, attributes: [:name, :color])
    {:atomic, :ok} = m.create_table(:door_many, attributes: [:k, :v], record_name: :entry)
    {:atomic, :ok} = m.create_table(:door_other, attributes: [:k, :v])

    for {name, color} <- [
          apple: :green,
          pear: "yellow",
          plum: {1.5, [1 | 2]},
          fig: %{a: 1},
          kiwi: -0.0
        ],
        do: m.dirty_write({:door_fruit, name, color})

    for n <- 1..500, do: m.dirty_write(:door_many, {:entry, n, {n, ~c"text", <<n>>}})
  end

  defp contents(m),
    do: for(table <- @tables, do: Enum.sort(m.dirty_select(table, [{:_, [], [:"$_"]}])))

  for {from, to} <- [mnesia: :remnesia, remnesia: :mnesia, remnesia: :remnesia] do
    test "from #{from} to #{to}", %{text: file} do
      {from, to} = {unquote(from), unquote(to)}
      fill(from)
      expected = contents(from)
      assert from.dump_to_textfile(file) == :ok
      if unquote(from == to), do: Door.delete(@tables)

      printed = capture_io(fn -> assert to.load_textfile(file) == {:atomic, :ok} end)
      assert printed =~ "New table door_fruit"
      assert contents(to) == expected
      assert to.table_info(:door_many, :record_name) == :entry

      again = capture_io(fn -> assert to.load_textfile(file) == {:atomic, :ok} end)
      assert again =~ "already exists"
      assert contents(to) == expected
    end
  end

  test "both write the same", %{directory: directory} do
    [stock, ours] =
      for m <- [:mnesia, :remnesia] do
        fill(m)
        file = String.to_charlist(Path.join(directory, "#{m}.txt"))
        :ok = m.dump_to_textfile(file)
        [header | records] = file |> File.read!() |> String.split(".\n")
        assert header =~ "{door_many,[{record_name,entry},{attributes,[k,v]}]}"
        records |> Enum.filter(&String.starts_with?(&1, "{door_")) |> Enum.sort()
      end

    assert ours == stock
  end

  test "files that are none", %{text: file} do
    for text <- [
          nil,
          "",
          "{tables, [",
          "{fruit, 1, 2}.",
          "{tables, []}.\n{fruit, 1, 2}.",
          "{tables, []}. x.",
          "{tables, []}."
        ] do
      if text, do: File.write!(file, text), else: File.rm(file)

      [stock, ours] =
        for m <- [:mnesia, :remnesia] do
          capture_io(fn -> send(self(), Door.answer(m, & &1.load_textfile(file))) end)
          receive do: (answer -> answer)
        end

      assert {text, ours} == {text, stock}
    end
  end
end
