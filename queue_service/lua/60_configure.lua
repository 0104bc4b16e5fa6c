-- configure: put a centre's configuration in force, the first one or another in the middle of the day.
-- Not a press of a running centre: it may meet a centre that does not exist yet, so it is the one function without the usual entrance.
-- ARGS   new_version, day, epoch (used only for a new centre), pieces {name -> packed piece}
-- REPLY  epoch, seq, version      CODES  -      COST O(pieces)

local function configure(keys, args)
  local hall = enter(keys, args)
  local wish = hall.wish
  if not hall.epoch then
    hall.epoch, hall.seq, hall.orders, hall.day = wish.epoch, 0, 0, wish.day
    redis.call('HSET', hall.day_key, 'epoch', wish.epoch, 'seq', 0, 'clock', hall.now, 'day', wish.day, 'version', '', 'orders', 0, 'issuing', 'open',
      'issuing_text', '')
  end
  if hall.stored_version ~= wish.new_version then
    redis.call('DEL', hall.centre_key)
    for name, bytes in pairs(wish.pieces) do redis.call('HSET', hall.centre_key, name, bytes) end
    redis.call('HSET', hall.day_key, 'version', wish.new_version)
    record(hall, 'CentreChanged', { version = wish.new_version })
    redis.call('HSET', hall.day_key, 'seq', hall.seq, 'clock', hall.now)
  end
  return pack({ epoch = hall.epoch, seq = hall.seq, day = hall.day, now_ms = hall.now, version = wish.new_version })
end
