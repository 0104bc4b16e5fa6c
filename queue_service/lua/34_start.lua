-- start: the visitor has come to the counter.
-- ARGS   counter      REPLY  ticket, counter
-- CODES  UNKNOWN_COUNTER NOT_YOUR_SEAT COUNTER_IDLE WRONG_STATE     COST O(1)

local function start(hall)
  local ticket, counter, config, no = ticket_in_hand(hall, { called = true }, 'started')
  if no then return no end
  ticket.state, ticket.started_at_ms = 'serving', hall.now
  mark_call(counter, ticket, 'serving')
  write_ticket(hall, ticket)
  write_counter(hall, counter)
  record(hall, 'ServiceStarted', { ticket = ticket.id, number = ticket.number, counter = counter.id })
  return { ticket = ticket, counter = show_counter(counter, config) }
end
