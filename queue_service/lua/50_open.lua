-- open: take the seat (or keep it) and begin to call; also ends a pause.
-- ARGS   counter, take_over?, keep_officer? (a supervisor opens it for whoever holds the seat), reason?      REPLY  ticket in hand or nothing, counter
-- CODES  UNKNOWN_COUNTER SEAT_TAKEN     COST O(1)

local function open(hall)
  local config = piece(hall, 'counter:' .. hall.wish.counter)
  if not config then return refuse('UNKNOWN_COUNTER', 'there is no counter ' .. hall.wish.counter .. ' at this centre') end
  local counter = read_counter(hall, hall.wish.counter)
  local officer = hall.wish.keep_officer and hall.over and counter.officer or hall.actor
  local taken_from = counter.officer ~= officer and counter.officer or nil
  if taken_from and not hall.wish.take_over then
    return refuse('SEAT_TAKEN', 'somebody else holds the seat at counter ' .. config.number .. '; ask, or take it over')
  end
  if counter.state ~= 'open' or counter.officer ~= officer then
    if counter.state ~= 'open' then counter.since_ms, counter.idle_since = hall.now, hall.now end
    counter.state, counter.officer, counter.reason, counter.ready, counter.has_left = 'open', officer, nil, nil, nil
    write_counter(hall, counter)
    record(hall, 'CounterOpened', { counter = counter.id, officer = officer, taken_from = taken_from, reason = hall.wish.reason })
  end
  return { ticket = counter.ticket and read_ticket(hall, counter.ticket), counter = show_counter(counter, config) }
end
