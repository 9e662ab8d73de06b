defmodule Bench.JobQueue do
  # A process puts a job in, takes the next one, marks it as running, and is done with it: three small transactions are one operation. Jobs have an
  # order by priority and time; who takes one locks it, and looks for another if somebody was faster. Some thousand are always waiting.

  @waiting 2_000

  def name, do: "job queue"

  def setup(m, copies) do
    options = [attributes: [:key, :state, :payload]] ++ copies
    {:atomic, :ok} = m.create_table(:jobs, [type: :ordered_set] ++ options)
    {:atomic, :ok} = m.create_table(:running, options)
    for n <- 1..@waiting, do: put(m, {5, n, 0})
  end

  def operation(m, driver) do
    fn i ->
      put(m, {rem(i, 10), System.monotonic_time(), driver})
      {:atomic, {:jobs, key, _, _}} = m.transaction(fn -> take(m) end)
      {:atomic, :ok} = m.transaction(fn -> m.delete({:running, key}) end)
    end
  end

  defp put(m, key) do
    {:atomic, :ok} =
      m.transaction(fn -> m.write({:jobs, key, :waiting, "what is to be done"}) end)
  end

  defp take(m) do
    key = m.dirty_first(:jobs)

    case m.read(:jobs, key, :write) do
      [job] ->
        m.delete({:jobs, key})
        m.write(:running, put_elem(put_elem(job, 0, :running), 2, self()), :write)
        job

      [] ->
        take(m)
    end
  end

  @doc "Every job that was taken is done, and as many wait as at the beginning."
  def check!(m) do
    {:running, 0} = {:running, m.table_info(:running, :size)}
    {:waiting, @waiting} = {:waiting, m.table_info(:jobs, :size)}
  end

  def teardown(m), do: for(table <- [:jobs, :running], do: m.delete_table(table))
end
