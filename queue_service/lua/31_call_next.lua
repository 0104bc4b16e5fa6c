-- call_next: invite whoever is due at this counter (26_select.lua).  When nobody waits, the counter is ready and the next suitable visitor is
-- called for it (27_moves.lua, offer).
-- With yields, a ticket is left to another counter that is free, is named on its slip and would call this very ticket.
-- ARGS   counter, yields?
-- REPLY  ticket or nothing, counter
-- CODES  UNKNOWN_COUNTER NOT_YOUR_SEAT COUNTER_BUSY COUNTER_PAUSED COUNTER_CLOSED     COST O(lines * classes * log n)

-- Is there a counter that is free, is named on the slip and would pick the same ticket?
local function is_left_to_another(hall, ticket, own_id)
  local service = piece(hall, 'service:' .. ticket.announced_for)
  if not service or is_named(service, ticket, own_id) then return false end
  for _, id in ipairs(ticket.counters) do
    if is_named(service, ticket, id) then
      local other = read_counter(hall, id)
      if other.state == 'open' and not other.ticket then
        local head = pick(hall, other, piece(hall, 'counter:' .. id))
        if head and head.id == ticket.id then return true end
      end
    end
  end
  return false
end

local function call_next(hall)
  local counter, config, no = own_counter(hall)
  no = no or may_call(counter, config)
  if no then return no end
  local head, why = pick(hall, counter, config)
  local ticket = head and read_ticket(hall, head.id)
  if not head or (hall.wish.yields and is_left_to_another(hall, ticket, counter.id)) then
    -- A draining counter is not offered anybody.
    if counter.state == 'open' and not counter.ready then
      counter.ready = true
      write_counter(hall, counter)
    end
    return { counter = show_counter(counter, config) }
  end
  invite(hall, ticket, head.service, counter, 'call-next', why)
  return { ticket = ticket, counter = show_counter(counter, config) }
end
