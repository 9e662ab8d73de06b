defmodule Remnesia.PartitionPolicyTest do
  # It stops the application.
  use ExUnit.Case

  alias Remnesia.Partition.{Files, Policy, Versions}
  alias Remnesia.Transfer.BackupFile

  doctest Policy
  doctest Versions
  doctest Remnesia.Partition

  setup do
    on_exit(fn ->
      Application.delete_env(:remnesia, :on_partition)
      Application.stop(:remnesia)
      {:ok, _} = Application.ensure_all_started(:remnesia)
    end)
  end

  defp start(policy) do
    Application.stop(:remnesia)
    Application.put_env(:remnesia, :on_partition, policy)
    Application.start(:remnesia)
  end

  test "what is no policy keeps the application from starting, and says so" do
    assert {:error, {reason, _start}} = start(:healing)
    assert reason == {:bad_type, {:on_partition, :healing}}
    # Nothing watches without one.
    assert start(nil) == :ok
    assert Process.whereis(Remnesia.Partition.Watch) == nil
    assert start(:report) == :ok
    assert Remnesia.Partition.Watch.status() |> elem(0) == :report
  end

  test "new tables ask for a majority where that is kept, unless they say otherwise" do
    Application.put_env(:remnesia, :on_partition, {:heal, :keep_majority})
    assert Policy.table_options(type: :bag) == [majority: true, type: :bag]

    for options <- [[majority: false], [local_content: true], [:x], [{:a, 1} | :b], :options],
        do: assert(Policy.table_options(options) == options)

    Application.put_env(:remnesia, :on_partition, {:heal, :keep_oldest})
    assert Policy.table_options(type: :bag) == [type: :bag]
  end

  test "a file of versions that is damaged, or another one, is refused" do
    path = Path.join(System.tmp_dir!(), "versions-#{System.pid()}")
    on_exit(fn -> File.rm(path) end)

    {:ok, :ok} =
      BackupFile.write(path, false, fn put ->
        put.({:partition, %{node: node(), tables: []}})
        put.({:versions, :t, [{1, [{:t, 1, :a}]}, {2, []}]})
        put.({:end, [t: 2]})
      end)

    fold = fn -> Remnesia.Partition.fold(path, [], &[{&1, &2, &3} | &4]) end
    assert fold.() == {:ok, [{:t, 2, []}, {:t, 1, [{:t, 1, :a}]}]}
    bytes = File.read!(path)
    at = byte_size(bytes) - 20
    <<head::binary-size(at), byte, rest::binary>> = bytes
    File.write!(path, [head, Bitwise.bxor(byte, 1), rest])
    assert {:error, {:corrupt, ^path, _}} = fold.()
    File.write!(path, binary_part(bytes, 0, at))
    assert {:error, {:corrupt, ^path, _}} = fold.()
    File.write!(path, "something else")
    assert {:error, {:not_a_backup, ^path}} = fold.()
  end

  test "what is noted adds to what was" do
    on_exit(fn -> Files.forget() end)
    :ok = Files.prepare()
    Files.forget()
    assert Files.noted() == nil
    :ok = Files.note(%{masters: [t: [], u: []], merge: ["a"]})
    :ok = Files.note(%{masters: [t: [:n], v: []], merge: ["b"]})
    assert %{masters: masters, merge: ["a", "b"]} = Files.noted()
    # What was before the first healing is what shall be.
    assert Enum.sort(masters) == [t: [], u: [], v: []]
    :ok = Files.forget()
    assert Files.noted() == nil
  end
end
