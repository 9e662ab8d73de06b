defmodule Remnesia.Mnesia.LeftOut do
  @moduledoc """
  What Mnesia has and Remnesia has not: SNMP, and storage plug-ins for its own tables. Each of these functions of `:remnesia` says so.
  """

  alias Remnesia.Mnesia.Activity

  @doc """
  Storage plug-ins are left out: `{:aborted, {:not_available, text}}`.

      iex> {:aborted, {:not_available, text}} = :remnesia.add_backend_type(:leveldb_copies, :mnesia_leveldb)
      iex> text
      "Remnesia has no storage plug-ins"
  """
  @spec add_backend_type(atom, module) :: {:aborted, term}
  def add_backend_type(_name, _module),
    do: {:aborted, {:not_available, "Remnesia has no storage plug-ins"}}

  @doc """
  SNMP is left out: `{:aborted, {:not_available, text}}`.

      iex> {:aborted, {:not_available, text}} = :remnesia.snmp_open_table(:city, key: :integer)
      iex> text
      "Remnesia has no SNMP interface"
  """
  @spec snmp_open_table(atom, term) :: {:aborted, term}
  def snmp_open_table(_table, _structure), do: {:aborted, snmp()}

  @doc """
  SNMP is left out: `{:aborted, {:not_available, text}}`.

      iex> {:aborted, {:not_available, text}} = :remnesia.snmp_close_table(:city)
      iex> text
      "Remnesia has no SNMP interface"
  """
  @spec snmp_close_table(atom) :: {:aborted, term}
  def snmp_close_table(_table), do: {:aborted, snmp()}

  @doc """
  SNMP is left out: exits with `{:aborted, {:not_available, text}}`.

      iex> {:aborted, {:not_available, text}} = :remnesia.transaction(fn -> :remnesia.snmp_get_row(:city, [1]) end)
      iex> text
      "Remnesia has no SNMP interface"
  """
  @spec snmp_get_row(atom, [integer]) :: no_return
  def snmp_get_row(_table, _index), do: Activity.abort(snmp())

  @doc """
  SNMP is left out: exits with `{:aborted, {:not_available, text}}`.

      iex> {:aborted, {:not_available, text}} = :remnesia.transaction(fn -> :remnesia.snmp_get_next_index(:city, [1]) end)
      iex> text
      "Remnesia has no SNMP interface"
  """
  @spec snmp_get_next_index(atom, [integer]) :: no_return
  def snmp_get_next_index(_table, _index), do: Activity.abort(snmp())

  @doc """
  SNMP is left out: exits with `{:aborted, {:not_available, text}}`.

      iex> {:aborted, {:not_available, text}} = :remnesia.transaction(fn -> :remnesia.snmp_get_mnesia_key(:city, [1]) end)
      iex> text
      "Remnesia has no SNMP interface"
  """
  @spec snmp_get_mnesia_key(atom, [integer]) :: no_return
  def snmp_get_mnesia_key(_table, _index), do: Activity.abort(snmp())

  defp snmp, do: {:not_available, "Remnesia has no SNMP interface"}
end
