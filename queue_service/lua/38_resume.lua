-- resume: call a parked ticket (one's own or another counter's) to this counter.
-- ARGS   counter, ticket      REPLY  ticket, counter
-- CODES  as call_next, UNKNOWN_TICKET WRONG_STATE     COST O(1)

local function resume(hall)
  local counter, config, no = own_counter(hall)
  no = no or may_call(counter, config)
  if no then return no end
  local ticket
  ticket, no = read_ticket(hall, hall.wish.ticket)
  if no then return no end
  if ticket.state ~= 'parked' then return wrong_state(ticket, 'resumed') end
  invite(hall, ticket, ticket.service, counter, 'resume', { rule = 'resumed', class = ticket.class, waited_ms = hall.now - ticket.virtual_ms, considered = 1 })
  return { ticket = ticket, counter = show_counter(counter, config) }
end
