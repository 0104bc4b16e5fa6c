-- park: the visitor fetches a paper; the ticket keeps its virtual arrival and waits for resume or revive.  The time of return is
-- a word to the officer: nothing happens by itself.
-- ARGS   counter, reason?, until_ms?      REPLY  ticket, counter
-- CODES  UNKNOWN_COUNTER NOT_YOUR_SEAT COUNTER_IDLE WRONG_STATE     COST O(1)

local function park(hall)
  local ticket, counter, config, no = ticket_in_hand(hall, { called = true, serving = true }, 'parked')
  if no then return no end
  dismiss(hall, ticket, counter, 'parked', 'park')
  ticket.park_reason, ticket.park_until_ms, ticket.half_done = hall.wish.reason, hall.wish.until_ms, ticket.service
  write_ticket(hall, ticket)
  write_counter(hall, counter)
  record(hall, 'TicketParked', { ticket = ticket.id, number = ticket.number, department = ticket.department, service = ticket.service, counter = counter.id,
    reason = hall.wish.reason, until_ms = hall.wish.until_ms })
  return { ticket = ticket, counter = show_counter(counter, config) }
end
