defmodule Example do
  @moduledoc "Tables that doctests and tests share, and how to fill them."

  defmodule Movie do
    @moduledoc false
    use Remnesia.Table,
      type: :ordered_set,
      autoincrement: true,
      attributes: [:id, :title, :year, :director]
  end

  defmodule Email do
    @moduledoc false
    use Remnesia.Table, type: :bag, attributes: [:user_id, :address]
  end

  defmodule User do
    @moduledoc false
    use Remnesia.Table, attributes: [:id, :name, :age], index: [:age]
  end

  @tables [Movie, Email, User]

  @doc "An ExUnit setup: the tables, empty but for what the doctests speak of, and gone after the test."
  def tables(_context) do
    Enum.each(@tables, &Remnesia.Table.create!/1)
    Remnesia.transaction!(fn -> Enum.each(seeds(), &Remnesia.Query.write/1) end)

    ExUnit.Callbacks.on_exit(fn ->
      Remnesia.start()
      Enum.each(@tables, &Remnesia.Table.delete/1)
    end)
  end

  defp seeds do
    [
      %Movie{id: 1, title: "Reservoir Dogs", year: 1992, director: "Quentin Tarantino"},
      %Movie{id: 2, title: "Jaws", year: 1975, director: "Steven Spielberg"},
      %Movie{id: 3, title: "Rush", year: 2013, director: "Ron Howard"},
      %Email{user_id: 1, address: "one@example.com"},
      %Email{user_id: 2, address: "two@example.com"},
      %Email{user_id: 2, address: "also.two@example.com"}
    ]
  end

  @doc "An ExUnit setup: what a doctest prints is not seen."
  def quiet(_context) do
    {:ok, io} = StringIO.open("")
    Process.group_leader(self(), io)
    :ok
  end

  @doc "Runs a function in a new process and answers what it returned."
  def elsewhere(fun), do: fun |> Task.async() |> Task.await()

  @doc "What the function exits with."
  def exit_of(fun) do
    fun.()
  catch
    :exit, reason -> {:exit, reason}
  end
end
