"""What the cloud has acknowledged survives it, `kill -9` included."""
