-- Officers: where somebody sits.  COST O(counters).

-- The counter at which this actor works now; of several the one with the lowest number.
local function where_sits(hall, actor)
  local found, lowest
  for _, id in ipairs(redis.call('HKEYS', hall.counters_key)) do
    local counter = read_counter(hall, id)
    local config = counter.officer == actor and counter.state ~= 'closed' and piece(hall, 'counter:' .. id)
    if config and (not lowest or config.number < lowest) then found, lowest = id, config.number end
  end
  return found
end
