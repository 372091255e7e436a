"""Rules that say whether a training is well, evaluated outside of it: while it runs, and afterwards as a job."""
