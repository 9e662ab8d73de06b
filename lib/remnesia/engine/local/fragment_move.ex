defmodule Remnesia.Engine.Local.FragmentMove do
  @moduledoc false

  # Records go to the fragments that they belong to once there is one more, or one less.
  #
  # Every fragment that may change is made anew beside the old one (`Successor`). What counts on disc are the definitions, and they change in
  # one step: a process that is killed before leaves everything as it was, except for a new fragment that belongs to nobody, which
  # `Tables.free!/1` takes away.

  alias Remnesia.Engine.Local.{Activity, Definitions, Dirty, Disc, FragmentChange, Fragments}
  alias Remnesia.Engine.Local.{Schema, Signal, Successor, Tables, Wait, Watch}
  alias Remnesia.{Events, Native}

  @everything [{:_, [], [:"$_"]}]
  @chunk 500

  @doc "Does what was planned, for all tables or for none."
  @spec run(reference, [map]) :: :ok | no_return
  def run(txn, steps) do
    steps = Enum.map(steps, &begin_new/1)

    try do
      steps = Enum.map(steps, &shadows(txn, &1))
      messages = Enum.flat_map(steps, &copy(&1, txn))
      befores = for step <- steps, do: elem(Definitions.fetch(step.base.name), 1)
      swap(txn, steps, befores)
      {steps, befores, messages}
    catch
      kind, reason ->
        for step <- steps, do: undo(txn, step)
        :erlang.raise(kind, reason, __STACKTRACE__)
    else
      {steps, befores, messages} ->
        for {step, before} <- Enum.zip(steps, befores), do: finish(txn, step, before)
        Events.deliver(messages)
    after
      for step <- steps, {_n, name} <- step.locked, do: Native.shadow_drop(name)
    end
  end

  # --- tables that are to be filled ---

  defp begin_new(%{new: nil} = step), do: Map.put(step, :number, nil)

  defp begin_new(%{new: new} = step) do
    number = Disc.begin(new)
    Tables.make!(new, number)
    Map.put(step, :number, number)
  end

  defp shadows(txn, step) do
    old = for {_n, name} <- step.locked, step.new == nil or name != step.new.name, do: name
    Map.put(step, :shadows, for(name <- old, do: shadow(txn, name, step)))
  end

  defp shadow(txn, name, %{base: base, last: last}) do
    {:ok, before} = Definitions.fetch(name)
    cstruct = if name == base.name, do: base, else: before
    # The last one is frozen, and goes.
    number = if name != last, do: Disc.begin(cstruct)
    :ok = Successor.begin(txn, cstruct, number)
    {name, cstruct, number}
  end

  # --- records ---

  defp copy(step, txn) do
    names = for {_n, name} <- step.locked, name != step.last, into: MapSet.new(), do: name

    watched = for {_n, name} <- step.locked, Events.subscribers(name) != {[], []}, do: name

    moved =
      for {n, name} <- Enum.sort(step.locked), step.new == nil or name != step.new.name do
        nil
        |> Native.select(name, @everything, :read, @chunk)
        |> chunks(n, name, Map.put(step, :names, names), [])
      end

    if watched == [], do: [], else: moved |> Enum.concat() |> messages(step, txn)
  end

  defp chunks({:done, records}, n, name, step, moved), do: each(records, n, name, step, moved)

  defp chunks({_slice_or_limit, records, continuation}, n, name, step, moved) do
    moved = each(records, n, name, step, moved)
    nil |> Native.select_next(continuation) |> chunks(n, name, step, moved)
  end

  defp chunks({:"$error", reason}, _n, _name, _step, _moved),
    do: Signal.abort(Signal.reason(reason))

  defp each(records, n, name, step, moved) do
    Enum.reduce(records, moved, fn record, moved ->
      case target(record, n, name, step) do
        ^name ->
          put(name, record, step)
          moved

        other ->
          put(other, record, step)
          [{name, other, record} | moved]
      end
    end)
  end

  defp target(record, n, name, %{from: from, state: state} = step) do
    if n in from do
      number = Fragments.number(state, elem(record, Fragments.position(state) - 1))

      if number == n,
        do: name,
        else: Map.get(step.locked, number) || not_locked(step, number)
    else
      name
    end
  end

  defp not_locked(%{what: what}, number),
    do: Signal.abort({~c"#{what}: Fragment not locked", number})

  defp put(name, record, %{new: %{name: name}}), do: Dirty.write(name, record)

  defp put(name, record, _step) do
    case Successor.write(name, record) do
      :ok -> :ok
      {:"$error", reason} -> Signal.abort(Signal.reason(reason))
    end
  end

  # Deleted here and written there; a fragment that goes is not told of.
  defp messages(moved, %{base: %{type: type}, last: last}, txn) do
    id = Activity.id(txn)

    Enum.flat_map(moved, fn {name, other, record} ->
      key = elem(record, 1)

      deleted =
        if name == last,
          do: [],
          else: Watch.messages({{name, key}, type, [{:delete, name, key}]}, id)

      deleted ++ Watch.messages({{other, key}, type, [{:write, other, record}]}, id)
    end)
  end

  # --- definitions ---

  # On disc all at once. A fragment that goes is deleted afterwards: alone it is nobody's.
  defp changes_of(steps), do: Enum.flat_map(steps, &changes/1)

  # The new state is known before the tables are there: who waited for one begins again, and looks at the state first.
  defp swap(txn, steps, befores) do
    for step <- steps, do: Definitions.keep(step.base)

    try do
      Successor.swap(txn, Enum.flat_map(steps, &swaps/1), changes_of(steps))
    catch
      kind, reason ->
        befores |> Enum.reverse() |> Enum.each(&Definitions.keep/1)
        :erlang.raise(kind, reason, __STACKTRACE__)
    end
  end

  defp swaps(step),
    do: for({name, cstruct, _number} <- step.shadows, name != step.last, do: {name, cstruct})

  defp changes(step) do
    new = if step.number, do: [Disc.definition(step.number, step.new)], else: []

    old = for {_, cstruct, number} <- step.shadows, do: Successor.definitions(cstruct, number)

    base =
      with false <- List.keymember?(step.shadows, step.base.name, 0),
           {number, _rows} <- Native.table_disc(step.base.name) do
        [Disc.definition(number, step.base)]
      else
        _none -> []
      end

    Enum.concat(old) ++ new ++ base
  end

  defp finish(txn, %{base: base} = step, before) do
    if step.new, do: Schema.tell(:write, step.new, [])
    FragmentChange.told(base, before)
    if step.new, do: Schema.tell(:write, step.new, [step.new])
    if step.last, do: Tables.delete!(txn, step.last)
  end

  defp undo(txn, step) do
    if step.new, do: Wait.with_room(fn -> Native.table_delete(txn, step.new.name) end)
    Disc.give_up(for {_, _, number} when number != nil <- step[:shadows] || [], do: number)
  end
end
