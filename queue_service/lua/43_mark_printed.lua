-- mark_printed: the slip is on paper.  Printing again changes nothing.
-- ARGS   ticket      REPLY  ticket
-- CODES  UNKNOWN_TICKET WRONG_STATE     COST O(1)

local PRINTABLE = { waiting = true, called = true, serving = true, parked = true, no_show = true }

local function mark_printed(hall)
  local ticket, no = read_ticket(hall, hall.wish.ticket)
  if no then return no end
  if not PRINTABLE[ticket.state] then return wrong_state(ticket, 'printed') end
  if not ticket.printed then
    ticket.printed = true
    write_ticket(hall, ticket)
    record(hall, 'TicketPrinted', { ticket = ticket.id, number = ticket.number })
  end
  return { ticket = ticket }
end
