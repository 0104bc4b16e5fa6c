-- close: stop calling and leave the seat; a service under way is not cut.  The slips that name nobody else who is there choose again.
-- With drain, the counter first calls those whose slip names it; it closes when the officer closes it without drain.
-- ARGS   counter, drain?, reason?      REPLY  ticket in hand or nothing, counter
-- CODES  UNKNOWN_COUNTER NOT_YOUR_SEAT     COST O(m log n), m tickets announced to the counter

-- Does any counter of the cluster still take tickets?
local function cluster_is_served(hall, line)
  for _, entry in ipairs(piece(hall, 'service:' .. line.service).counters) do
    if entry.group == line.group and read_counter(hall, entry.id).state == 'open' then return true end
  end
  return false
end

local function close(hall)
  local counter, config, no = own_counter(hall)
  if no then return no end
  local state = hall.wish.drain and counter.state ~= 'closed' and 'draining' or 'closed'
  if counter.state ~= state then
    counter.state, counter.since_ms, counter.reason, counter.ready = state, hall.now, nil, nil
    if state == 'closed' and not counter.ticket then counter.officer = nil end
    if state == 'closed' then counter.call, counter.has_left = nil, true end
    write_counter(hall, counter)
    record(hall, 'CounterClosed', { counter = counter.id, draining = state == 'draining', reason = hall.wish.reason })
    if state == 'closed' then
      local dark = {}
      for _, line in ipairs(config.lines) do
        dark[#dark + 1] = line.service .. '/' .. counter.id
        if line.mode == 'cluster' and line.group and not cluster_is_served(hall, line) then dark[#dark + 1] = line.service .. '/' .. line.group end
      end
      for _, ticket in ipairs(announced_below(hall, dark)) do announce_again(hall, ticket) end
    end
  end
  return { ticket = counter.ticket and read_ticket(hall, counter.ticket), counter = show_counter(counter, config) }
end
