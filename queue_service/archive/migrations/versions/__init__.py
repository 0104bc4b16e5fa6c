"""One file for each step; its name and its `revision` are the next number, `down_revision` is the one before."""
