-- advance_day: begin another business day.  Number sequences start again; whoever still waits keeps place and number, and no new ticket gets a
-- number that somebody in the building carries (30_issue_ticket.lua).  Answers of the day that ends are kept for one more.
-- ARGS   day      REPLY  nothing more      CODES  MALFORMED DAY_NOT_LATER      COST O(departments + counters)

local function advance_day(hall)
  if not string.match(hall.wish.day, '^%d%d%d%d%-%d%d%-%d%d$') then return refuse('MALFORMED', 'a day is written YYYY-MM-DD') end
  if hall.wish.day <= hall.day then
    return refuse('DAY_NOT_LATER', 'the business day is ' .. hall.day .. ' already')
  end
  hall.day = hall.wish.day
  redis.call('UNLINK', hall.sequences_key, hall.steps_key, hall.messages_key)
  if redis.call('EXISTS', hall.answers_key) == 1 then
    redis.call('RENAME', hall.answers_key, hall.answers_before_key)
  else
    redis.call('UNLINK', hall.answers_before_key)
  end
  local stored = redis.call('HGETALL', hall.counters_key)
  for i = 2, #stored, 2 do
    local counter = unpack_map(stored[i])
    if counter.call or counter.last then
      counter.call, counter.last = nil, nil
      write_counter(hall, counter)
    end
  end
  redis.call('HSET', hall.day_key, 'day', hall.day)
  record(hall, 'DayAdvanced', { day = hall.day })
  return {}
end
