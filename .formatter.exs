[
  inputs: ["{mix,.formatter}.exs", "native/compile.exs", "{lib,test,bench}/**/*.{ex,exs}"]
]
