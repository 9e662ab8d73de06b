defmodule ApiCheck do
  use ExUnit.Case, async: true

  # Every function and macro of Memento 0.6 with its arities. What there is more of is Remnesia's: test/memento/both_check.exs
  # sees to it that both have the same.
  @functions %{
    Memento => [
      start: 0,
      stop: 0,
      add_nodes: 1,
      info: 0,
      system: 0,
      system: 1,
      wait: 1,
      wait: 2,
      transaction: 1,
      transaction!: 1
    ],
    Memento.Table => [
      create: 1,
      create: 2,
      create!: 1,
      create!: 2,
      delete: 1,
      delete!: 1,
      clear: 1,
      info: 1,
      info: 2,
      create_copy: 3,
      delete_copy: 2,
      move_copy: 3,
      set_storage_type: 3,
      wait: 1,
      wait: 2
    ],
    Memento.Query => [
      read: 2,
      read: 3,
      write: 1,
      write: 2,
      all: 1,
      all: 2,
      match: 2,
      match: 3,
      select: 2,
      select: 3,
      select_raw: 2,
      select_raw: 3,
      delete: 2,
      delete: 3,
      delete_record: 1,
      delete_record: 2
    ],
    Memento.Transaction => [
      execute: 1,
      execute: 2,
      execute!: 1,
      execute!: 2,
      execute_sync: 1,
      execute_sync: 2,
      execute_sync!: 1,
      execute_sync!: 2,
      inside?: 0,
      abort: 0,
      abort: 1
    ],
    Memento.Schema => [create: 1, delete: 1, info: 0, info: 1, set_storage_type: 2],
    Memento.Query.Data => [load: 1, dump: 1],
    Memento.Query.Spec => [build: 2],
    Memento.Table.Definition => [
      build_base: 2,
      build_map: 1,
      struct_fields: 1,
      build_options: 1,
      merge_options: 2,
      validate_options!: 1,
      has_autoincrement?: 1,
      validate_table!: 1
    ],
    Memento.Mnesia => [handle_result: 1],
    Memento.Error => [normalize: 1]
  }

  @macros %{
    Memento.Table => [__using__: 1],
    Memento.Mnesia => [call: 2, call_and_catch: 2],
    Memento.Error => [raise: 1, raise_from_code: 1],
    Memento.MnesiaException => [raise: 1],
    Memento.TransactionAborted => [raise: 1]
  }

  @exceptions [
    Memento.Error,
    Memento.NoTransactionError,
    Memento.DoesNotExistError,
    Memento.AlreadyExistsError,
    Memento.InvalidOperationError,
    Memento.MnesiaException,
    Memento.TransactionAborted
  ]

  test "every function is there" do
    for {module, functions} <- @functions do
      assert {module, functions -- module.__info__(:functions)} == {module, []}
    end
  end

  test "every macro is there" do
    for {module, macros} <- @macros do
      assert {module, macros -- module.__info__(:macros)} == {module, []}
    end
  end

  test "every exception has a message, and the one for Mnesia's reasons has them" do
    for module <- @exceptions do
      assert Exception.exception?(struct!(module, message: "text")), inspect(module)
    end

    assert Map.has_key?(struct!(Memento.MnesiaException), :data)
    assert %Memento.Error{}.message == "Operation Failed"
  end

  test "the application is memento, of a version that ~> 0.6 means" do
    version = to_string(Application.spec(:memento, :vsn))
    assert Version.match?(version, "~> 0.6.0")
    assert :memento in Application.spec(:memento_app, :applications)
    assert List.keymember?(Application.started_applications(), :memento, 0)
  end
end
