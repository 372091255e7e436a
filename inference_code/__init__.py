"""Image 2: the server, single-model and multi-model; `benchmark/` measures a candidate of a comparison as it would be served."""
