-- pause: stop calling for a while.  The visitor at the counter and the seat stay.
-- ARGS   counter, reason?      REPLY  ticket in hand or nothing, counter
-- CODES  UNKNOWN_COUNTER NOT_YOUR_SEAT COUNTER_CLOSED     COST O(1)

local function pause(hall)
  local counter, config, no = own_counter(hall)
  if no then return no end
  if counter.state == 'closed' then return refuse('COUNTER_CLOSED', 'counter ' .. config.number .. ' is closed already') end
  if counter.state ~= 'paused' then
    counter.state, counter.since_ms, counter.reason, counter.ready = 'paused', hall.now, hall.wish.reason, nil
    write_counter(hall, counter)
    record(hall, 'CounterPaused', { counter = counter.id, reason = hall.wish.reason })
  end
  return { ticket = counter.ticket and read_ticket(hall, counter.ticket), counter = show_counter(counter, config) }
end
