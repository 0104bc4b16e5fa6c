"""How an archive of an older version becomes one of this version."""
