# bin/demo: the package index of a Debian machine in Memento tables, questions to it, and how fast the answers come.

Code.require_file("packages.exs", __DIR__)

if System.argv() != [] do
  IO.puts("""
  Loads the package index of this machine into tables through the Memento API, asks it questions, and compares the speed with
  stock Mnesia on the same data.

      bin/demo          takes no arguments; less than a minute once built
      bin/demo --help   this text
  """)

  System.halt(if System.argv() in [["--help"], ["-h"]], do: 0, else: 1)
end

defmodule Demo.Package do
  use Remnesia.Table,
    attributes: [:name, :version, :section, :priority, :maintainer, :size],
    index: [:section, :maintainer]
end

defmodule Demo.Dependency do
  use Remnesia.Table, attributes: [:package, :on], type: :bag, index: [:on]
end

defmodule Demo.BySize do
  use Remnesia.Table, attributes: [:size_and_name, :section], type: :ordered_set
end

defmodule Demo do
  # The whole migration of a Memento program is this line.
  alias Remnesia, as: Memento
  alias Demo.{BySize, Dependency, Package}

  @tables [Package, Dependency, BySize]

  def run do
    {packages, source} = Demo.Packages.load()
    edges = packages |> Enum.map(&length(elem(&1, 6))) |> Enum.sum()
    IO.puts("#{length(packages)} packages with #{edges} dependencies, from #{source}\n")
    {:ok, _} = Application.ensure_all_started(:remnesia)
    Enum.each(@tables, &Memento.Table.create!/1)
    load(packages)
    questions()
    compare(packages)
  end

  defp load(packages) do
    total = length(packages)
    begun = System.monotonic_time(:millisecond)

    packages
    |> Enum.chunk_every(1_000)
    |> Enum.reduce(0, fn chunk, done ->
      Memento.transaction!(fn -> Enum.each(chunk, &write/1) end)
      done = done + length(chunk)
      if rem(done, 5_000) < 1_000 or done == total, do: progress(done, total)
      done
    end)

    sizes = for t <- @tables, do: Memento.Table.info(t, :size)

    IO.puts(
      "\n#{Enum.sum(sizes)} records in #{System.monotonic_time(:millisecond) - begun} ms, in transactions of 1,000 packages\n"
    )
  end

  defp write({name, version, section, priority, maintainer, size, depends}) do
    Memento.Query.write(%Package{
      name: name,
      version: version,
      section: section,
      priority: priority,
      maintainer: maintainer,
      size: size
    })

    Memento.Query.write(%BySize{size_and_name: {size, name}, section: section})
    for on <- depends, do: Memento.Query.write(%Dependency{package: name, on: on})
  end

  defp progress(done, total) do
    filled = div(done * 40, total)

    IO.write(
      "\rloading [#{String.duplicate("#", filled)}#{String.duplicate(".", 40 - filled)}] #{done}"
    )
  end

  defp questions do
    ask("Which version of bash is there? (by key)", fn ->
      case Memento.Query.read(Package, "bash") do
        nil -> "none"
        bash -> "#{bash.version}, #{bash.size} KiB, kept by #{bash.maintainer}"
      end
    end)

    ask("How many packages are in section \"editors\"? (by index)", fn ->
      length(Memento.Query.match(Package, {:_, :_, "editors", :_, :_, :_}))
    end)

    ask("Which packages of section \"games\" take more than 500 MB? (by guards)", fn ->
      Package
      |> Memento.Query.select([{:==, :section, "games"}, {:>, :size, 500_000}])
      |> Enum.map(& &1.name)
      |> Enum.sort()
      |> shorten()
    end)

    ask("Which five packages are the largest? (by range, from the end of an ordered_set)", fn ->
      last = Memento.Query.last(BySize)
      keys = Stream.iterate(last, &Memento.Query.prev(BySize, &1))

      keys
      |> Enum.take(5)
      |> Enum.map_join(", ", fn {size, name} -> "#{name} (#{div(size, 1024)} MiB)" end)
    end)

    ask("What does emacs-nox depend on? (a bag, by key)", fn ->
      Dependency |> Memento.Query.read_all("emacs-nox") |> Enum.map(& &1.on) |> shorten()
    end)

    ask("What depends on libssl3? (a bag, by index)", fn ->
      dependents = Memento.Query.match(Dependency, {:_, "libssl3"})

      "#{length(dependents)} packages, such as " <>
        (dependents |> Enum.map(& &1.package) |> Enum.sort() |> shorten())
    end)

    ask(
      "What would go if perl-base went? (everything that depends on it, and on that, and so on)",
      fn ->
        "#{MapSet.size(closure(["perl-base"], MapSet.new()))} packages"
      end
    )
  end

  defp closure([], seen), do: seen

  defp closure([name | rest], seen) do
    new =
      for d <- Memento.Query.match(Dependency, {:_, name}),
          not MapSet.member?(seen, d.package),
          uniq: true,
          do: d.package

    closure(new ++ rest, Enum.into(new, seen))
  end

  defp shorten([]), do: "none"
  defp shorten(names) when length(names) <= 6, do: Enum.join(names, ", ")

  defp shorten(names),
    do: Enum.join(Enum.take(names, 6), ", ") <> " and #{length(names) - 6} more"

  defp ask(question, answer) do
    begun = System.monotonic_time(:microsecond)
    text = Memento.transaction!(answer)
    took = System.monotonic_time(:microsecond) - begun
    IO.puts("#{question}\n    #{text}\n    #{took} us")
  end

  # The same data and the same questions for stock Mnesia.
  defp compare(packages) do
    Logger.configure(level: :error)
    :ok = :mnesia.start()
    attributes = [:name, :version, :section, :priority, :maintainer, :size]

    {:atomic, :ok} =
      :mnesia.create_table(:package, attributes: attributes, index: [:section, :maintainer])

    for {name, version, section, priority, maintainer, size, _} <- packages,
        do: :mnesia.dirty_write({:package, name, version, section, priority, maintainer, size})

    names = packages |> Enum.map(&elem(&1, 0)) |> Enum.take_every(7) |> List.to_tuple()
    name = fn i -> elem(names, rem(i, tuple_size(names))) end

    guard = [
      {{:package, :"$1", :"$2", :"$3", :"$4", :"$5", :"$6"}, [{:>, :"$6", 500_000}], [:"$_"]}
    ]

    IO.puts("\n" <> row(["the same data in one run", "Remnesia", "stock Mnesia", ""]))

    speed(
      "transaction, one read",
      20_000,
      fn i -> Memento.transaction(fn -> Memento.Query.read(Package, name.(i)) end) end,
      fn i -> :mnesia.transaction(fn -> :mnesia.read(:package, name.(i)) end) end
    )

    speed(
      "transaction, read and write",
      10_000,
      fn i ->
        Memento.transaction(fn ->
          Package
          |> Memento.Query.read(name.(i))
          |> Map.put(:priority, "seen")
          |> Memento.Query.write()
        end)
      end,
      fn i ->
        :mnesia.transaction(fn ->
          [record] = :mnesia.read(:package, name.(i))
          :mnesia.write(put_elem(record, 4, "seen"))
        end)
      end
    )

    speed(
      "by index (a section)",
      200,
      fn _ ->
        Memento.transaction(fn -> Memento.Query.match(Package, {:_, :_, "shells", :_, :_, :_}) end)
      end,
      fn _ -> :mnesia.transaction(fn -> :mnesia.index_read(:package, "shells", :section) end) end
    )

    speed(
      "by guard (a scan)",
      10,
      fn _ ->
        Memento.transaction(fn -> Memento.Query.select(Package, {:>, :size, 500_000}) end)
      end,
      fn _ -> :mnesia.transaction(fn -> :mnesia.select(:package, guard) end) end
    )

    IO.puts("\nMore of this, with targets: bin/bench")
  end

  defp speed(what, count, ours, stock) do
    samples = for _ <- 1..5, do: {time(ours, count), time(stock, max(div(count, 10), 2))}
    {ours, stock} = {median(samples, 0), median(samples, 1)}
    IO.puts(row([what, micros(ours), micros(stock), "#{Float.round(stock / ours, 1)}x"]))
  end

  defp time(fun, count) do
    :erlang.garbage_collect()
    begun = System.monotonic_time(:nanosecond)
    for i <- 1..count, do: fun.(i)
    (System.monotonic_time(:nanosecond) - begun) / count
  end

  defp median(samples, at), do: samples |> Enum.map(&elem(&1, at)) |> Enum.sort() |> Enum.at(2)
  defp micros(ns), do: "#{Float.round(ns / 1000, 1)} us"

  defp row([what, ours, stock, ratio]),
    do:
      String.pad_trailing(what, 32) <>
        String.pad_leading(ours, 14) <>
        String.pad_leading(stock, 16) <> String.pad_leading(ratio, 9)
end

Demo.run()
