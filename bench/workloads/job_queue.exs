defmodule Bench.JobQueue do
  # Half of the processes put jobs in, half take the next one, mark it as running, and are done with it: three small transactions for a job. Jobs have
  # an order by priority and time; a worker locks the one it takes and looks for another if somebody was faster.

  @waiting 2_000

  def name, do: "job queue"

  def setup(m, copies) do
    options = [attributes: [:key, :state, :payload]] ++ copies
    {:atomic, :ok} = m.create_table(:jobs, [type: :ordered_set] ++ options)
    {:atomic, :ok} = m.create_table(:running, options)
    for n <- 1..@waiting, do: put(m, {5, n, 0})
  end

  def operation(m, driver) do
    if rem(driver, 2) == 0, do: producer(m, driver), else: worker(m)
  end

  # Not more than are taken: a queue that only grows is not what is measured.
  defp producer(m, driver) do
    fn i ->
      if m.dirty_first(:jobs) == :"$end_of_table" or m.table_info(:jobs, :size) < 2 * @waiting,
        do: put(m, {rem(i, 10), System.monotonic_time(), driver}),
        else: :erlang.yield()
    end
  end

  defp put(m, key) do
    {:atomic, :ok} =
      m.transaction(fn -> m.write({:jobs, key, :waiting, "what is to be done"}) end)
  end

  defp worker(m) do
    fn _i ->
      case m.transaction(fn -> take(m) end) do
        {:atomic, :nothing} ->
          :erlang.yield()

        {:atomic, job} ->
          {:atomic, :ok} = m.transaction(fn -> m.delete({:running, elem(job, 1)}) end)
      end
    end
  end

  defp take(m) do
    case m.dirty_first(:jobs) do
      :"$end_of_table" ->
        :nothing

      key ->
        case m.read(:jobs, key, :write) do
          [job] ->
            m.delete({:jobs, key})
            m.write(:running, put_elem(put_elem(job, 0, :running), 2, self()), :write)
            job

          [] ->
            take(m)
        end
    end
  end

  def check!(m), do: {:running, 0} = {:running, m.table_info(:running, :size)}
  def teardown(m), do: for(table <- [:jobs, :running], do: m.delete_table(table))
end
