defmodule Demo.Packages do
  # The package index of the machine, or the sample that comes with Remnesia: facts of real packages, read by nobody's leave but
  # apt's. Each is `{name, version, section, priority, maintainer, installed size in KiB, [names it depends on]}`.

  @sample Path.join(__DIR__, "data/packages.gz")

  @doc "All packages and where they came from."
  def load do
    with true <- System.find_executable("apt-cache") != nil,
         {text, 0} <- System.cmd("apt-cache", ["dumpavail"], stderr_to_stdout: false),
         [_, _ | _] = packages <- parse(text) do
      {packages, "the package index of this machine"}
    else
      _ ->
        {parse(:zlib.gunzip(File.read!(@sample))),
         "the sample in bench/data (this machine has no package index)"}
    end
  end

  @doc "Writes the sample: every `step`th package, only the fields that are used."
  def write_sample(step) do
    {text, 0} = System.cmd("apt-cache", ["dumpavail"])
    fields = ~w(Package Version Section Priority Maintainer Installed-Size Depends)

    sample =
      for {paragraph, i} <- Enum.with_index(String.split(text, "\n\n", trim: true)),
          rem(i, step) == 0 do
        lines =
          for line <- String.split(paragraph, "\n"),
              hd(String.split(line, ":")) in fields,
              do: line

        # Names of people are facts of a package, their addresses are not needed.
        lines |> Enum.join("\n") |> String.replace(~r/^(Maintainer: [^<\n]*?) ?<.*$/m, "\\1")
      end

    File.mkdir_p!(Path.dirname(@sample))
    File.write!(@sample, :zlib.gzip(Enum.join(sample, "\n\n")))
  end

  defp parse(text) do
    # The newest comes first for a name that is there twice.
    text |> String.split("\n\n", trim: true) |> Enum.map(&package/1) |> Enum.uniq_by(&elem(&1, 0))
  end

  defp package(paragraph) do
    fields =
      for line <- String.split(paragraph, "\n"),
          [name, value] <- [String.split(line, ": ", parts: 2)],
          into: %{},
          do: {name, value}

    size = fields |> Map.get("Installed-Size", "0") |> String.to_integer()
    depends = fields |> Map.get("Depends", "") |> dependencies()
    maintainer = fields |> Map.get("Maintainer", "") |> String.split(" <") |> hd()

    {fields["Package"], fields["Version"], fields["Section"], fields["Priority"], maintainer,
     size, depends}
  end

  # "libc6 (>= 2.34), libfoo | libbar" -> the first of each alternative.
  defp dependencies(text) do
    for part <- String.split(text, ", ", trim: true),
        uniq: true,
        do: part |> String.split([" ", ":", "|"], parts: 2) |> hd()
  end
end
