"""From whatever a user calls a data set to checked, split and packed photos: the first step of the pipeline."""
