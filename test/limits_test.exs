defmodule Remnesia.LimitsTest do
  use ExUnit.Case, async: true

  # A VM that may not have more memory. Where memory is asked for a disc, for a map of a file or a segment of the log, there is an error or a smaller one; where
  # the heap itself is at its end the VM ends, as it does without us.

  @moduletag :tmp_dir

  @script """
  [dir] = System.argv()
  Application.put_env(:remnesia, :dir, dir)
  # The shell's limit is kilobytes of address space: what is there is in use already.
  said = fn what, answer -> IO.puts("\#{what} \#{inspect(answer, limit: 8)}") end
  {:ok, _} = Application.ensure_all_started(:remnesia)
  {:atomic, :ok} = :remnesia.create_table(:in_memory, [])
  :ok = :remnesia.dirty_write({:in_memory, 1, 1})
  said.("schema", :remnesia.change_table_copy_type(:schema, node(), :disc_copies))
  said.("memory", :remnesia.dirty_read(:in_memory, 1))

  for storage <- [:disc_copies, :disc_only_copies] do
    said.("create", :remnesia.create_table(storage, [{storage, [node()]}]))
    said.("write", :remnesia.transaction(fn -> for n <- 1..2_000, do: :remnesia.write({storage, n, n}) end) |> elem(0))
    said.("read", try do :remnesia.dirty_read(storage, 7) catch :exit, reason -> reason end)
  end

  said.("stop", Remnesia.stop())
  said.("start", Remnesia.start())
  said.("done", :ok)
  """

  # Megabytes beside what the VM has reserved when it starts.
  for more <- [200, 4_000] do
    test "#{more} MB of address space more than the VM has at its start", %{tmp_dir: dir} do
      output = run(unquote(more), dir)
      assert output =~ "done :ok", output
      assert output =~ "memory [{:in_memory, 1, 1}]", output

      for line <- String.split(output, "\n"),
          line =~ ~r/^(schema|create|start|stop) /,
          do: assert(line =~ ~r/:ok|:atomic|error|aborted/)

      if unquote(more) == 4_000, do: assert(output =~ "read [{:disc_only_copies, 7, 7}]", output)
    end
  end

  test "next to nothing: it works, or the VM says what it could not have", %{tmp_dir: dir} do
    output = run(40, dir)

    assert output =~ "done :ok" or
             output =~ ~r/memory allocation of \d+ bytes failed|[Cc]annot allocate/,
           output
  end

  defp run(more, dir) do
    ebin = Path.join([Mix.Project.build_path(), "lib", "remnesia", "ebin"])
    script = Path.join(dir, "limited.exs")
    File.write!(script, @script)

    # Which threads and arenas the VM has depends on the machine: asked, not guessed.
    {own, 0} =
      System.cmd("elixir", [
        "-e",
        "File.read!(\"/proc/self/statm\") |> String.split() |> hd() |> IO.puts()"
      ])

    kilobytes = String.to_integer(String.trim(own)) * 4 + more * 1024

    command =
      "ulimit -v #{kilobytes} && exec elixir -pa #{ebin} #{script} #{Path.join(dir, "db")}"

    {output, _status} = System.cmd("sh", ["-c", command], stderr_to_stdout: true)
    output
  end
end
