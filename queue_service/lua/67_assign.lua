-- assign: a supervisor decides what a counter serves for the rest of the business day; without serves, what the centre's file says again.
-- As with another configuration nobody is lost, slips that would name the wrong counters choose again, and ready counters look into their new lines.
-- ARGS   counter, reason, serves? (service -> level); the envelope's `after` is the centre with it: version, assigned, pieces
-- REPLY  ticket in hand or nothing, counter      CODES  UNKNOWN_COUNTER NOBODY_SERVES MALFORMED      COST O(pieces + n log n), n = tickets waiting

local function assign(hall)
  local wish, after = hall.wish, hall.after
  if not piece(hall, 'counter:' .. wish.counter) then
    return refuse('UNKNOWN_COUNTER', 'there is no counter ' .. wish.counter .. ' at this centre')
  end
  if type(wish.reason) ~= 'string' or wish.reason == '' or not (after and after.version and after.assigned and after.pieces) then
    return refuse('MALFORMED', 'say why, and bring the centre as it would be')
  end
  local pieces = {}
  for name, bytes in pairs(after.pieces) do pieces[name] = unpack_piece(bytes) end
  local waited_for, counters = services_waited_for(hall), live_counters(hall)
  local no = strands(waited_for, pieces)
  if no then return no end
  record(hall, 'CounterAssigned', { counter = wish.counter, serves = wish.serves, reason = wish.reason })
  put_in_force(hall, after.pieces, after.version, after.assigned)
  carry_over(hall, waited_for, counters)
  return seat_as_it_is(hall, read_counter(hall, wish.counter), piece(hall, 'counter:' .. wish.counter))
end
