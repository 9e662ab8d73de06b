defmodule MementoApp do
  @moduledoc false

  # Tables as a program defines them: sigils, attributes of the module, every type.

  defmodule Movie do
    @fields ~w(id title year director)a
    use Memento.Table, attributes: @fields, index: [:director]
  end

  defmodule Post do
    use Memento.Table, attributes: [:id, :title], type: :ordered_set, autoincrement: true
  end

  defmodule Tag do
    use Memento.Table, attributes: [:post, :name], type: :bag
  end

  # Its definition is refused when it is created, not before.
  defmodule Counted do
    use Memento.Table, attributes: [:id, :name], autoincrement: true
  end

  defmodule Narrow do
    use Memento.Table, attributes: [:id]
  end

  def tables, do: [Movie, Post, Tag]

  def movies do
    [
      %Movie{id: 1, title: "Metropolis", year: 1927, director: "Fritz Lang"},
      %Movie{id: 2, title: "M", year: 1931, director: "Fritz Lang"},
      %Movie{id: 3, title: "Solaris", year: 1972, director: "Andrei Tarkovsky"}
    ]
  end

  def write(records),
    do: Memento.transaction!(fn -> Enum.map(records, &Memento.Query.write/1) end)
end
