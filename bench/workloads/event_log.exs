defmodule Bench.EventLog do
  # A log of streams: nine of ten operations append an event to one of 100 streams, one reads its last 100 by a range of keys.

  @streams 100
  @events 1_000

  def name, do: "log with range reads"

  def setup(m, copies) do
    options = [type: :ordered_set, attributes: [:key, :at, :event]] ++ copies
    {:atomic, :ok} = m.create_table(:events, options)
    {:atomic, :ok} = m.create_table(:heads, [attributes: [:stream, :last]] ++ copies)

    for stream <- 1..@streams do
      {:atomic, _} =
        m.transaction(fn ->
          for n <- 1..@events, do: m.write({:events, {stream, n}, n, "what happened"})
          m.write({:heads, stream, @events})
        end)
    end
  end

  def operation(m, _driver) do
    fn i ->
      stream = :rand.uniform(@streams)
      if rem(i, 10) == 0, do: last(m, stream), else: append(m, stream, i)
    end
  end

  defp append(m, stream, i) do
    {:atomic, :ok} =
      m.transaction(fn ->
        [{:heads, ^stream, last}] = m.read(:heads, stream, :write)
        m.write({:heads, stream, last + 1})
        m.write({:events, {stream, last + 1}, i, "what happened"})
      end)
  end

  defp last(m, stream) do
    {:atomic, events} =
      m.transaction(fn ->
        [{:heads, ^stream, last}] = m.read(:heads, stream)

        m.select(:events, [
          {{:events, {stream, :"$1"}, :_, :_}, [{:>, :"$1", last - 100}], [:"$_"]}
        ])
      end)

    100 = length(events)
  end

  @doc "No event is missing in a stream."
  def check!(m) do
    for {:heads, stream, last} <- m.dirty_match_object({:heads, :_, :_}) do
      [_] = m.dirty_read(:events, {stream, last})
      [] = m.dirty_read(:events, {stream, last + 1})
    end

    heads = for {:heads, _, last} <- m.dirty_match_object({:heads, :_, :_}), do: last
    {:events, true} = {:events, Enum.sum(heads) == m.table_info(:events, :size)}
  end

  def teardown(m), do: for(table <- [:events, :heads], do: m.delete_table(table))
end
