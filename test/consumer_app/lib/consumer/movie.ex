defmodule Consumer.Movie do
  alias Remnesia, as: Memento

  use Memento.Table, attributes: [:id, :title, :year], index: [:year]
end
