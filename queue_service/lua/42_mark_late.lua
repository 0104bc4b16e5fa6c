-- mark_late: the visitor will be late and lets some people of the same line and class pass.
-- ARGS   ticket      REPLY  ticket, with `ahead`
-- CODES  UNKNOWN_TICKET WRONG_STATE     COST O(log n)

local function mark_late(hall)
  local ticket, no = read_ticket(hall, hall.wish.ticket)
  if no then return no end
  if ticket.state ~= 'waiting' then return wrong_state(ticket, 'moved back') end
  local old_member, old_announced = waiting_member(ticket), announced_member(ticket)
  if move_back(hall, ticket, policy_of(hall).late_back_places) then
    redis.call('ZREM', hall.waiting_key, old_member)
    redis.call('ZREM', hall.announced_key, old_announced)
    redis.call('ZADD', hall.waiting_key, 0, waiting_member(ticket))
    redis.call('ZADD', hall.announced_key, 0, announced_member(ticket))
    write_ticket(hall, ticket)
    record(hall, 'TicketMovedBack', { ticket = ticket.id, number = ticket.number, department = ticket.department, service = ticket.service })
  end
  ticket.ahead = ahead_of(hall, ticket)
  return { ticket = ticket }
end
