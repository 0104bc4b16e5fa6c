-- note: what the next colleague should know about the visitor in hand; no words take it away.  Only staff see it.
-- ARGS   counter, text?      REPLY  ticket, counter
-- CODES  UNKNOWN_COUNTER NOT_YOUR_SEAT COUNTER_IDLE WRONG_STATE     COST O(1)

local function note(hall)
  local ticket, counter, config, no = ticket_in_hand(hall, { called = true, serving = true }, 'noted')
  if no then return no end
  if ticket.note ~= hall.wish.text then
    ticket.note = hall.wish.text
    write_ticket(hall, ticket)
    record(hall, 'TicketNoted', { ticket = ticket.id, number = ticket.number, counter = counter.id, note = ticket.note })
  end
  return { ticket = ticket, counter = show_counter(counter, config) }
end
