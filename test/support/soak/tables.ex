defmodule Soak.Tables do
  @moduledoc false

  # The tables, and what must hold of them:
  #
  #   * bank: the amounts of all accounts of all these tables have one sum, whatever moves them, and no account is ever missing
  #   * mirrored: who was told of every change has the same records; these are written by processes that nobody kills
  #   * counter: not less than was answered, not more than was asked for
  #   * people: no e-mail address twice
  #   * all: an index finds what is there, no lock is left, the structures of the native library are sound, and a restart changes nothing

  import ExUnit.Assertions

  alias Remnesia.Native
  alias Soak.Mirror

  defmodule Person do
    @moduledoc false
    use Remnesia.Table, attributes: [:id, :email, :town], unique: [:email], index: [:town]
  end

  @accounts 40
  @each 100

  @bank [
    soak_set: [type: :set, index: [:owner]],
    soak_ordered: [type: :ordered_set, index: [:owner, [:owner, :amount]]],
    soak_bag: [type: :bag],
    soak_disc_set: [type: :set, disc_copies: true],
    soak_disc_ordered: [type: :ordered_set, index: [:owner], disc_copies: true],
    soak_disc_duplicates: [type: :duplicate_bag, index: [:owner], disc_copies: true],
    soak_only_set: [type: :set, index: [:owner], disc_only_copies: true],
    soak_only_ordered: [type: :ordered_set, disc_only_copies: true],
    soak_only_bag: [type: :bag, index: [:owner], disc_only_copies: true]
  ]

  @others [
    soak_mirror_set: [type: :set, index: [:v]],
    soak_mirror_ordered: [type: :ordered_set, disc_copies: true],
    soak_mirror_only: [type: :set, disc_only_copies: true],
    soak_counter: [disc_copies: true],
    soak_counter_only: [disc_only_copies: true]
  ]

  def bank, do: Keyword.keys(@bank)
  def accounts, do: @accounts
  def sum, do: length(@bank) * @accounts * @each
  def mirrored, do: [:soak_mirror_set, :soak_mirror_ordered, :soak_mirror_only]
  def counters, do: [:soak_counter, :soak_counter_only]
  def keys, do: 60
  defp all, do: bank() ++ Keyword.keys(@others) ++ [Person]

  def create do
    for {table, options} <- @bank do
      options = [attributes: [:id, :amount, :owner]] ++ Enum.flat_map(options, &option/1)
      {:atomic, :ok} = :remnesia.create_table(table, options)
      for id <- 1..@accounts, do: :ok = :remnesia.dirty_write({table, id, @each, rem(id, 7)})
    end

    for {table, options} <- @others do
      options = [attributes: [:k, :v]] ++ Enum.flat_map(options, &option/1)
      {:atomic, :ok} = :remnesia.create_table(table, options)
    end

    :ok = Remnesia.Table.create(Person, disc_copies: [node()])
  end

  def delete do
    for table <- all(), do: {:atomic, :ok} = :remnesia.delete_table(table)
  end

  defp option({storage, true}), do: [{storage, [node()]}]
  defp option(option), do: [option]

  @doc "All records, in no order that means anything."
  def rows(table), do: :remnesia.dirty_select(table, [{:_, [], [:"$_"]}])

  @doc "The sum of the amounts of these records."
  def total(records), do: records |> Enum.map(&elem(&1, 2)) |> Enum.sum()

  # --- what must hold while nobody is at work ---

  def check(soak, mirrors) do
    leftovers() ++
      Enum.flat_map(all(), &sound/1) ++
      money() ++
      Enum.flat_map(mirrors, &mirror/1) ++
      counters(soak) ++ people()
  end

  # Killed processes may take a moment to be noticed.
  defp leftovers(patience \\ 200) do
    cond do
      Native.lock_count() == 0 and Native.locks() == [] -> []
      patience == 0 -> [{:locks, Native.locks()}]
      true -> Process.sleep(10) && leftovers(patience - 1)
    end
  end

  defp sound(table) do
    checked = Native.table_check(table)
    rows = rows(table)
    size = :remnesia.table_info(table, :size)
    damage = if checked != :ok, do: [{:check, {table, checked}}], else: []
    miscount = if size != length(rows), do: [{:size, {table, size, length(rows)}}], else: []

    damage ++
      miscount ++ Enum.flat_map(:remnesia.table_info(table, :index), &index(table, rows, &1))
  end

  defp index(table, rows, position) when is_integer(position) do
    for {value, expected} <- Enum.group_by(rows, &elem(&1, position - 1)),
        found = :remnesia.dirty_index_read(table, value, position),
        Enum.sort(found) != Enum.sort(expected),
        do: {:index, {table, position, value, found -- expected, expected -- found}}
  end

  defp index(table, rows, positions) do
    for {values, expected} <-
          Enum.group_by(rows, fn r -> for(p <- positions, do: elem(r, p - 1)) end),
        variables = for(n <- 1..(tuple_size(hd(rows)) - 1), do: :"$#{n}"),
        guards =
          for(
            {p, value} <- Enum.zip(positions, values),
            do: {:"=:=", :"$#{p - 1}", {:const, value}}
          ),
        spec = [{List.to_tuple([:_ | variables]), guards, [:"$_"]}],
        found = :remnesia.dirty_select(table, spec),
        Enum.sort(found) != Enum.sort(expected),
        do: {:index, {table, positions, values, found -- expected, expected -- found}}
  end

  defp money do
    rows = for table <- bank(), do: {table, rows(table)}
    sum = rows |> Enum.flat_map(&elem(&1, 1)) |> total()
    wrong = if sum != sum(), do: [{:sum, sum - sum()}], else: []

    missing =
      for {table, rows} <- rows,
          Enum.sort(for(row <- rows, do: elem(row, 1))) != Enum.to_list(1..@accounts),
          do: {:accounts, {table, length(rows)}}

    wrong ++ missing
  end

  defp mirror(mirror) do
    {table, seen} = Mirror.contents(mirror)
    rows = Enum.sort(rows(table))
    seen = Enum.sort(seen)
    if rows == seen, do: [], else: [{:mirror, {table, rows -- seen, seen -- rows}}]
  end

  # Begun and answered, for each of both.
  defp counters(soak) do
    for {table, n} <- Enum.zip(counters(), [1, 3]),
        [{_, _, value}] <- [:remnesia.dirty_read(table, :count)],
        begun = :counters.get(soak.counters, n),
        answered = :counters.get(soak.counters, n + 1),
        value < answered or value > begun,
        do: {:counter, {table, answered, value, begun}}
  end

  defp people do
    emails = for {_, _, email, _} <- rows(Person), do: email
    if emails == Enum.uniq(emails), do: [], else: [{:twice, emails -- Enum.uniq(emails)}]
  end

  # --- stop and start ---

  @doc "Stops and starts the database; what is only in memory is written again."
  def restart do
    before =
      for table <- all(), do: {table, :remnesia.table_info(table, :storage_type), rows(table)}

    :ok = Remnesia.stop()
    :ok = Remnesia.start()
    waited = :remnesia.wait_for_tables(all(), 60_000)
    assert waited == :ok

    for {table, storage, rows} <- before, difference <- back(table, storage, rows), do: difference
  end

  defp back(table, :ram_copies, rows) do
    for row <- rows, do: :ok = :remnesia.dirty_write(table, row)
    []
  end

  defp back(table, storage, rows) do
    now = rows(table)

    cond do
      Enum.sort(now) != Enum.sort(rows) ->
        [{:restart, {table, storage, rows -- now, now -- rows}}]

      :remnesia.table_info(table, :storage_type) != storage ->
        [{:storage, {table, storage}}]

      true ->
        []
    end
  end
end
