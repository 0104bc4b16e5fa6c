-- Counters: the live record of each, who sits there, and the authority to press.

-- The live record of a counter; one that was never opened is closed.
local function read_counter(hall, id)
  local live = hall.live[id]
  if not live then
    local bytes = redis.call('HGET', hall.counters_key, id)
    live = bytes and unpack_map(bytes) or { id = id, state = 'closed', since_ms = 0, idle_since = 0 }
    hall.live[id] = live
  end
  return live
end

local function write_counter(hall, counter)
  redis.call('HSET', hall.counters_key, counter.id, pack(counter))
  -- A cluster's work is shared by its open counters (25_announce.lua, attended).
  local is_open = counter.state == 'open'
  if hall.opened[counter.id] ~= is_open then hall.opened[counter.id], hall.shares, hall.attended = is_open, {}, {} end
end

-- The counter of a press and its configuration: it exists and the actor holds its seat (or may act over it).
local function own_counter(hall)
  local id = hall.wish.counter
  local config = piece(hall, 'counter:' .. id)
  if not config then
    return nil, nil, refuse('UNKNOWN_COUNTER', 'there is no counter ' .. id .. ' at this centre')
  end
  local counter = read_counter(hall, id)
  if not hall.over and counter.officer ~= hall.actor then
    if counter.officer then
      return nil, nil, refuse('NOT_YOUR_SEAT', 'somebody else holds the seat at counter ' .. config.number)
    end
    return nil, nil, refuse('NOT_YOUR_SEAT', 'nobody holds the seat at counter ' .. config.number .. '; open it first')
  end
  return counter, config
end

-- The ticket in hand at the counter of a press, in one of *states*.
local function ticket_in_hand(hall, states, wish)
  local counter, config, no = own_counter(hall)
  if no then return nil, nil, nil, no end
  if not counter.ticket then
    return nil, nil, nil, refuse('COUNTER_IDLE', 'counter ' .. config.number .. ' has no ticket in hand')
  end
  local ticket = read_ticket(hall, counter.ticket)
  if not states[ticket.state] then return nil, nil, nil, wrong_state(ticket, wish) end
  return ticket, counter, config
end

-- The counter may invite somebody now.
local function may_call(counter, config)
  if counter.ticket then
    return refuse('COUNTER_BUSY', 'counter ' .. config.number .. ' still has a ticket in hand; complete, park or transfer it first')
  elseif counter.state == 'paused' then
    return refuse('COUNTER_PAUSED', 'counter ' .. config.number .. ' is paused; open it to call')
  elseif counter.state == 'closed' then
    return refuse('COUNTER_CLOSED', 'counter ' .. config.number .. ' is closed; open it to call')
  end
end

-- What staff see of a counter.
local function show_counter(counter, config)
  return {
    id = counter.id, number = config.number, zone = config.zone, state = counter.state, officer = counter.officer, since_ms = counter.since_ms,
    reason = counter.reason, ready = counter.ready or false, ticket = counter.ticket, undo = counter.last,
  }
end

-- Remember the last step of a counter, so that it can be taken back; `before` is the ticket's bytes, `learned` what learn_mean returned.
local function remember(hall, counter, press_name, before, after, learned)
  counter.last = { press = press_name, until_ms = hall.now + policy_of(hall).undo_ms }
  hall.steps[counter.id] = {
    ticket = after.id, state = after.state, before = before, held = counter.ticket, call = counter.call, learned = learned,
  }
end

-- The last step of a counter as it was remembered, with what staff see of it; nothing when there is none.
local function step_of(hall, counter)
  local bytes = counter.last and redis.call('HGET', hall.steps_key, counter.id)
  return bytes and { step = bytes, last = counter.last } or nil
end

-- The visitor has left the counter.  A counter closed in the meantime loses its officer now.
local function release(hall, counter)
  counter.ticket, counter.idle_since, counter.ready = nil, hall.now, nil
  if counter.state == 'closed' then counter.officer = nil end
end
