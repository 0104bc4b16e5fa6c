-- Moves: the changes several presses share.  Everything here writes; callers have checked everything before.

-- The ticket begins to wait: a group is announced (or *to_counter*, which serves it), it stands in line, and it counts on the boards.  Returns the
-- candidates of choose_group.
local function stand_in_line(hall, ticket, to_counter)
  local group, counters, candidates = choose_group(hall, ticket.service)
  if to_counter then group, counters = to_counter, { to_counter } end
  ticket.state, ticket.group, ticket.counters = 'waiting', group, counters
  ticket.counter, ticket.called_at_ms, ticket.started_at_ms, ticket.ended_at_ms = nil, nil, nil, nil
  ticket.rings = 0
  ticket.work_ms = mean_of(hall, ticket.service).ms
  redis.call('ZADD', hall.waiting_key, 0, waiting_member(ticket))
  redis.call('ZADD', hall.announced_key, 0, announced_member(ticket))
  redis.call('HINCRBY', hall.day_key, 'waiting:' .. ticket.service, 1)
  add_work(hall, group, ticket.work_ms)
  return candidates
end

-- The ticket stops waiting.
local function leave_line(hall, ticket)
  redis.call('ZREM', hall.waiting_key, waiting_member(ticket))
  redis.call('ZREM', hall.announced_key, announced_member(ticket))
  redis.call('HINCRBY', hall.day_key, 'waiting:' .. ticket.service, -1)
  add_work(hall, ticket.group, -ticket.work_ms)
end

-- Back into the same place of the line, announced as before (undo).
local function return_to_line(hall, ticket)
  redis.call('ZADD', hall.waiting_key, 0, waiting_member(ticket))
  redis.call('ZADD', hall.announced_key, 0, announced_member(ticket))
  redis.call('HINCRBY', hall.day_key, 'waiting:' .. ticket.service, 1)
  add_work(hall, ticket.group, ticket.work_ms)
end

-- Invite *ticket* to *counter*: the one place where a call happens.
local function invite(hall, ticket, counter, press_name, why, reason)
  local before, was = copy(ticket), ticket.state
  if was == 'waiting' then leave_line(hall, ticket) end
  counter.ready = nil
  ticket.state, ticket.counter, ticket.called_at_ms, ticket.rings = 'called', counter.id, hall.now, 1
  ticket.started_at_ms, ticket.ended_at_ms, ticket.park_reason = nil, nil, nil
  ticket.call = hall.seq + 1
  remember(hall, counter, press_name, before, ticket)
  counter.ticket, counter.called_at_ms, counter.service = ticket.id, hall.now, ticket.service
  counter.mean_at_call = mean_of(hall, ticket.service).ms
  counter.call = { number = ticket.number, department = ticket.department, at_ms = hall.now, seq = ticket.call, rings = 1, ticket_state = 'called',
    language = ticket.language }
  write_ticket(hall, ticket)
  write_counter(hall, counter)
  record(hall, 'TicketCalled', { ticket = ticket.id, number = ticket.number, department = ticket.department, service = ticket.service, class = ticket.class,
    counter = counter.id, call = ticket.call, language = ticket.language, was = was, why = why, reason = reason })
end

-- A ticket has begun to wait: if counters that asked and got nobody can serve it, the one that is ready longest calls it, except that
-- it leaves the ticket to a ready counter that the slip names.
local function offer(hall, ticket, candidates)
  if not policy_of(hall).auto_ready then return end
  local service = piece(hall, 'service:' .. ticket.service)
  local longest, named
  for _, candidate in ipairs(candidates) do
    local live = candidate.live
    if live.ready and live.state == 'open' and not live.ticket then
      local key = { live.idle_since, candidate.entry.position }
      candidate.key = key
      if not longest or earlier(key, longest.key) then longest = candidate end
      if is_named(service, ticket, live.id) and (not named or earlier(key, named.key)) then named = candidate end
    end
  end
  local taker = named or longest
  if not taker then return end
  invite(hall, ticket, taker.live, 'call-next', { rule = 'ready', class = ticket.class, waited_ms = hall.now - ticket.virtual_ms, considered = 1 })
end

-- The state of the ticket last called, as the board shows it beside the counter.
local function mark_call(counter, ticket, state)
  if counter.call and counter.call.seq == ticket.call then counter.call.ticket_state = state end
end

-- The ticket in hand leaves the counter with *state*; the caller records the event.
local function dismiss(hall, ticket, counter, state, press_name, learned)
  local before = copy(ticket)
  ticket.state, ticket.ended_at_ms = state, hall.now
  remember(hall, counter, press_name, before, ticket, learned)
  mark_call(counter, ticket, state)
  release(hall, counter)
end

-- The waiting tickets announced below *prefixes* ('service/group', or 'service' for all groups), oldest first.
local function announced_below(hall, prefixes)
  local found = {}
  for _, prefix in ipairs(prefixes) do
    for _, member in ipairs(redis.call('ZRANGEBYLEX', hall.announced_key, '[' .. prefix .. '/', '(' .. prefix .. '0')) do
      local _, virtual_ms, order, id = read_member(member)
      found[#found + 1] = { virtual_ms, order, id }
    end
  end
  table.sort(found, earlier)
  for i, entry in ipairs(found) do found[i] = read_ticket(hall, entry[3]) end
  return found
end

local function same_counters(a, b)
  if #a ~= #b then return false end
  for i = 1, #a do
    if a[i] ~= b[i] then return false end
  end
  return true
end

-- The slip of a waiting ticket chooses again; if it then names others, that is announced.
local function announce_again(hall, ticket)
  local named = ticket.counters
  redis.call('ZREM', hall.announced_key, announced_member(ticket))
  add_work(hall, ticket.group, -ticket.work_ms)
  ticket.group, ticket.counters = choose_group(hall, ticket.service)
  ticket.work_ms = mean_of(hall, ticket.service).ms
  redis.call('ZADD', hall.announced_key, 0, announced_member(ticket))
  add_work(hall, ticket.group, ticket.work_ms)
  write_ticket(hall, ticket)
  if not same_counters(named, ticket.counters) then
    record(hall, 'TicketReassigned', { ticket = ticket.id, number = ticket.number, counters = ticket.counters })
  end
end
