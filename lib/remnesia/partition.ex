defmodule Remnesia.Partition do
  @moduledoc """
  What happens after a partition of a cluster, when the links are back.

  Mnesia then reports `{:inconsistent_database, context, node}` and leaves the two sides as they are, each with records that the other does not
  have. `config :remnesia, on_partition:` says what is to be done, on every node the same:

    * nothing, or `nil` - as Mnesia does
    * `:report` - the islands are told, nothing is changed
    * `{:heal, :keep_majority}` - the side with more than half of all nodes of the schema keeps its data
    * `{:heal, :keep_oldest}` - the side of the node whose Mnesia has run longest does
    * `{:heal, {:merge, {module, function}}}`, or a function - the larger side (of equal ones the older) keeps its data, and for each key that differs the function
      is called with the table, the record there and the record of the losing side (`nil` where there is none; of a bag the lists of all
      records of the key). It answers the record that shall be, a list of them for a bag, or `:delete`.

  The losing side stops Mnesia, and loads its tables from the other one. What it had and the other side did not is in a file before: `fold/4`
  reads it. Subscribers of system events are told on every node:

      {:mnesia_system_event, {:mnesia_user, {:remnesia_partition, what, about}}}

  | what | about |
  |---|---|
  | `:found` | `%{reason: reason}`, and `:islands`, lists of nodes, where they are known. Nothing is done: `:report`; `:no_majority`; `:schemas_differ` or `:policies_differ` between the islands; `:overlapping`, where two nodes do not see each other and a third one sees both; `{:unreachable, nodes}` |
  | `:healed` | `%{strategy: kind, kept: nodes, reloaded: nodes, files: [{node, path}], losing: %{table => number}, merged: %{table => number}, refused: %{table => number}, repaired: %{table => number}, failed: []}`; `losing` counts the versions in the files, `refused` are the keys for which the function failed: the kept side's version stays; `repaired` those in which the winners differed among themselves |
  | `:failed` | the same with reasons in `failed`; see the log of these nodes |

  What is guaranteed, and what is not, is in the guide "Several nodes".
  """

  alias Remnesia.Partition.Versions

  @atoms 500_000

  @typedoc "Why a file is refused."
  @type reason ::
          {:not_a_backup, Path.t()}
          | {:corrupt, Path.t(), term}
          | {:bad_version, pos_integer}
          | :too_many_atoms
          | File.posix()

  @doc """
  Folds over the versions in a file that a losing side has written: `fun` gets the table, a key, the records that the losing side had of it (none, if it had
  deleted the key or never had it), and the accumulator. A later version of a key takes the place of an earlier one.

  The file is read as data from elsewhere: checksums are verified, functions in it are not called, and it may bring `:max_atoms` new atoms (500,000).

  Answers `{:error, reason}`: `{:not_a_backup, path}`, `{:corrupt, path, what}`, `{:bad_version, version}`, `:too_many_atoms`, or a POSIX reason.

      iex> Remnesia.Partition.fold("/no/such/file", [], fn table, key, records, found -> [{table, key, records} | found] end)
      {:error, :enoent}
  """
  @spec fold(Path.t(), acc, (atom, term, [tuple], acc -> acc), max_atoms: non_neg_integer) ::
          {:ok, acc} | {:error, reason}
        when acc: term
  def fold(path, acc, fun, options \\ []),
    do: Versions.fold(path, Keyword.get(options, :max_atoms, @atoms), acc, fun)
end
