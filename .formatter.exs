[
  inputs: [
    "{mix,.formatter}.exs",
    "native/compile.exs",
    "compat/*/*.exs",
    "{lib,test,bench}/**/*.{ex,exs}"
  ]
]
