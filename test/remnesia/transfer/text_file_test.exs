defmodule Remnesia.Transfer.TextFileTest do
  use ExUnit.Case

  import ExUnit.CaptureIO

  # Tables as text: what comes back, what stock Mnesia reads, and what is refused.

  alias Remnesia.{Door, Engine}
  alias Remnesia.Transfer.SafeText

  setup do
    Door.delete_all()

    directory =
      Path.join(System.tmp_dir!(), "remnesia_dump_#{System.unique_integer([:positive])}")

    File.mkdir_p!(directory)

    on_exit(fn ->
      Door.delete_all()
      File.rm_rf!(directory)
    end)

    %{path: Path.join(directory, "tables.txt")}
  end

  @values [
    1,
    -5,
    123_456_789_012_345_678_901,
    1.5,
    -0.0,
    1.0e300,
    :atom,
    :"An Atom's name",
    :ünïcode,
    nil,
    "binary",
    <<1, 2, 255>>,
    <<3::5>>,
    ~c"text \"with\" $quotes",
    [1 | 2],
    [],
    {},
    {:a, [b: %{1 => [2], "x" => %{}}]}
  ]

  test "tables come back, and stock Mnesia reads them", %{path: path} do
    options = [attributes: [:k, :a, :b], index: [:a], user_properties: [{:p, 1}], load_order: 2]
    {:atomic, :ok} = Engine.create_table(:dump_set, options)
    {:atomic, :ok} = Engine.create_table(:dump_bag, type: :bag, record_name: :entry)
    {:atomic, :ok} = Engine.create_table(:dump_empty, type: :ordered_set)

    for {value, n} <- Enum.with_index(@values),
        do: Engine.dirty_write(:dump_set, {:dump_set, n, value, value})

    for n <- 1..3, m <- 1..3, do: Engine.dirty_write(:dump_bag, {:entry, n, m})
    tables = [:dump_bag, :dump_empty, :dump_set]

    rows = fn side ->
      for t <- tables, do: Enum.sort(side.dirty_select(t, [{:_, [], [:"$_"]}]))
    end

    definitions = fn side ->
      for t <- tables,
          i <- [:type, :attributes, :record_name, :index, :user_properties, :load_order],
          do: side.table_info(t, i)
    end

    before = {rows.(:remnesia), definitions.(:remnesia)}
    counts = [dump_bag: 9, dump_empty: 0, dump_set: length(@values)]
    assert Remnesia.dump(path) == {:ok, counts}
    assert Bitwise.band(File.stat!(path).mode, 0o777) == 0o600
    Door.delete_all()
    assert Remnesia.load(path) == {:ok, counts}
    assert {rows.(:remnesia), definitions.(:remnesia)} == before

    # Once more: the records are added, those of the bag are there.
    assert Remnesia.load(path) == {:ok, counts}
    assert {rows.(:remnesia), definitions.(:remnesia)} == before

    capture_io(fn -> assert :mnesia.load_textfile(to_charlist(path)) == {:atomic, :ok} end)
    assert {rows.(:mnesia), definitions.(:mnesia)} == before

    # And what stock writes is read here.
    :ok = :mnesia.dump_to_textfile(to_charlist(path))
    Door.delete_all()
    assert Remnesia.load(path) == {:ok, counts}
    # It does not say that a table is a bag.
    assert tl(rows.(:remnesia)) == tl(elem(before, 0))
  end

  test "what has no text is refused", %{path: path} do
    {:atomic, :ok} = Engine.create_table(:dump_set, [])

    for value <- [self(), make_ref(), fn -> 1 end, [%{a: {self()}}], [1 | self()]] do
      Engine.dirty_write(:dump_set, {:dump_set, :key, value})
      assert Remnesia.dump(path) == {:error, {:not_text, :dump_set, :key}}
      refute File.exists?(path)
    end

    assert Remnesia.dump(path, tables: [:nowhere]) == {:error, {:no_exists, :nowhere}}
  end

  test "a mistake is named by its line, and nothing is done", %{path: path} do
    {:atomic, :ok} = Engine.create_table(:dump_set, [])
    head = "{tables,[{dump_set,[{attributes,[key,val]}]},{dump_new,[]}]}.\n"
    record = "{dump_set,1,2}.\n"

    for {text, expected} <- [
          {head <> record <> "{dump_set,,3}.\n", {:syntax, 3, "syntax error before: ','"}},
          {head <> record <> record <> "{dump_set,2,3\n", {:syntax, 4, "syntax error before: "}},
          {head <> record <> "\n\n{dump_set,2,\"x}.", :syntax},
          {head <> record <> "{dump_set,2,fun x/1}.\n", :syntax},
          {head <> record <> "{dump_set,2,Var}.\n", :syntax},
          {head <> record <> "{dump_set,2,self()}.\n", :syntax},
          {head <> record <> "\n~s(what).\n", {:syntax, 4, "sigils are not read here"}},
          {head <> record <> "\n\"\"\"what\n\"\"\".\n",
           {:syntax, 4, "three quotes are not read here"}},
          {head <> record <> "{other,1,2}.\n", {:undefined_object, 3, :other}},
          {head <> record <> "what.\n", {:undefined_object, 3, :what}},
          {head <> record <> "{dump_set,1}.\n", {:undefined_object, 3, {:dump_set, 1}}},
          {head <> "\n" <> "{dump_set,1,2,3}.\n",
           {:bad_record, 3, {:bad_type, {:dump_set, 1, 2, 3}}}},
          {record <> head, {:bad_header, 1}},
          {"", {:bad_header, 1}},
          {"\n{tables,what}.", {:bad_header, 2}},
          {"{tables,[{dump_new,[{type,what}]}]}.", {:bad_type, :dump_new, {:type, :what}}},
          {"{tables,[{dump_new,[what]}]}.", {:bad_type, {:dump_new, [:what]}}}
        ] do
      File.write!(path, text)
      assert {:error, reason} = Remnesia.load(path)

      if expected == :syntax,
        do: assert({:syntax, _line, _text} = reason),
        else: assert(reason == expected, inspect({text, reason}))

      assert Engine.table_info(:dump_set, :size) == 0
      assert :dump_new not in Engine.system_info(:tables)
    end
  end

  # Whatever stands around it, a word is counted before the scanner makes an atom of it.
  @around [
    "{a,~W}.",
    "{a,'~W'}.",
    "{a,~W",
    "[$\",~W].",
    "[$\\\",~W].",
    "[$\\^\",~W].",
    "[$',~W].",
    "[$%,~W].",
    "{\"a\\\"\",~W}.",
    "{\"a\\^\",~W}.",
    "{\"a\\^\"\",~W}.",
    "{1.~W}.",
    "{1e~W}.",
    "{16#~W}.",
    "{1~W}.",
    "{X~W}.",
    "{_~W}.",
    "% x\n{~W}.",
    "{\"\",~W}.",
    "{\"\" \"x\",~W}.",
    "{''~W}.",
    "{'a\\'',~W}.",
    "{a@~W}.",
    "{#~W{}}.",
    "{<<\"~\">>,~W}.",
    "{$~~W}.",
    "{\"\n\",~W}."
  ]

  test "no word gets past the count", %{path: path} do
    for {text, number} <- Enum.with_index(@around), pad <- [0, 65_533, 65_534, 65_535] do
      word = "word_#{number}_#{pad}_#{System.unique_integer([:positive])}"
      File.write!(path, String.duplicate(" ", pad) <> String.replace(text, "~W", word))
      _ = SafeText.fold(path, 0, :ok, fn _term, _line, acc -> acc end)

      for made <- [word, "X" <> word, "_" <> word, "a@" <> word, "e" <> word],
          do: assert_raise(ArgumentError, fn -> String.to_existing_atom(made) end)
    end
  end

  test "and enough are let in", %{path: path} do
    words = for n <- 1..10, do: "text_word_#{n}_#{System.unique_integer([:positive])}"
    File.write!(path, "[#{Enum.join(words, ",")}].\n['#{hd(words)}'].")

    terms = fn budget ->
      SafeText.fold(path, budget, [], fn term, line, acc -> [{line, term} | acc] end)
    end

    assert terms.(9) == {:error, :too_many_atoms}
    assert {:ok, [{2, [first]}, {1, all}]} = terms.(10)
    assert length(all) == 10 and to_string(first) == hd(words)
    assert {:ok, [_, _]} = terms.(0)
  end
end
