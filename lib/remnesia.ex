defmodule Remnesia do
  @moduledoc """
  Tables in native memory, transactions, and the API of Memento.

      defmodule Blog.Post do
        use Remnesia.Table, attributes: [:id, :title, :author], index: [:author]
      end

      Remnesia.Table.create!(Blog.Post)

      Remnesia.transaction!(fn ->
        Remnesia.Query.write(%Blog.Post{id: 1, title: "Hello", author: :sara})
        Remnesia.Query.select(Blog.Post, {:==, :author, :sara})
      end)

  A program that uses Memento keeps its code and says `alias Remnesia, as: Memento`.

    * `Remnesia.Table` defines and creates tables
    * `Remnesia.Query` reads and writes records
    * `Remnesia.Transaction` runs functions as transactions
    * `Remnesia.Schema` is about the database as a whole

  Tables live on this node, in memory or on disc (`Remnesia.Schema.setup/1`), or on several nodes (the guide "Several nodes").
  """

  alias Remnesia.{Engine, Table, Transaction}

  require Remnesia.Error

  # What reasons call the application. This source is compiled to Memento as well (compat/memento), whose users know :mnesia.
  @named if(__MODULE__ == Memento, do: :mnesia, else: :remnesia)

  @doc """
  Starts the database. Applications that depend on `:remnesia` find it started.

  Returns `:ok` or `{:error, reason}`, with `{:already_started, #{inspect(@named)}}`.

      iex> Remnesia.start()
      {:error, {:already_started, #{inspect(@named)}}}
  """
  @spec start() :: :ok | {:error, term}
  def start, do: [] |> Engine.start(fn -> Application.start(:remnesia) end) |> named()

  @doc """
  Stops the database, and answers when everything is on disc that belongs there. Tables in memory are gone.

  Returns `:ok` or `{:error, {:not_started, #{inspect(@named)}}}`.

      iex> Remnesia.stop()
      :ok
      iex> Remnesia.stop()
      {:error, {:not_started, #{inspect(@named)}}}
      iex> Remnesia.start()
      :ok
  """
  @spec stop() :: :ok | {:error, term}
  def stop, do: :remnesia |> Application.stop() |> named()

  defp named({:error, {reason, :remnesia}}), do: {:error, {reason, @named}}
  defp named(result), do: result

  @doc """
  Connects this node to others that run Remnesia's cluster engine, see the guide "Several nodes". The engine of this node becomes
  that one, which takes a node without tables of its own.

  Returns `{:ok, connected}`, which leaves out nodes that cannot be reached or do not run as a cluster, or `{:error, reason}`, with
  `{:not_available, text}` for a node that has tables. Raises `Remnesia.Error` for what is no node.

      iex> Remnesia.add_nodes([])
      {:ok, []}
  """
  @spec add_nodes(node | [node]) :: {:ok, [node]} | {:error, term}
  def add_nodes(nodes) do
    nodes = List.wrap(nodes)
    if not Enum.all?(nodes, &is_atom/1), do: Remnesia.Error.raise("Invalid Node list passed")
    Engine.change_config(:extra_db_nodes, nodes)
  end

  @doc """
  Prints the state of the database.

      iex> Remnesia.info()
      :ok
  """
  @spec info() :: :ok
  def info, do: Engine.info()

  @doc """
  What the database knows of itself: one item of `:mnesia.system_info/1`, or a list of all of them.

  An unknown item exits with `{:aborted, {:badarg, item}}`, and so do the items this version has no value for: the counters
  of transactions, held and queued locks, and those about logs and dumps.

      iex> Remnesia.system(:is_running)
      :yes
  """
  @spec system(atom) :: term
  def system(item \\ :all), do: Engine.system_info(item)

  @doc """
  Waits for tables, see `Remnesia.Table.wait/2`.

      iex> Remnesia.Table.create!(Example.User)
      iex> Remnesia.wait([Example.User], 1000)
      :ok
  """
  @spec wait(Table.name() | [Table.name()], timeout) ::
          :ok | {:timeout, [Table.name()]} | {:error, term}
  defdelegate wait(tables, timeout \\ 3000), to: Table

  @doc """
  Runs the function as a transaction, see `Remnesia.Transaction.execute/2`.

      iex> Remnesia.transaction(fn -> :hello end)
      {:ok, :hello}
  """
  @spec transaction((() -> term)) :: Transaction.result()
  defdelegate transaction(function), to: Transaction, as: :execute

  @doc """
  Runs the function as a transaction and returns its value, or raises, see `Remnesia.Transaction.execute!/2`.

      iex> Remnesia.transaction!(fn -> :hello end)
      :hello
  """
  @spec transaction!((() -> term)) :: term | no_return
  defdelegate transaction!(function), to: Transaction, as: :execute!

  @doc """
  Waits until everything that was committed before is on disc.

  Returns `:ok`, at once if no table is on disc, or `{:error, {:not_durable, reason}}` when the disc fails.

      iex> Remnesia.sync()
      :ok
  """
  @spec sync() :: :ok | {:error, term}
  def sync, do: Engine.sync()

  @doc """
  Writes the file of the tables on disc anew, without the room that changes have left in it, and answers its bytes before and after.

  Everybody goes on reading and writing meanwhile. There has to be room for both files; where there is not, or the disc fails, the answer is
  `{:error, {:not_durable, reason}}` and the old file stays. Without a disc there is nothing to do.

      iex> Remnesia.compact()
      {:ok, {0, 0}}
  """
  @spec compact() :: {:ok, {non_neg_integer, non_neg_integer}} | {:error, term}
  def compact, do: Engine.compact()

  @doc """
  Figures about the disc, `nil` as long as the schema is in memory:

    * `:unsynced_bytes`, `:unsynced_microseconds` - what is answered and not on disc yet, and for how long at most
    * `:log_bytes` - the length of the log files
    * `:fsyncs`, `:last_fsync_microseconds` - how often the log was synced, and how long that took last
    * `:flushes` - how often the log was moved to the tables' file
    * `:tail`, `:synced`, `:flushed` - positions in the log: its end, what is on disc, what is in the tables' file
    * `:refused` - why changes of tables on disc are refused, if they are

        iex> Remnesia.disc_metrics()
        nil
  """
  @spec disc_metrics() :: map | nil
  def disc_metrics, do: Engine.disc_metrics()

  @doc """
  Writes a backup: the tables as they are at one moment, all of their definitions and records, while others go on writing.

  The file gets its name when it is complete, on disc, and has been read again and found sound; what was there under the name stays until then.

  ## Options

    * `:tables` - names of the tables, or `:all` (default)
    * `:compact` - whether to compress it, which takes longer. Defaults to `false`.
    * `:progress` - a function that gets a line of text now and then

  Returns `{:ok, [{table, records}]}` or `{:error, reason}`: `{:no_exists, table}`, or the reason of a file that cannot be written.

      iex> Remnesia.backup("/nowhere/at/all")
      {:error, :enoent}
  """
  @spec backup(Path.t(), keyword) :: {:ok, [{atom, non_neg_integer}]} | {:error, term}
  def backup(path, options \\ []), do: Remnesia.Transfer.Own.backup(path, options)

  @doc """
  Puts the tables of a backup into the running database, in the place of those of the same names: all of them, or none if anything is wrong. Other
  tables stay as they are. The file is read to its end and checked before anything is changed; what is in it is data and never run.

  ## Options

    * `:tables` - names of the tables to take, or `:all` (default)
    * `:max_atoms` - how many atoms that this VM does not have yet the data may bring. Defaults to that of the configuration, 500,000.
    * `:progress` - a function that gets a line of text now and then

  Returns `{:ok, [{table, records}]}` or `{:error, reason}`, with `{:not_a_backup, path}`, `{:bad_version, version}` of a newer format,
  `{:corrupt, path, what}`, `:too_many_atoms`, `{:not_in_backup, tables}`.

      iex> Remnesia.restore("mix.exs")
      {:error, {:not_a_backup, "mix.exs"}}
  """
  @spec restore(Path.t(), keyword) :: {:ok, [{atom, non_neg_integer}]} | {:error, term}
  def restore(path, options \\ []), do: Remnesia.Transfer.Own.restore(path, options)

  @doc """
  Writes tables as text, as they are at one moment: Erlang terms that people can read and change, in the form of Mnesia's `dump_to_textfile`.

  Options are `:tables` and `:progress`, as for `backup/2`.

  Returns `{:ok, [{table, records}]}` or `{:error, reason}`: `{:not_text, table, key}` for a record that holds a pid, a reference or a function.

      iex> Remnesia.dump("/nowhere/at/all")
      {:error, :enoent}
  """
  @spec dump(Path.t(), keyword) :: {:ok, [{atom, non_neg_integer}]} | {:error, term}
  def dump(path, options \\ []), do: Remnesia.Transfer.TextFile.dump(path, options)

  @doc """
  Adds the records of a text file, of `dump/2` or of Mnesia, to its tables, which are created if they are not there: all of them, or nothing if
  anything is wrong.

  The option `:max_atoms` is as for `restore/2`.

  Returns `{:ok, [{table, records}]}` or `{:error, reason}`: `{:syntax, line, text}`, `{:bad_header, line}` if the first term does not name tables,
  `{:undefined_object, line, what}` for what is no record of one of them, `{:bad_record, line, reason}` for one that does not fit,
  `:too_many_atoms`.

      iex> Remnesia.load("/nowhere/at/all")
      {:error, :enoent}
  """
  @spec load(Path.t(), keyword) :: {:ok, [{atom, non_neg_integer}]} | {:error, term}
  def load(path, options \\ []), do: Remnesia.Transfer.TextFile.load(path, options)

  @doc """
  Takes over the tables of stock Mnesia: definitions, indexes, properties and records.

  `source` is the directory of a Mnesia that does not run, or `:running` for the one that runs in this VM. The directory is
  read through a copy and stays as it is. An import that was cut off goes on where it was when it is called again. At the
  end records are counted and compared by hash with what Mnesia has.

  ## Options

    * `:tables` - names of the tables to take, or `:all` (default)
    * `:node` - whose tables, if the schema of the directory knows several nodes
    * `:max_atoms` - how many atoms that this VM does not have yet the data may bring. Defaults to 100,000.
    * `:progress` - a function that gets a line of text now and then

  Returns `{:ok, [{table, records}]}` or `{:error, reason}`, with `{:no_mnesia, source}`, `{:which_node, nodes}`,
  `{:already_exists, table}` for a table that no import made, `:too_many_atoms`, `{:mnesia, output}` if stock Mnesia cannot open the
  directory, or `{:differ, tables}` if the comparison at the end fails.

      iex> Remnesia.import_mnesia("no/such/directory")
      {:error, {:no_mnesia, "no/such/directory"}}
  """
  @spec import_mnesia(:running | Path.t(), keyword) ::
          {:ok, [{atom, non_neg_integer}]} | {:error, term}
  def import_mnesia(source, options \\ []), do: Remnesia.Transfer.Import.run(source, options)

  @doc """
  Writes all tables, as they are at one moment, to a file that `:mnesia.restore/2` and `:mnesia.install_fallback/1` take.

  The option `:progress` is a function that gets a line of text now and then.

  Returns `{:ok, [{table, records}]}` or `{:error, reason}`: `{:not_in_mnesia, :duplicate_bag, tables}` as Mnesia has no such
  tables, or the reason of a file that cannot be written.

      iex> path = Path.join(System.tmp_dir!(), "example-for-mnesia.bup")
      iex> {:ok, _tables} = Remnesia.export_mnesia(path)
      iex> File.rm(path)
      :ok
  """
  @spec export_mnesia(Path.t(), keyword) :: {:ok, [{atom, non_neg_integer}]} | {:error, term}
  def export_mnesia(path, options \\ []), do: Remnesia.Transfer.Export.run(path, options)
end
