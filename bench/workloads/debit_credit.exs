defmodule Bench.DebitCredit do
  # Debit and credit after the description of TPC-B: a transaction changes the balance of an account, of its teller and of its branch, and adds
  # a line of history. Ten tellers and 10,000 accounts to a branch here, so that tables of both sides fit; 85% of the accounts are of the
  # teller's own branch.

  @branches 10
  @tellers 10
  @accounts 10_000

  def name, do: "debit and credit"

  def setup(m, copies) do
    for table <- [:branch, :teller, :account] do
      {:atomic, :ok} = m.create_table(table, [attributes: [:id, :branch, :balance]] ++ copies)
    end

    history = [attributes: [:id, :account, :teller, :branch, :amount]]
    {:atomic, :ok} = m.create_table(:history, history ++ copies)

    fill(m, for(b <- 1..@branches, do: {:branch, b, b, 0}))
    fill(m, for(t <- 1..(@branches * @tellers), do: {:teller, t, rem(t, @branches) + 1, 0}))

    for b <- 1..@branches,
        do: fill(m, for(a <- 1..@accounts, do: {:account, a * @branches + b, b, 0}))
  end

  defp fill(m, records),
    do: {:atomic, _} = m.transaction(fn -> Enum.each(records, &m.write/1) end)

  def operation(m, driver) do
    fn _i ->
      key = {driver, :erlang.unique_integer()}
      teller = :rand.uniform(@branches * @tellers)
      own = rem(teller, @branches) + 1
      branch = if :rand.uniform(100) <= 85, do: own, else: :rand.uniform(@branches)
      account = :rand.uniform(@accounts) * @branches + branch
      amount = :rand.uniform(1_999_999) - 1_000_000

      {:atomic, _balance} =
        m.transaction(fn ->
          balance = add(m, :account, account, amount)
          add(m, :teller, teller, amount)
          add(m, :branch, own, amount)
          m.write({:history, key, account, teller, own, amount})
          balance
        end)
    end
  end

  defp add(m, table, key, amount) do
    [{_, ^key, branch, balance}] = m.read(table, key, :write)
    m.write({table, key, branch, balance + amount})
    balance + amount
  end

  @doc "Every table has the same sum: no transaction was lost, none was done by half."
  def check!(m) do
    balances =
      for table <- [:branch, :teller, :account],
          do: Enum.sum(m.dirty_select(table, [{{table, :_, :_, :"$1"}, [], [:"$1"]}]))

    history = m.dirty_select(:history, [{{:history, :_, :_, :_, :_, :"$1"}, [], [:"$1"]}])
    [sum] = Enum.uniq([Enum.sum(history) | balances])
    {:sum, sum}
  end

  def teardown(m),
    do: for(table <- [:branch, :teller, :account, :history], do: m.delete_table(table))
end
