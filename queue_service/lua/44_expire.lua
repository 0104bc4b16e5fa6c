-- expire: the day of the ticket is over.
-- ARGS   ticket      REPLY  ticket
-- CODES  UNKNOWN_TICKET WRONG_STATE     COST O(log n)

local function expire(hall)
  return finish_unserved(hall, { waiting = true, parked = true, no_show = true }, 'expired', 'TicketExpired', 'expired')
end
