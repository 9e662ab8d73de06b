defmodule Remnesia.Mnesia.DoctestTest do
  use ExUnit.Case

  import Example, only: [quiet: 1]

  # The examples of the Mnesia door, each on fresh tables.

  setup :quiet

  setup do
    {:atomic, :ok} =
      :remnesia.create_table(:city, attributes: [:name, :country, :people], index: [:country])

    {:atomic, :ok} = :remnesia.create_table(:hits, attributes: [:page, :count])
    :remnesia.dirty_write({:city, :oslo, :norway, 700_000})

    on_exit(fn ->
      # Some end the database.
      Remnesia.start()
      :remnesia.unsubscribe({:table, :city})
      for table <- [:city, :hits, :street], do: :remnesia.delete_table(table)
    end)
  end

  doctest :remnesia
  doctest :remnesia_frag
  doctest Remnesia.Mnesia.Access
  doctest Remnesia.Mnesia.Activity
  doctest Remnesia.Mnesia.Backup
  doctest Remnesia.Mnesia.Dirty
  doctest Remnesia.Mnesia.Handle
  doctest Remnesia.Mnesia.LeftOut
  doctest Remnesia.Mnesia.System
  doctest Remnesia.Mnesia.Tables
  doctest Remnesia.Mnesia.Text

  test "every function of the door that has a name in Mnesia is there" do
    left_out = ~w(add_backend_type fun_select dirty_sel_init remote_dirty_match_object
         remote_dirty_select module_info)a

    ours = :remnesia.module_info(:exports)

    assert for(
             {name, arity} <- :mnesia.module_info(:exports),
             name not in left_out,
             {name, arity} not in ours,
             do: {name, arity}
           ) ==
             []
  end
end
