defmodule Remnesia.Transfer.GarbageTest do
  # What reads files from elsewhere, on bytes that no writer would write: good files with some bytes changed, cut off, doubled, and noise. It
  # answers or refuses; it never raises, never takes long, and makes no more atoms than it may. What broke a reader goes to fuzz/corpus/readers, under the
  # name of the reader, and is read again with every run.

  use ExUnit.Case

  alias Remnesia.Transfer.{BackupFile, MnesiaBackup, SafeTerm, SafeText}

  @corpus "fuzz/corpus/readers"
  @budget 20
  @moduletag timeout: :infinity

  setup do
    directory =
      Path.join(System.tmp_dir!(), "remnesia_garbage_#{System.unique_integer([:positive])}")

    File.mkdir_p!(directory)
    on_exit(fn -> File.rm_rf!(directory) end)
    %{path: Path.join(directory, "file")}
  end

  test "what was found before", %{path: path} do
    files = Path.wildcard(@corpus <> "/*/*")
    assert files != []

    for file <- files do
      reader = file |> Path.dirname() |> Path.basename() |> String.to_existing_atom()
      assert reader in [:own, :mnesia, :text, :term]
      check(reader, File.read!(file), path, file)
    end
  end

  for reader <- [:own, :mnesia, :text, :term] do
    test("reader #{reader}", context, do: fuzz(unquote(reader), 1..500, context.path))

    # As long as bin/fuzz takes for a target.
    @tag :long
    test "reader #{reader}, for a minute", context do
      until = System.monotonic_time(:second) + 60

      rounds =
        Stream.take_while(Stream.iterate(1, &(&1 + 1)), fn _ ->
          System.monotonic_time(:second) < until
        end)

      fuzz(unquote(reader), rounds, context.path)
    end
  end

  defp fuzz(reader, rounds, path) do
    seed = System.unique_integer([:positive]) + :os.system_time(:second)
    :rand.seed(:exsss, seed)
    good = good(reader, path)
    assert {:ok, _terms} = read(reader, good, path)

    answers =
      for round <- rounds, reduce: %{} do
        answers ->
          bytes = good |> change() |> again()
          answer = check(reader, bytes, path, "seed #{seed}, round #{round}")
          # Checksums see every change.
          if reader == :own and bytes != good, do: assert({:error, _} = answer)
          Map.update(answers, elem(answer, 0), 1, &(&1 + 1))
      end

    # A reader that refuses everything, or nothing, was not tested.
    assert is_map_key(answers, :error), inspect(answers)
    if reader != :own, do: assert(is_map_key(answers, :ok), inspect(answers))
  end

  # Some are changed more than once.
  defp again(bytes), do: if(:rand.uniform(3) == 1, do: bytes |> change() |> again(), else: bytes)

  defp check(reader, bytes, path, where) do
    {atoms, modules} = {:erlang.system_info(:atom_count), length(:code.all_loaded())}
    begun = System.monotonic_time(:millisecond)

    answer =
      try do
        read(reader, bytes, path)
      catch
        kind, reason ->
          kept = Path.join(System.tmp_dir!(), "remnesia-#{reader}-#{:erlang.phash2(bytes)}")
          File.write!(kept, bytes)

          flunk(
            "#{where}: #{kind} #{inspect(reason)}\n#{Exception.format_stacktrace(__STACKTRACE__)}the bytes are in #{kept}"
          )
      end

    assert match?({:ok, _}, answer) or match?({:error, _}, answer), "#{where}: #{inspect(answer)}"
    assert System.monotonic_time(:millisecond) - begun < 10_000, "#{where} took long"
    made = :erlang.system_info(:atom_count) - atoms
    # A module that is loaded meanwhile brings its own, and other processes make some, too.
    if length(:code.all_loaded()) == modules,
      do: assert(made <= @budget + 50, "#{where} made #{made} atoms")

    answer
  end

  # --- readers ---

  defp read(:own, bytes, path), do: fold(BackupFile, bytes, path)
  defp read(:mnesia, bytes, path), do: fold(MnesiaBackup, bytes, path)

  defp read(:text, bytes, path) do
    File.write!(path, bytes)
    SafeText.fold(path, @budget, 0, fn _term, _line, number -> number + 1 end)
  end

  defp read(:term, bytes, _path) do
    with {:ok, term, _budget} <- SafeTerm.decode(bytes, @budget), do: {:ok, term}
  end

  defp fold(module, bytes, path) do
    File.write!(path, bytes)
    module.fold(path, @budget, 0, fn _item, number -> number + 1 end)
  end

  # --- files as their writers make them ---

  @terms [
    {:a, 1, "text", [1, 2.5, nil | :end], %{1 => :one, {2} => "two"}},
    {:b, 123_456_789_012_345_678_901, <<3::5>>, ~c"list", -0.0},
    {:c, List.duplicate({:row, "value"}, 30)}
  ]

  defp good(:own, path) do
    {:ok, :done} =
      BackupFile.write(path, true, fn put ->
        put.({:tables, []})
        for term <- @terms, do: put.({:rows, :t, [term]})
        put.({:end, []})
        :done
      end)

    File.read!(path)
  end

  defp good(:mnesia, path) do
    {:ok, :done} =
      MnesiaBackup.write_with(path, fn put ->
        for term <- @terms, do: put.([term])
        :done
      end)

    File.read!(path)
  end

  defp good(:text, _path) do
    for(term <- @terms, into: "", do: "#{:io_lib.format("~p.~n", [term])}") <>
      "{quoted,'An Atom',$a,$\\n,\"a string\",16#ff,1.0e10}. % a comment\n"
  end

  defp good(:term, _path), do: :erlang.term_to_binary(@terms)

  # --- changes ---

  defp change(<<>>), do: <<0>>

  defp change(bytes) do
    at = :rand.uniform(byte_size(bytes)) - 1
    <<before::binary-size(at), byte, rest::binary>> = bytes

    case :rand.uniform(8) do
      1 -> before <> <<:rand.uniform(256) - 1>> <> rest
      2 -> before <> <<Bitwise.bxor(byte, Bitwise.bsl(1, :rand.uniform(8) - 1))>> <> rest
      3 -> before
      4 -> before <> rest
      5 -> before <> <<byte>> <> :rand.bytes(:rand.uniform(8)) <> rest
      6 -> before <> <<Enum.random([0, 255]), Enum.random([0, 127, 255])>> <> rest
      # A piece twice.
      7 -> before <> <<byte>> <> binary_part(bytes, 0, at) <> rest
      # A length that promises much.
      8 -> before <> <<0xFFFFFFFF::32>> <> drop(rest, 3)
    end
  end

  defp drop(bytes, number),
    do:
      binary_part(
        bytes,
        min(number, byte_size(bytes)),
        byte_size(bytes) - min(number, byte_size(bytes))
      )
end
