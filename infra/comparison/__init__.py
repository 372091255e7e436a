"""The second state machine: the same photos, many architectures, one page that says which to take."""
