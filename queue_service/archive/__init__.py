"""The second memory: what must be remembered after the day is over, in SQL."""
