defmodule Remnesia.Transfer.Items do
  @moduledoc false

  # Definitions of tables as the items of Mnesia's backups.

  alias Remnesia.Engine.Cstruct

  @doc "The definition of the schema, then those of the tables."
  @spec schema([Cstruct.t()]) :: [tuple]
  def schema(cstructs) do
    [
      {:schema, :schema, list(own_schema())}
      | for(%{name: name} = cstruct <- cstructs, name != :schema, do: definition(cstruct))
    ]
  end

  # Mnesia leaves out the copies in storage of plug-ins.
  defp list(cstruct), do: cstruct |> Cstruct.to_list() |> Keyword.delete(:external_copies)

  # On disc, or nobody could start from the backup; a new cookie, as the copy is a database of its own.
  defp own_schema do
    cookie = {{System.os_time(), System.unique_integer(), 1}, node()}
    %{Cstruct.put_storage(Cstruct.schema(), node(), :disc_copies) | cookie: cookie}
  end

  @spec definition(Cstruct.t()) :: tuple
  def definition(%{name: table} = cstruct) do
    # Positions alone: indexes over several attributes are ours.
    index = for {position, _} when is_integer(position) <- cstruct.index, do: {position, :ordered}
    {:schema, table, list(%{cstruct | index: index})}
  end

  @doc "Records under the name of their table."
  @spec records(Cstruct.t(), [tuple]) :: [tuple]
  def records(%{name: name, record_name: name}, records), do: records
  def records(%{name: name}, records), do: for(record <- records, do: put_elem(record, 0, name))
end
