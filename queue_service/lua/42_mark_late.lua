-- mark_late: the visitor will be late and lets some people of the same line and class pass.
-- ARGS   ticket      REPLY  ticket, with `ahead`
-- CODES  UNKNOWN_TICKET WRONG_STATE     COST O(log n)

local function mark_late(hall)
  local ticket, no = read_ticket(hall, hall.wish.ticket)
  if no then return no end
  if ticket.state ~= 'waiting' then return wrong_state(ticket, 'moved back') end
  local before = unpack_map(hall.bytes[ticket.id])
  if move_back(hall, ticket, policy_of(hall).late_back_places) then
    remove_members(hall, before)
    add_members(hall, ticket)
    write_ticket(hall, ticket)
    record(hall, 'TicketMovedBack', standing(ticket, {}))
  end
  return { ticket = ticket, ahead = ahead_of(hall, ticket) }
end
