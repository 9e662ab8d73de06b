defmodule Consumer do
  alias Consumer.Movie
  alias Remnesia, as: Memento

  @movies [
    %Movie{id: 1, title: "Metropolis", year: 1927},
    %Movie{id: 2, title: "Nosferatu", year: 1922},
    %Movie{id: 3, title: "Solaris", year: 1972}
  ]

  # Code as it is written for Memento; only the alias above is ours. It prints one line that says what it read.
  def run do
    {:ok, _} = Application.ensure_all_started(:consumer)
    Memento.Table.create!(Movie)

    Memento.transaction!(fn -> Enum.each(@movies, &Memento.Query.write/1) end)

    {title, old} =
      Memento.transaction!(fn ->
        %Movie{title: title} = Memento.Query.read(Movie, 3)
        {title, Memento.Query.select(Movie, {:<, :year, 1930})}
      end)

    IO.puts(
      "read #{title}, old: #{old |> Enum.map(& &1.title) |> Enum.sort() |> Enum.join(", ")}"
    )
  end
end
