-- call_next: invite whoever is due at this counter (26_select.lua).  When nobody waits, the counter is ready and the next suitable visitor is
-- called for it (27_moves.lua, offer).
-- ARGS   counter
-- REPLY  ticket or nothing, counter
-- CODES  UNKNOWN_COUNTER NOT_YOUR_SEAT COUNTER_BUSY COUNTER_PAUSED COUNTER_CLOSED     COST O(lines * classes * log n)

local function call_next(hall)
  local counter, config, no = own_counter(hall)
  no = no or may_call(counter, config)
  if no then return no end
  local head, why = pick(hall, counter, config)
  if not head then
    -- A draining counter is not offered anybody.
    if counter.state == 'open' and not counter.ready then
      counter.ready = true
      write_counter(hall, counter)
    end
    return { counter = show_counter(counter, config) }
  end
  local ticket = read_ticket(hall, head.id)
  invite(hall, ticket, counter, 'call-next', why)
  return { ticket = ticket, counter = show_counter(counter, config) }
end
