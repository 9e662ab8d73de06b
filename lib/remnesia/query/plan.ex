defmodule Remnesia.Query.Plan do
  @moduledoc """
  How a query is answered: what `Remnesia.Query.explain/3` returns. Printed, it is a few lines that say why a query is fast or slow.

      Example.Movie: key range
        bounds    id >= 2 and id < 10
        looks at  2 of 3 records
        locks     the table

  The plans, from the best on:

    * `:nothing` - the conditions contradict each other: nothing is read
    * `:key` - the records of one or several keys
    * `:key_range` - a part of an `:ordered_set`
    * `:index` - one or several values of an index, or of the first attributes of an index on several
    * `:both` - what has one value in an index and one in another, if both lead to many records
    * `:index_range` - ranges of values of an index; of one on several attributes also a range after values of the first ones
    * `:union` - alternatives (`:or`, or several clauses), each by key or index
    * `:scan` - every record of the table

  A plan decides how many records are looked at, never which are returned: all conditions are tested on each of them.
  """

  @typedoc "A number of records: counted, estimated by a sample, or only known to be greater than that."
  @type rows :: {:exact | :about | :more_than, non_neg_integer}

  @typedoc """
  A part of the order of terms: its ends, each with whether it is included, and `nil` for none. With a `prefix`, which is the
  size of a tuple and its first elements, the ends are those of the element after these.
  """
  @type interval :: %{
          prefix: {non_neg_integer, [term]} | nil,
          from: {term, boolean} | nil,
          to: {term, boolean} | nil
        }

  @typedoc """
    * `plan`, `index` - what is used, and the indexed attribute where it is one; a list of them for an index on several
    * `bounds` - the attributes that it goes by and their values, one interval or the other
    * `rows` - records that it looks at; `size` - records of the table
    * `locks` - what a `select` in a transaction locks: `:records` (index values too), `:table`, or `:nothing`
    * `ways` - all plans there are for this query and the records each looks at, for an index with its attribute
    * `bounded` - attributes without an index that the query has conditions on, if an index would be used
    * `visited`, `matched`, `time` - with `analyze: true` what happened: records looked at, records that fulfil the
      conditions, microseconds
  """
  @type t :: %__MODULE__{
          table: atom,
          plan: atom,
          index: atom | [atom] | nil,
          bounds: [{atom, [interval]}],
          rows: rows,
          size: non_neg_integer,
          locks: :nothing | :records | :table,
          ways: [{atom | {atom, atom | [atom]} | {:both, atom | [atom], atom | [atom]}, rows}],
          bounded: [atom],
          visited: non_neg_integer | nil,
          matched: non_neg_integer | nil,
          time: non_neg_integer | nil
        }

  defstruct [:table, :plan, :index, :rows, :size, :locks, :visited, :matched, :time] ++
              [bounds: [], ways: [], bounded: []]

  # More intervals of one attribute than these are not printed.
  @shown 4

  @doc false
  @spec new(Remnesia.Table.name(), tuple, [atom], non_neg_integer) :: t
  def new(table, {way, bounds, locks, rows, ways, bounded}, attributes, size) do
    attribute = &Enum.at(attributes, &1 - 2)

    name = fn
      several when is_list(several) -> Enum.map(several, attribute)
      position -> attribute.(position)
    end

    indexed = for {way, _rows} <- ways, index <- positions(way), first <- first(index), do: first

    %__MODULE__{
      table: table,
      plan: kind(way),
      index: way |> positions() |> Enum.map(name) |> List.first(),
      bounds:
        for(
          {position, intervals} <- bounds,
          do: {name.(position), Enum.map(intervals, &interval/1)}
        ),
      rows: rows,
      size: size,
      locks: if(locks == :record, do: :records, else: locks),
      ways: for({way, rows} <- ways, do: {named(way, name), rows}),
      bounded:
        for(position <- bounded, position > 2 and position not in indexed, do: name.(position))
    }
  end

  defp kind({kind, _position}), do: kind
  defp kind({kind, _first, _second}), do: kind
  defp kind(kind), do: kind

  defp positions({_kind, position}), do: [position]
  defp positions({_kind, first, second}), do: [first, second]
  defp positions(_way), do: []

  # The conditions on an index begin with its first attribute.
  defp first([position | _rest]), do: [position]
  defp first(position), do: [position]

  defp named({kind, position}, name), do: {kind, name.(position)}

  defp named({kind, first, second}, name), do: {kind, name.(first), name.(second)}
  defp named(kind, _name), do: kind

  defp interval({prefix, from, to}), do: %{prefix: prefix, from: from, to: to}

  @doc """
  The plan as lines of text.

      iex> Remnesia.transaction!(fn -> Remnesia.Query.explain(Example.Movie, {:==, :id, 1}) end)
      ...> |> Remnesia.Query.Plan.to_text()
      ...> |> String.contains?("Example.Movie")
      true
  """
  @spec to_text(t) :: String.t()
  def to_text(%__MODULE__{} = plan) do
    lines =
      [{"bounds", bounds(plan)}, {"looks at", looks_at(plan)}, {"locks", locks(plan)}] ++
        [{"instead of", others(plan)}, {"hint", hint(plan)}, {"did", did(plan)}]

    head = "#{inspect(plan.table)}: #{title(plan)}"

    rest =
      for {label, text} <- lines, text != nil, do: "  #{String.pad_trailing(label, 12)}#{text}"

    Enum.join([head | rest], "\n")
  end

  defp title(%{plan: :nothing}), do: "nothing to read, the conditions contradict each other"
  defp title(%{plan: :key, rows: {:exact, 1}}), do: "key"
  defp title(%{plan: :key}), do: "keys"
  defp title(%{plan: :key_range}), do: "key range"
  defp title(%{plan: :index, index: index}), do: "index on #{name(index)}"
  defp title(%{plan: :index_range, index: index}), do: "index range on #{name(index)}"

  # The bounds of the first index come first.
  defp title(%{plan: :both, bounds: bounds, index: index}) do
    second = bounds |> Enum.drop(length(List.wrap(index))) |> Enum.map(&elem(&1, 0))
    "indexes on #{name(index)} and #{name(second)}"
  end

  defp title(%{plan: :union}), do: "union of searches by key and index"
  defp title(%{plan: :scan}), do: "scan of the whole table"

  defp name(attributes), do: attributes |> List.wrap() |> Enum.join(", ")

  defp bounds(%{bounds: []}), do: nil

  defp bounds(%{plan: :union, bounds: bounds}), do: Enum.map_join(bounds, " or ", &bound/1)
  defp bounds(%{bounds: [one]}), do: bound(one)

  defp bounds(%{bounds: bounds}) do
    Enum.map_join(bounds, " and ", fn {_name, intervals} = bound ->
      if length(intervals) > 1, do: "(#{bound(bound)})", else: bound(bound)
    end)
  end

  defp bound({name, intervals}) do
    shown = intervals |> Enum.take(@shown) |> Enum.map_join(" or ", &condition(name, &1))
    hidden = length(intervals) - @shown
    if hidden > 0, do: "#{shown} or #{hidden} more", else: shown
  end

  defp condition(name, %{prefix: nil, from: nil, to: nil}), do: "a part of #{name}"
  defp condition(name, %{prefix: nil} = interval), do: ends(name, interval)
  defp condition(name, %{prefix: {0, []}}), do: "#{name} of one type"

  defp condition(name, %{prefix: {size, first}, from: from, to: to} = interval) do
    next = if from || to, do: ["x"], else: []
    first = Enum.map(first, &value/1) ++ next
    rest = List.duplicate("_", max(size - length(first), 0))
    tuple = "#{name} = {#{Enum.join(first ++ rest, ", ")}}"
    if next == [], do: tuple, else: "#{tuple} with #{ends("x", interval)}"
  end

  defp ends(name, %{from: {value, true}, to: {value, true}}), do: "#{name} == #{value(value)}"

  defp ends(name, %{from: from, to: to}) do
    lower =
      for {value, inclusive?} <- List.wrap(from),
          do: "#{name} #{if inclusive?, do: ">=", else: ">"} #{value(value)}"

    upper =
      for {value, inclusive?} <- List.wrap(to),
          do: "#{name} #{if inclusive?, do: "<=", else: "<"} #{value(value)}"

    Enum.join(lower ++ upper, " and ")
  end

  defp value(value), do: inspect(value, limit: 5, printable_limit: 40)

  defp looks_at(%{plan: :nothing}), do: "no record"
  defp looks_at(%{plan: :scan, size: size}), do: "all #{number(size)} records"
  defp looks_at(%{rows: rows, size: size}), do: "#{rows(rows)} of #{number(size)} records"

  defp rows({:exact, rows}), do: number(rows)
  defp rows({:about, rows}), do: "about #{number(rows)}"
  defp rows({:more_than, rows}), do: "more than #{number(rows)}"

  defp locks(%{locks: :nothing}), do: "nothing"
  defp locks(%{locks: :table}), do: "the table"

  defp locks(%{plan: :both, index: index}),
    do: "the value of #{name(index)} and the records that have it"

  defp locks(%{plan: :index}), do: "the value and the records that have it"

  defp locks(%{plan: :index_range, bounds: bounds}) do
    first = bounds |> Enum.drop(-1) |> Enum.map_join(", ", &elem(&1, 0))
    "the value of #{first} and the records that are looked at"
  end

  defp locks(%{plan: :union}), do: "keys, values and the records that have them"
  defp locks(%{locks: :records}), do: "these records"

  # The scan is always possible, and of interest only where it was chosen.
  defp others(%{plan: plan, index: index, ways: ways}) do
    mine = if index, do: {plan, index}, else: plan

    case for(
           {way, rows} <- ways,
           way != mine and way != :scan and not match?({:both, _, _}, way),
           do: "#{way(way)} (#{rows(rows)})"
         ) do
      [] -> nil
      others -> Enum.join(others, ", ")
    end
  end

  defp way({kind, index}), do: "#{way(kind)} on #{name(index)}"
  defp way(kind), do: kind |> Atom.to_string() |> String.replace("_", " ")

  defp hint(%{plan: :scan, bounded: [_ | _] = bounded}),
    do: "an index on #{Enum.join(bounded, " or ")} could be used"

  defp hint(%{plan: :scan, ways: [_scan]}), do: "no condition bounds the key or an index"
  defp hint(_plan), do: nil

  defp did(%{time: nil}), do: nil

  defp did(%{visited: visited, matched: matched, time: time}),
    do: "looked at #{number(visited)}, found #{number(matched)}, #{milliseconds(time)} ms"

  defp milliseconds(microseconds), do: :erlang.float_to_binary(microseconds / 1000, decimals: 2)

  defp number(n) do
    n
    |> Integer.digits()
    |> Enum.reverse()
    |> Enum.chunk_every(3)
    |> Enum.map_join(",", &Enum.join/1)
    |> String.reverse()
  end

  defimpl String.Chars do
    def to_string(plan), do: Remnesia.Query.Plan.to_text(plan)
  end

  defimpl Inspect do
    def inspect(plan, _options), do: "#Remnesia.Query.Plan<\n#{plan}\n>"
  end
end
