-- forget: drop finished tickets that were issued on an earlier business day; others are left alone.  Bounded: at most 200 ids a call.
-- ARGS   tickets (ids)      REPLY  forgotten (how many)      CODES  MALFORMED      COST O(ids)

local FINISHED = { served = true, cancelled = true, expired = true }

local function forget(hall)
  if #hall.wish.tickets > 200 then return refuse('MALFORMED', 'at most 200 tickets at a time') end
  local forgotten = 0
  for _, id in ipairs(hall.wish.tickets) do
    local bytes = redis.call('HGET', hall.tickets_key, id)
    local ticket = bytes and unpack_map(bytes)
    if ticket and FINISHED[ticket.state] and ticket.day < hall.day then
      redis.call('HDEL', hall.tickets_key, id)
      if redis.call('HGET', hall.numbers_key, ticket.number) == id then redis.call('HDEL', hall.numbers_key, ticket.number) end
      forgotten = forgotten + 1
    end
  end
  return { forgotten = forgotten }
end
