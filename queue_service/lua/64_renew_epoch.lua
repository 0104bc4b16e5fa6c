-- renew_epoch: the order of events may have gone back (restore, fail-over); screens take a fresh snapshot.
-- ARGS   epoch      REPLY  nothing more      CODES  -      COST O(1)

local function renew_epoch(hall)
  hall.epoch = hall.wish.epoch
  redis.call('HSET', hall.day_key, 'epoch', hall.epoch)
  record(hall, 'EpochRenewed', {})
  return {}
end
