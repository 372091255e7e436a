"""What looks into a training: the smdebug hook, and statistics of tensors for the health rules."""
