-- start: the visitor has come to the counter.  Undo takes back the start alone; the call before it can be taken back after that.
-- ARGS   counter      REPLY  ticket, counter
-- CODES  UNKNOWN_COUNTER NOT_YOUR_SEAT COUNTER_IDLE WRONG_STATE     COST O(1)

local function start(hall)
  local ticket, counter, config, no = ticket_in_hand(hall, { called = true }, 'started')
  if no then return no end
  local before, earlier = hall.bytes[ticket.id], step_of(hall, counter)
  ticket.state, ticket.started_at_ms = 'serving', hall.now
  remember(hall, counter, 'start', before, ticket)
  hall.steps[counter.id].earlier = earlier
  mark_call(counter, ticket, 'serving')
  write_ticket(hall, ticket)
  write_counter(hall, counter)
  record(hall, 'ServiceStarted', { ticket = ticket.id, number = ticket.number, counter = counter.id })
  return { ticket = ticket, counter = show_counter(counter, config) }
end
