defmodule Remnesia.Native do
  @moduledoc false

  # The stubs of native/nif, one line each and nothing else: what each call takes and answers is "The NIF contract" in
  # docs/design.md. Only Remnesia.Engine.Local, Remnesia.Backend and their files call this module, and the reads of Remnesia.Engine.Cluster.

  @typedoc "Any term can be the name of a table."
  @type name :: term
  @type type :: :set | :ordered_set | :bag | :duplicate_bag
  @type props :: term
  @type shape :: {type, arity :: pos_integer, record_name :: atom, indexes :: list}
  @typedoc "The table's number on disc, if it is there."
  @type number_on_disc :: non_neg_integer | nil
  @typedoc "Whether the rows are on disc; `:only` there."
  @type rows :: boolean | :only
  @type positions :: pos_integer | [pos_integer]

  @typedoc "The transaction object of a process."
  @type txn :: reference
  @typedoc "In a transaction, outside of one, outside and the watchers of the table are told already, or a read of a cluster's table that is proved to be here."
  @type ctx :: txn | nil | :"$watched" | :"$near"
  @type kind :: :read | :write

  @typedoc "Refused; nothing was changed."
  @type refusal :: {:"$error", term}

  @typedoc "A value, or what is to be done before the same call is made again."
  @type answer(value) ::
          value
          | refusal
          | :"$wait"
          | :"$restart"
          | :"$commit_wait"
          | :"$watched"
          | :"$frozen"
          | {:"$room", pos_integer}
          | {:"$sync", non_neg_integer}
          | {:"$sync", non_neg_integer, value}

  @type continuation :: term
  @type slice ::
          answer(
            {:done, [term]}
            | {:slice, [term], continuation}
            | {:limit, [term], continuation}
          )

  # Compiling must not load the library: it may not be built yet.
  @compile {:autoload, false}
  @on_load :load

  # The path of the library that is loaded: it may not be the one that is on disc now.
  @loaded {__MODULE__, :loaded}

  @doc false
  @spec load() :: :ok | {:error, term}
  def load, do: load(path())

  defp load(path) do
    case :erlang.load_nif(to_charlist(path), {exact_map_keys?(), application?()}) do
      # The number is the library's own, see `upgrade` in native/nif/src/lib.rs.
      {:error, {:upgrade, ~c"Library upgrade-call unsuccessful (2)."}} ->
        IO.puts(
          :stderr,
          "Remnesia: another build of the native library cannot take over a running database. " <>
            "Stop the application first (Application.stop(:remnesia)), then load it again; until then the old build goes on."
        )

        old_goes_on(path)

      :ok ->
        :persistent_term.put(@loaded, path)

      error ->
        error
    end
  end

  # A refusal leaves the old module in its place. But whoever compiles a module deletes the old one first, as Mix does: then this
  # one goes before the old library, which a loader that has it open knows by its name, also when the file is gone.
  defp old_goes_on(refused) do
    old = :persistent_term.get(@loaded, refused)

    if old == refused or :erlang.module_loaded(__MODULE__),
      do: {:error, :stop_the_application_first},
      else: load(old)
  end

  # Not asked of the application controller, which may be waiting for us.
  defp application?, do: Process.whereis(Remnesia.Supervisor) != nil

  # Whether this VM's ETS looks up a map in the key of a match spec as it is, or like any other map in a head.
  defp exact_map_keys? do
    table = :ets.new(:remnesia, [:private])
    :ets.insert(table, {%{a: 1}})
    found = :ets.select(table, [{{%{}}, [], [true]}])
    :ets.delete(table)
    found == []
  end

  @doc "The library, without its extension. Its name ends with a hash of the build."
  @spec path() :: Path.t()
  def path do
    directory = Path.join(:code.priv_dir(:remnesia), "native")

    case Path.wildcard(Path.join(directory, "remnesia_nif-*")) do
      [] -> Path.join(directory, "remnesia_nif")
      found -> found |> Enum.max_by(&File.stat!(&1).mtime) |> Path.rootname()
    end
  end

  @spec db_start() :: :ok | {:error, :already_started}
  def db_start, do: stub()
  @spec db_stop() :: :ok | {:error, :not_started}
  def db_stop, do: stub()
  @spec running() :: boolean
  def running, do: stub()

  @spec tables() :: [name]
  def tables, do: stub()

  @spec table_create(name, shape, props, number_on_disc, rows) :: :ok | refusal
  def table_create(_name, _shape, _props, _number, _rows), do: stub()
  @spec table_define(name, shape, props, number_on_disc, rows, [tuple]) :: answer(:ok)
  def table_define(_name, _shape, _props, _number, _rows, _changes), do: stub()
  @spec table_delete(ctx, name) :: answer(:ok)
  def table_delete(_txn, _name), do: stub()
  @spec table_clear(ctx, name) :: answer(:ok)
  def table_clear(_txn, _name), do: stub()
  @spec index_add(txn, name, positions, boolean, props) :: answer(:ok | :"$more")
  def index_add(_txn, _name, _positions, _unique, _props), do: stub()
  @spec index_drop(txn, name, positions, props) :: answer(:ok | false)
  def index_drop(_txn, _name, _positions, _props), do: stub()
  @spec table_props(name) :: {:ok, props} | :error
  def table_props(_name), do: stub()
  @spec table_put_props(name, props) :: :ok | :error
  def table_put_props(_name, _props), do: stub()
  @spec table_put_aside(name, shape, number_on_disc, rows) :: :ok | refusal
  def table_put_aside(_name, _shape, _number, _rows), do: stub()
  @spec table_keep_new(name) :: boolean
  def table_keep_new(_name), do: stub()
  @spec table_take_back(name) :: boolean
  def table_take_back(_name), do: stub()
  @spec table_access(name, :read_only | :read_write) :: :ok | refusal
  def table_access(_name, _mode), do: stub()
  @spec table_size(name) :: non_neg_integer | :error
  def table_size(_name), do: stub()
  @spec table_memory(name) :: non_neg_integer | :error
  def table_memory(_name), do: stub()
  @spec table_check(name) :: :ok | {:error, String.t()} | refusal
  def table_check(_name), do: stub()

  @spec disc_open(String.t(), [{atom, integer}], boolean) ::
          {:ok, [{non_neg_integer, binary}]} | {:error, term}
  def disc_open(_directory, _settings, _sync), do: stub()
  @spec disc_check(String.t()) :: {:ok, [{atom, integer}]} | {:error, term}
  def disc_check(_directory), do: stub()
  @spec disc_free(String.t()) :: :ok | {:error, term}
  def disc_free(_directory), do: stub()
  @spec disc_close(String.t()) :: :ok | {:error, term}
  def disc_close(_directory), do: stub()
  @spec disc_number(boolean) :: non_neg_integer | refusal
  def disc_number(_ordered), do: stub()
  @spec disc_change([tuple]) :: answer(non_neg_integer)
  def disc_change(_changes), do: stub()
  @spec disc_loaded() :: :ok | refusal
  def disc_loaded, do: stub()
  @spec disc_flush() :: :ok | refusal
  def disc_flush, do: stub()
  @spec disc_compact() :: {:ok, {non_neg_integer, non_neg_integer}} | refusal
  def disc_compact, do: stub()
  @spec disc_metrics() :: [{atom, integer}] | nil
  def disc_metrics, do: stub()
  @spec table_restore(name, shape, non_neg_integer, rows, props) :: :ok | refusal
  def table_restore(_name, _shape, _number, _rows, _props), do: stub()
  @spec table_load(name, boolean) :: :ok | refusal
  def table_load(_name, _dumped), do: stub()
  @spec tables_loading() :: [{name, non_neg_integer}]
  def tables_loading, do: stub()
  @spec table_disc(name) :: {non_neg_integer, rows} | nil
  def table_disc(_name), do: stub()
  @spec table_keep(txn, name, boolean, rows, [tuple], props) :: answer(:ok)
  def table_keep(_txn, _name, _log, _rows, _changes, _props), do: stub()
  @spec table_number(name, number_on_disc) :: :ok | refusal
  def table_number(_name, _number), do: stub()
  @spec log_wait(non_neg_integer, reference) :: :ok | :queued | refusal
  def log_wait(_position, _ref), do: stub()
  @spec log_room(pos_integer, reference) :: :ok | :queued | refusal
  def log_room(_bytes, _ref), do: stub()
  @spec log_tail() :: non_neg_integer | nil
  def log_tail, do: stub()

  @spec txn_new() :: txn | refusal
  def txn_new, do: stub()
  @spec txn_begin(txn) :: pos_integer | refusal
  def txn_begin(_txn), do: stub()
  @spec txn_commit(txn) :: answer(:ok)
  def txn_commit(_txn), do: stub()
  @spec txn_abort(txn) :: answer(:ok)
  def txn_abort(_txn), do: stub()
  @spec txn_restart(txn) :: answer(:ok)
  def txn_restart(_txn), do: stub()
  @spec txn_wait(txn, reference) :: :ok | :queued | :"$restart" | refusal
  def txn_wait(_txn, _ref), do: stub()
  @spec txn_depth(txn) :: non_neg_integer
  def txn_depth(_txn), do: stub()
  @spec txn_serial(txn) :: non_neg_integer
  def txn_serial(_txn), do: stub()
  @spec txn_counted(txn) :: answer(:ok)
  def txn_counted(_txn), do: stub()
  @spec txn_position(txn) :: non_neg_integer | nil
  def txn_position(_txn), do: stub()
  @spec commit_wait(name, term, reference) :: :ok | :queued | refusal
  def commit_wait(_name, _key, _ref), do: stub()

  @spec lock_table(txn, name, kind) :: answer(:ok)
  def lock_table(_txn, _name, _kind), do: stub()
  @spec lock_record(txn, name, term, kind) :: answer(:ok)
  def lock_record(_txn, _name, _key, _kind), do: stub()
  @spec lock_global(txn, term, kind) :: answer(:ok)
  def lock_global(_txn, _term, _kind), do: stub()

  @spec read(ctx, name, term, kind) :: answer([tuple])
  def read(_ctx, _name, _key, _kind), do: stub()
  @spec write(ctx, name, tuple, term) :: answer(:ok) | {:"$watched", [tuple], answer(:ok)}
  def write(_ctx, _name, _record, _kind), do: stub()
  @spec write_all(name, [tuple]) :: answer([tuple])
  def write_all(_name, _records), do: stub()

  @spec near_begin() :: :ok
  def near_begin, do: stub()
  @spec near_doubt() :: :ok
  def near_doubt, do: stub()
  @spec near_end() :: :ok
  def near_end, do: stub()
  @spec near_run() :: non_neg_integer
  def near_run, do: stub()
  @spec near_prove(name, run :: non_neg_integer) :: :ok | refusal
  def near_prove(_name, _run), do: stub()

  @spec transfer_take(name, place :: term) ::
          {parcel :: binary, [tuple], place :: term | :done} | refusal
  def transfer_take(_name, _place), do: stub()

  @spec transfer_open(parcel :: binary) :: {rows :: reference, non_neg_integer} | refusal
  def transfer_open(_parcel), do: stub()

  @spec transfer_put(name, rows :: reference, non_neg_integer, expected :: non_neg_integer) ::
          answer(non_neg_integer)
  def transfer_put(_name, _opened, _from, _expected), do: stub()

  @spec delete(ctx, name, term) :: answer(:ok)
  def delete(_ctx, _name, _key), do: stub()
  @spec delete_object(ctx, name, tuple) :: answer(:ok)
  def delete_object(_ctx, _name, _record), do: stub()
  @spec update_counter(ctx, name, term, integer) :: answer(integer)
  def update_counter(_ctx, _name, _key, _incr), do: stub()

  @spec index_read(ctx, name, term, pos_integer) :: slice
  def index_read(_ctx, _name, _value, _position), do: stub()
  @spec select(ctx, name, list, kind, non_neg_integer) :: slice
  def select(_ctx, _name, _spec, _kind, _limit), do: stub()

  @spec select_in_order(ctx, name, list, kind, [integer], non_neg_integer, non_neg_integer) ::
          slice
  def select_in_order(_ctx, _name, _spec, _kind, _order, _limit, _offset), do: stub()
  @spec select_next(ctx, continuation) :: slice
  def select_next(_ctx, _continuation), do: stub()
  @spec select_plan(name, list) :: tuple
  def select_plan(_name, _spec), do: stub()
  @spec spec_test(tuple, list) :: {:ok, term} | {:error, String.t()}
  def spec_test(_record, _spec), do: stub()
  @spec select_count(ctx, name, list, kind) :: slice
  def select_count(_ctx, _name, _spec, _kind), do: stub()
  @spec all_keys(ctx, name) :: slice
  def all_keys(_ctx, _name), do: stub()
  @spec first(ctx, name) :: answer({:ok, term} | :"$end_of_table")
  def first(_ctx, _name), do: stub()
  @spec last(ctx, name) :: answer({:ok, term} | :"$end_of_table")
  def last(_ctx, _name), do: stub()
  @spec next(ctx, name, term) :: answer({:ok, term} | :"$end_of_table")
  def next(_ctx, _name, _key), do: stub()
  @spec next_of_gone(name, term) :: answer({:ok, term} | :"$end_of_table")
  def next_of_gone(_name, _key), do: stub()
  @spec prev(ctx, name, term) :: answer({:ok, term} | :"$end_of_table")
  def prev(_ctx, _name, _key), do: stub()
  @spec last_number(ctx, name) :: answer(number | nil)
  def last_number(_ctx, _name), do: stub()

  @spec watch(name, boolean) :: :ok | refusal
  def watch(_name, _on), do: stub()
  @spec txn_publish(txn) :: boolean | refusal
  def txn_publish(_txn), do: stub()
  @spec txn_end(txn) :: :ok | refusal
  def txn_end(_txn), do: stub()
  @spec locks() :: [tuple]
  def locks, do: stub()
  @spec transactions() :: {[{integer, pid}], non_neg_integer, non_neg_integer, non_neg_integer}
  def transactions, do: stub()
  @spec txn_join(txn) :: boolean
  def txn_join(_txn), do: stub()
  @spec txn_untouched(txn, name) :: boolean
  def txn_untouched(_txn, _name), do: stub()
  @spec txn_written_keys(txn, name) :: [term]
  def txn_written_keys(_txn, _name), do: stub()

  @spec snapshot_begin([name]) :: {:ok, integer, non_neg_integer} | :"$more" | refusal
  def snapshot_begin(_names), do: stub()
  @spec snapshot_scan(integer, name, term) :: {[tuple], place :: term} | refusal
  def snapshot_scan(_snapshot, _name, _place), do: stub()
  @spec snapshot_read(integer, name, term) :: [tuple] | refusal
  def snapshot_read(_snapshot, _name, _key), do: stub()
  @spec snapshot_kept(integer) :: non_neg_integer | refusal
  def snapshot_kept(_snapshot), do: stub()
  @spec snapshot_end(integer) :: :ok | refusal
  def snapshot_end(_snapshot), do: stub()

  @spec shadow_create(txn, name, shape, number_on_disc, rows) :: answer(:ok)
  def shadow_create(_txn, _name, _shape, _number, _rows), do: stub()
  @spec shadow_write(name, tuple) :: answer(:ok)
  def shadow_write(_name, _record), do: stub()
  @spec shadow_delete(name, term) :: answer(:ok)
  def shadow_delete(_name, _key), do: stub()
  @spec shadow_swap(txn, list, list) :: answer(:ok)
  def shadow_swap(_txn, _swaps, _changes), do: stub()
  @spec shadow_drop(name) :: :ok | refusal
  def shadow_drop(_name), do: stub()

  # For tests: locks in the whole database, and what the term border makes of a term.
  @spec lock_count() :: non_neg_integer
  def lock_count, do: stub()
  @spec test_encode(term) :: term
  def test_encode(_term), do: stub()
  @spec test_roundtrip(term) :: term
  def test_roundtrip(_term), do: stub()
  @spec test_disc(term) :: term
  def test_disc(_term), do: stub()
  @spec test_compare(term, term) :: term
  def test_compare(_a, _b), do: stub()
  @spec test_key(term) :: term
  def test_key(_term), do: stub()
  @spec test_same(term, term) :: term
  def test_same(_a, _b), do: stub()
  @spec test_hash(term) :: term
  def test_hash(_term), do: stub()
  @spec test_time(term, term) :: term
  def test_time(_record, _times), do: stub()
  @spec test_live(term) :: term
  def test_live(_term), do: stub()
  @spec test_select(ctx, name, list, integer) :: term
  def test_select(_ctx, _name, _spec, _number), do: stub()
  @spec test_panic(txn | nil, name) :: term
  def test_panic(_txn, _name), do: stub()
  @spec test_functions() :: [{atom, arity}]
  def test_functions, do: stub()
  @spec test_fault(String.t(), list, atom) :: term
  def test_fault(_function, _arguments, _point), do: stub()

  defp stub, do: :erlang.nif_error(:nif_not_loaded)
end
