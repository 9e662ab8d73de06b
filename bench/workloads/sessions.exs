defmodule Bench.Sessions do
  # A session store: of 1,000 operations 900 read a session and put off its end, 99 begin one, and one looks for sessions that are over, by a
  # guard on an indexed attribute, and deletes up to 100 of them.

  @sessions 50_000
  @life 1_000

  def name, do: "session store"

  def setup(m, copies) do
    options = [attributes: [:token, :user, :ends, :data], index: [:ends]] ++ copies
    {:atomic, :ok} = m.create_table(:sessions, options)

    for chunk <- Enum.chunk_every(1..@sessions, 1_000) do
      {:atomic, _} =
        m.transaction(fn ->
          for n <- chunk, do: m.write({:sessions, n, n, rem(n, @life), "data"})
        end)
    end
  end

  def operation(m, driver) do
    fn i ->
      case :rand.uniform(1_000) do
        1 -> sweep(m, div(i, 1_000))
        n when n <= 100 -> begin(m, {driver, i}, i)
        _often -> touch(m, :rand.uniform(@sessions), i)
      end
    end
  end

  defp touch(m, token, now) do
    m.transaction(fn ->
      case m.read(:sessions, token, :write) do
        [session] -> m.write(put_elem(session, 3, @life + div(now, 100)))
        [] -> :over
      end
    end)
  end

  defp begin(m, token, now) do
    {:atomic, :ok} =
      m.transaction(fn -> m.write({:sessions, token, :user, @life + div(now, 100), "data"}) end)
  end

  # Those that ended before; a handful at each time.
  defp sweep(m, now) do
    spec = [{{:sessions, :"$1", :_, :"$2", :_}, [{:<, :"$2", now}], [:"$1"]}]

    {:atomic, _} =
      m.transaction(fn ->
        case m.select(:sessions, spec, 100, :write) do
          {tokens, _more} -> Enum.each(tokens, &m.delete({:sessions, &1}))
          :"$end_of_table" -> :ok
        end
      end)
  end

  def check!(m), do: {:ok, true} = {:ok, m.table_info(:sessions, :size) > 0}
  def teardown(m), do: {:atomic, :ok} = m.delete_table(:sessions)
end
