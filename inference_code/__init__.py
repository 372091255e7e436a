"""Image 2: the server, single-model and multi-model."""
