#!lua name=queue_core
-- The allocation core: one atomic step per press.  The files of this folder are joined in name order (library.py) and loaded as one Function
-- library.  README.md lists keys, arguments, replies and codes.
--
-- Three rules hold in every file:
--   1. read and check first, decide, write last: Redis does not roll back, so nothing after the first write may fail;
--   2. time is an argument (now_ms, Unix milliseconds); no file reads a clock;
--   3. no press loops over a line: heads and counts only.
