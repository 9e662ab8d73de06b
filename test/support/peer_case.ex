defmodule Remnesia.PeerCase do
  @moduledoc false

  # A test on several VMs: `use Remnesia.PeerCase, async: true`. Its context has a directory that goes when it ends, names for nodes that
  # no other test has, and the options with which Remnesia.Peers starts them.
  #
  # Times are for a machine that is busy with other things: only what is broken takes as long.

  use ExUnit.CaseTemplate

  using do
    quote do
      import Remnesia.Peers, only: [on: 2, on: 3]
      alias Remnesia.Peers

      @moduletag :peers
      @moduletag timeout: 900_000
    end
  end

  setup context do
    {:ok, place({context.module, context.test})}
  end

  @doc "The same for what `setup_all` starts."
  def place(term) do
    id = Integer.to_string(:erlang.phash2(term, 1_000_000), 36) |> String.downcase()
    dir = Path.join(System.tmp_dir!(), "remnesia-peers-#{System.pid()}-#{id}")
    ExUnit.Callbacks.on_exit(fn -> File.rm_rf!(dir) end)
    names = for letter <- ~w(a b c), do: :"#{letter}#{id}"
    %{dir: dir, names: names, spare: :"d#{id}", options: [dir: dir]}
  end
end
