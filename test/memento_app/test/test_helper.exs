defmodule Check do
  @moduledoc false
  import ExUnit.Assertions

  @doc "The tables with the movies in them, for one test."
  def tables(_context) do
    Enum.each(MementoApp.tables(), &Memento.Table.create!/1)
    MementoApp.write(MementoApp.movies())
    ExUnit.Callbacks.on_exit(fn -> Enum.each(MementoApp.tables(), &Memento.Table.delete/1) end)
  end

  @doc "The reason that the function exits with."
  def exit_of(fun) do
    fun.()
    flunk("no exit")
  catch
    :exit, reason -> reason
  end
end

ExUnit.start(capture_log: true)
