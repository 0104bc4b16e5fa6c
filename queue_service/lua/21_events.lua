-- record(hall, kind, fact): number the fact, append it to the stream and ring the bell with the same bytes.
-- events.py lists the fields of each kind.  COST O(1).

-- What an event says of a ticket that begins to wait, so that the log alone tells where everybody stands.
local function standing(ticket, fact)
  fact.ticket, fact.number, fact.department, fact.service, fact.class = ticket.id, ticket.number, ticket.department, ticket.service, ticket.class
  fact.lines = #ticket.lines > 1 and ticket.lines or nil
  fact.counters, fact.group, fact.announced_for = ticket.counters, ticket.group, ticket.announced_for
  fact.virtual_ms, fact.order = ticket.virtual_ms, ticket.order
  return fact
end

local EVENTS_KEPT = 100000 -- entries; a hall of 2,000 visitors makes about 14,000 a day

local function record(hall, kind, fact)
  hall.seq = hall.seq + 1
  fact.epoch, fact.seq, fact.at_ms, fact.type, fact.actor = hall.epoch, hall.seq, hall.now, kind, hall.actor
  local bytes = pack(fact)
  redis.call('XADD', hall.events_key, 'MAXLEN', '~', EVENTS_KEPT, hall.seq .. '-0', 'e', bytes)
  redis.call('SPUBLISH', hall.bell, bytes)
  return hall.seq
end
