"""Features of a frozen backbone, computed once per photo and shared by every trial, training and later execution."""
