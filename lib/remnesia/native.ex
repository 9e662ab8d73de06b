defmodule Remnesia.Native do
  @moduledoc false

  # The stubs of native/nif, one line each and nothing else: what each call takes and answers is "The NIF contract" in
  # docs/design.md. Only Remnesia.Engine.Local, Remnesia.Backend and their files call this module, and the reads of Remnesia.Engine.Cluster.

  # Compiling must not load the library: it may not be built yet.
  @compile {:autoload, false}
  @on_load :load

  # The path of the library that is loaded: it may not be the one that is on disc now.
  @loaded {__MODULE__, :loaded}

  @doc false
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
  def path do
    directory = Path.join(:code.priv_dir(:remnesia), "native")

    case Path.wildcard(Path.join(directory, "remnesia_nif-*")) do
      [] -> Path.join(directory, "remnesia_nif")
      found -> found |> Enum.max_by(&File.stat!(&1).mtime) |> Path.rootname()
    end
  end

  def db_start, do: stub()
  def db_stop, do: stub()
  def running, do: stub()

  def tables, do: stub()
  def table_create(_name, _shape, _props, _number, _rows), do: stub()
  def table_delete(_txn, _name), do: stub()
  def table_clear(_txn, _name), do: stub()
  def index_add(_txn, _name, _positions, _unique, _props), do: stub()
  def index_drop(_txn, _name, _positions, _props), do: stub()
  def table_props(_name), do: stub()
  def table_put_props(_name, _props), do: stub()
  def table_put_aside(_name, _shape, _number, _rows), do: stub()
  def table_keep_new(_name), do: stub()
  def table_take_back(_name), do: stub()
  def table_access(_name, _mode), do: stub()
  def table_size(_name), do: stub()
  def table_memory(_name), do: stub()
  def table_check(_name), do: stub()

  def disc_open(_directory, _settings, _sync), do: stub()
  def disc_check(_directory), do: stub()
  def disc_close(_directory), do: stub()
  def disc_number(_ordered), do: stub()
  def disc_change(_changes), do: stub()
  def disc_loaded, do: stub()
  def disc_flush, do: stub()
  def disc_metrics, do: stub()
  def table_restore(_name, _shape, _number, _rows, _props), do: stub()
  def table_load(_name), do: stub()
  def tables_loading, do: stub()
  def table_disc(_name), do: stub()
  def table_log(_txn, _name, _rows), do: stub()
  def table_number(_name, _number), do: stub()
  def log_wait(_position, _ref), do: stub()
  def log_room(_bytes, _ref), do: stub()
  def log_tail, do: stub()

  def txn_new, do: stub()
  def txn_begin(_txn), do: stub()
  def txn_commit(_txn), do: stub()
  def txn_abort(_txn), do: stub()
  def txn_restart(_txn), do: stub()
  def txn_wait(_txn, _ref), do: stub()
  def txn_depth(_txn), do: stub()
  def txn_serial(_txn), do: stub()
  def txn_position(_txn), do: stub()
  def commit_wait(_name, _key, _ref), do: stub()

  def lock_table(_txn, _name, _kind), do: stub()
  def lock_record(_txn, _name, _key, _kind), do: stub()
  def lock_global(_txn, _term, _kind), do: stub()

  def read(_ctx, _name, _key, _kind), do: stub()
  def write(_ctx, _name, _record, _kind), do: stub()
  def write_all(_name, _records), do: stub()
  def delete(_ctx, _name, _key), do: stub()
  def delete_object(_ctx, _name, _record), do: stub()
  def update_counter(_ctx, _name, _key, _incr), do: stub()

  def index_read(_ctx, _name, _value, _position), do: stub()
  def select(_ctx, _name, _spec, _kind, _limit), do: stub()
  def select_in_order(_ctx, _name, _spec, _kind, _order, _limit, _offset), do: stub()
  def select_next(_ctx, _continuation), do: stub()
  def select_plan(_name, _spec), do: stub()
  def spec_test(_record, _spec), do: stub()
  def select_count(_ctx, _name, _spec, _kind), do: stub()
  def all_keys(_ctx, _name), do: stub()
  def first(_ctx, _name), do: stub()
  def last(_ctx, _name), do: stub()
  def next(_ctx, _name, _key), do: stub()
  def next_of_gone(_name, _key), do: stub()
  def prev(_ctx, _name, _key), do: stub()
  def last_number(_ctx, _name), do: stub()

  def watch(_name, _on), do: stub()
  def txn_publish(_txn), do: stub()
  def txn_end(_txn), do: stub()
  def locks, do: stub()
  def transactions, do: stub()
  def txn_join(_txn), do: stub()
  def txn_untouched(_txn, _name), do: stub()
  def txn_written_keys(_txn, _name), do: stub()

  def snapshot_begin(_names), do: stub()
  def snapshot_scan(_snapshot, _name, _place), do: stub()
  def snapshot_read(_snapshot, _name, _key), do: stub()
  def snapshot_kept(_snapshot), do: stub()
  def snapshot_end(_snapshot), do: stub()

  def shadow_create(_txn, _name, _shape, _number, _rows), do: stub()
  def shadow_write(_name, _record), do: stub()
  def shadow_delete(_name, _key), do: stub()
  def shadow_swap(_txn, _swaps, _changes), do: stub()
  def shadow_drop(_name), do: stub()

  # For tests: locks in the whole database, and what the term border makes of a term.
  def lock_count, do: stub()
  def test_encode(_term), do: stub()
  def test_roundtrip(_term), do: stub()
  def test_disc(_term), do: stub()
  def test_compare(_a, _b), do: stub()
  def test_key(_term), do: stub()
  def test_same(_a, _b), do: stub()
  def test_hash(_term), do: stub()
  def test_time(_record, _times), do: stub()
  def test_live(_term), do: stub()
  def test_select(_ctx, _name, _spec, _number), do: stub()
  def test_panic(_txn, _name), do: stub()

  defp stub, do: :erlang.nif_error(:nif_not_loaded)
end
