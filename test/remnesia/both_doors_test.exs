defmodule Remnesia.BothDoorsTest do
  use ExUnit.Case

  # One application that speaks Memento and Mnesia on the same tables in the same transactions, as programs on Memento do where Memento
  # has no function: a shop with structs, `index_read`, counters, folds, and a process that listens.

  alias Remnesia, as: Memento
  alias :remnesia, as: Mnesia

  defmodule Product do
    use Remnesia.Table, attributes: [:id, :name, :shelf, :stock], index: [:shelf]
  end

  defmodule Order do
    use Remnesia.Table,
      attributes: [:id, :product, :count],
      index: [:product],
      type: :ordered_set,
      autoincrement: true
  end

  defmodule Shop do
    @moduledoc false

    def order(product_id, count) do
      Memento.transaction(fn ->
        # Read by Mnesia, written by Memento.
        case Mnesia.wread({Product, product_id}) do
          [] ->
            Memento.Transaction.abort({:no_product, product_id})

          [record] ->
            product = Remnesia.Query.Data.load(record)
            if product.stock < count, do: Mnesia.abort({:only, product.stock})
            Memento.Query.write(%{product | stock: product.stock - count})
            order = Memento.Query.write(%Order{product: product_id, count: count})
            # What one door has written the other one sees.
            [{Order, _, ^product_id, ^count}] = Mnesia.read(Order, order.id)
            true = order in Memento.Query.select(Order, {:==, :product, product_id})

            true =
              Enum.any?(
                Mnesia.index_read(Order, product_id, :product),
                &(elem(&1, 1) == order.id)
              )

            order
        end
      end)
    end

    def on_shelf(shelf) do
      {:atomic, records} = Mnesia.transaction(fn -> Mnesia.index_read(Product, shelf, :shelf) end)
      records |> Enum.map(&Remnesia.Query.Data.load/1) |> Enum.sort_by(& &1.id)
    end

    def sold do
      {:ok, sold} =
        Memento.transaction(fn ->
          Mnesia.foldl(
            fn {Order, _, product, n}, sold -> Map.update(sold, product, n, &(&1 + n)) end,
            %{},
            Order
          )
        end)

      sold
    end
  end

  setup do
    for table <- [Product, Order], do: Memento.Table.create!(table)
    {:atomic, :ok} = Mnesia.create_table(:visits, attributes: [:page, :count])

    on_exit(fn ->
      for table <- [Product, Order], do: Memento.Table.delete!(table)
      Mnesia.delete_table(:visits)
    end)

    {:ok, _} =
      Memento.transaction(fn ->
        for {id, name, shelf} <- [{1, "Tea", :a}, {2, "Cup", :a}, {3, "Pot", :b}],
            do: Memento.Query.write(%Product{id: id, name: name, shelf: shelf, stock: 10})
      end)

    :ok
  end

  test "orders" do
    assert {:ok, %Order{id: 1, count: 3}} = Shop.order(1, 3)
    assert {:ok, %Order{id: 2}} = Shop.order(2, 1)
    assert {:ok, %Order{id: 3}} = Shop.order(1, 7)
    assert Shop.order(1, 1) == {:error, {:only, 0}}
    assert Shop.order(9, 1) == {:error, {:transaction_aborted, {:no_product, 9}}}
    assert [%Product{id: 1, stock: 0}, %Product{id: 2, stock: 9}] = Shop.on_shelf(:a)
    assert Shop.sold() == %{1 => 10, 2 => 1}
    assert Mnesia.table_info(Order, :size) == Memento.Table.info(Order, :size)
  end

  test "a listener is told of both" do
    {:ok, _} = Mnesia.subscribe({:table, Product, :detailed})
    {:ok, _} = Shop.order(3, 2)

    assert_received {:mnesia_table_event,
                     {:write, Product, {Product, 3, "Pot", :b, 8}, [{Product, 3, "Pot", :b, 10}],
                      {:tid, _, _}}}

    {:error, _} = Shop.order(3, 20)
    refute_received {:mnesia_table_event, _}
    Mnesia.dirty_delete({Product, 3})
    assert_received {:mnesia_table_event, {:delete, Product, {Product, 3}, [_], {:dirty, _}}}
  end

  test "inner transactions of one door in the other, undone where they fail" do
    assert {:ok, {:aborted, :no}} =
             Memento.transaction(fn ->
               Memento.Query.write(%Product{id: 4, name: "Can", shelf: :b, stock: 1})

               Mnesia.transaction(fn ->
                 Mnesia.write({Product, 4, "Can", :b, 99})
                 Mnesia.abort(:no)
               end)
             end)

    assert Mnesia.dirty_read(Product, 4) == [{Product, 4, "Can", :b, 1}]

    assert {:atomic, {:error, {:transaction_aborted, :no}}} =
             Mnesia.transaction(fn ->
               Memento.transaction(fn ->
                 Memento.Query.delete(Product, 4)
                 Memento.Transaction.abort(:no)
               end)
             end)

    assert [_] = Mnesia.dirty_read(Product, 4)
  end

  test "many at once: no order is lost, no stock goes below nothing, visits are counted beside" do
    orders =
      for n <- 1..6 do
        Task.async(fn ->
          for _ <- 1..10 do
            Mnesia.dirty_update_counter({:visits, :shop}, 1)

            if rem(n, 2) == 0,
              do: Shop.order(1, 1),
              else: Mnesia.activity(:transaction, fn -> Shop.order(1, 1) end)
          end
        end)
      end
      |> Task.await_many()
      |> List.flatten()

    assert Enum.count(orders, &match?({:ok, %Order{}}, &1)) == 10
    assert Enum.count(orders, &(&1 == {:error, {:only, 0}})) == 50
    assert Shop.sold() == %{1 => 10}
    assert Mnesia.dirty_read(:visits, :shop) == [{:visits, :shop, 60}]
    assert Remnesia.Native.lock_count() == 0
  end
end
