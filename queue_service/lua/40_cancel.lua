-- cancel: the visitor gives up.
-- ARGS   ticket, reason?      REPLY  ticket
-- CODES  UNKNOWN_TICKET WRONG_STATE     COST O(log n)

-- A ticket in one of *states* ends without having been served.
local function finish_unserved(hall, states, state, kind, wish_word)
  local ticket, no = read_ticket(hall, hall.wish.ticket)
  if no then return no end
  if not states[ticket.state] then return wrong_state(ticket, wish_word) end
  local was = ticket.state
  if was == 'waiting' then leave_line(hall, ticket) end
  ticket.state, ticket.ended_at_ms = state, hall.now
  write_ticket(hall, ticket)
  record(hall, kind, { ticket = ticket.id, number = ticket.number, department = ticket.department, service = ticket.service, was = was,
    lines = was == 'waiting' and several(ticket.lines) or nil, reason = hall.wish.reason })
  return { ticket = ticket }
end

local function cancel(hall)
  return finish_unserved(hall, { waiting = true, parked = true }, 'cancelled', 'TicketCancelled', 'cancelled')
end
