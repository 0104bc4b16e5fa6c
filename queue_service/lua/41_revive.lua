-- revive: a parked, absent or cancelled visitor waits again.  A parked or cancelled ticket keeps its virtual arrival; for an absent one the clock
-- stood still from the end of the missed call.
-- ARGS   ticket, reason?      REPLY  ticket, with `ahead`
-- CODES  UNKNOWN_TICKET WRONG_STATE NOBODY_SERVES     COST O(counters of the service + log n)

local REVIVABLE = { parked = true, no_show = true, cancelled = true }

local function revive(hall)
  local ticket, no = read_ticket(hall, hall.wish.ticket)
  if no then return no end
  if not REVIVABLE[ticket.state] then return wrong_state(ticket, 'revived') end
  local service = piece(hall, 'service:' .. ticket.service)
  if not service or #service.counters == 0 then return refuse('NOBODY_SERVES', 'no counter serves ' .. ticket.service .. ' today') end
  if redis.call('HGET', hall.numbers_key, ticket.number) ~= ticket.id then
    return refuse('WRONG_STATE', 'number ' .. ticket.number .. ' has been given to somebody else since; take a new ticket')
  end
  local was = ticket.state
  if was == 'no_show' then ticket.virtual_ms = ticket.virtual_ms + hall.now - ticket.ended_at_ms end
  ticket.park_reason, ticket.park_until_ms, ticket.needs = nil, nil, still_needed(hall, ticket)
  local ahead = ahead_of(hall, ticket)
  stand_in_line(hall, ticket)
  write_ticket(hall, ticket)
  record(hall, 'TicketRevived', standing(ticket, { was = was, reason = hall.wish.reason }))
  offer(hall, ticket)
  return { ticket = ticket, ahead = ahead }
end
