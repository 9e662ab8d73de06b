defmodule Remnesia.Partition.Policy do
  @moduledoc false

  # What `config :remnesia, on_partition:` says.

  alias Remnesia.Partition.Decision

  @type merge :: {module, atom} | (atom, term, term -> term)
  @type strategy :: :keep_majority | :keep_oldest | {:merge, merge}
  @type t :: nil | :report | {:heal, strategy}

  @spec configured() :: {:ok, t} | {:error, term}
  def configured, do: check(Application.get_env(:remnesia, :on_partition))

  @doc """
  The policy, if it is one.

      iex> Remnesia.Partition.Policy.check({:heal, :keep_majority})
      {:ok, {:heal, :keep_majority}}
      iex> Remnesia.Partition.Policy.check({:heal, {:merge, {MyApp, :merge}}})
      {:ok, {:heal, {:merge, {MyApp, :merge}}}}
      iex> Remnesia.Partition.Policy.check(:heal)
      {:error, {:bad_type, {:on_partition, :heal}}}
  """
  @spec check(term) :: {:ok, t} | {:error, term}
  def check(policy) when policy in [nil, :report], do: {:ok, policy}

  def check({:heal, strategy} = policy) when strategy in [:keep_majority, :keep_oldest],
    do: {:ok, policy}

  def check({:heal, {:merge, fun}} = policy) when is_function(fun, 3), do: {:ok, policy}

  def check({:heal, {:merge, {module, function}}} = policy)
      when is_atom(module) and is_atom(function),
      do: {:ok, policy}

  def check(other), do: {:error, {:bad_type, {:on_partition, other}}}

  @doc "Its kind, in which the nodes have to agree."
  @spec kind(t) :: Decision.kind() | :report | nil
  def kind({:heal, {:merge, _fun}}), do: :merge
  def kind({:heal, strategy}), do: strategy
  def kind(policy), do: policy

  @doc """
  Options of a new table: with `:keep_majority` it gets `majority: true` unless they say otherwise, so that the smaller side stops writing.
  """
  @spec table_options(term) :: term
  def table_options(options) when is_list(options) do
    with {:ok, {:heal, :keep_majority}} <- configured(),
         false <- List.improper?(options),
         true <- Enum.all?(options, &match?({_, _}, &1)),
         false <- List.keymember?(options, :majority, 0),
         false <- List.keyfind(options, :local_content, 0) == {:local_content, true} do
      [{:majority, true} | options]
    else
      _otherwise -> options
    end
  end

  def table_options(options), do: options
end
