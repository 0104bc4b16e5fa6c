-- recall: announce the called ticket again, everywhere.  Changes nothing but the count of rings.
-- ARGS   counter      REPLY  ticket, counter
-- CODES  UNKNOWN_COUNTER NOT_YOUR_SEAT COUNTER_IDLE WRONG_STATE     COST O(1)

local function recall(hall)
  local ticket, counter, config, no = ticket_in_hand(hall, { called = true }, 'recalled')
  if no then return no end
  ticket.rings = ticket.rings + 1
  if counter.call and counter.call.seq == ticket.call then counter.call.rings = ticket.rings end
  write_ticket(hall, ticket)
  write_counter(hall, counter)
  record(hall, 'TicketRecalled', { ticket = ticket.id, number = ticket.number, department = ticket.department, counter = counter.id, rings = ticket.rings,
    language = ticket.language })
  return { ticket = ticket, counter = show_counter(counter, config) }
end
