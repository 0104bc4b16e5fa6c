-- Moves: the changes several presses share.  Everything here writes; callers have checked everything before.

-- The lines of a ticket as events carry them: nothing when there is just the one of its service.
local function several(lines)
  return #lines > 1 and lines or nil
end

local function count_waiting(hall, ticket, step)
  for _, service in ipairs(ticket.lines) do change_count(hall, service, step) end
  add_work(hall, ticket.group, step * ticket.work_ms)
end

-- The ticket begins to wait: a group is announced (or *to_counter*, which serves it), it stands in its lines, and it counts on the boards.
local function stand_in_line(hall, ticket, to_counter)
  ticket.lines = lines_of(ticket)
  local group, counters, service_id
  if to_counter then
    group, counters, service_id = to_counter, { to_counter }, ticket.lines[1]
  else
    group, counters, service_id = choose_group(hall, ticket.lines)
  end
  ticket.state, ticket.service, ticket.group, ticket.counters, ticket.announced_for = 'waiting', ticket.lines[1], group, counters, service_id
  ticket.counter, ticket.called_at_ms, ticket.started_at_ms, ticket.ended_at_ms = nil, nil, nil, nil
  ticket.rings = 0
  ticket.work_ms = mean_of(hall, service_id).ms
  add_members(hall, ticket)
  count_waiting(hall, ticket, 1)
end

-- The ticket stops waiting.
local function leave_line(hall, ticket)
  remove_members(hall, ticket)
  count_waiting(hall, ticket, -1)
end

-- Back into the same place of the line, announced as before (undo).
local function return_to_line(hall, ticket)
  add_members(hall, ticket)
  count_waiting(hall, ticket, 1)
end

-- The department of a service; that of the ticket if the service was taken out of the configuration.
local function department_of(hall, service_id, ticket)
  local service = piece(hall, 'service:' .. service_id)
  return service and service.department.id or ticket.department
end

-- Invite *ticket* to *counter* for *service*: the one place where a call happens.
local function invite(hall, ticket, service, counter, press_name, why, reason)
  local before, was = hall.bytes[ticket.id], ticket.state
  why.placed = ticket.placed
  if was == 'waiting' then leave_line(hall, ticket) end
  counter.ready = nil
  ticket.service, ticket.department = service, department_of(hall, service, ticket)
  ticket.state, ticket.counter, ticket.called_at_ms, ticket.rings = 'called', counter.id, hall.now, 1
  ticket.started_at_ms, ticket.ended_at_ms, ticket.park_reason, ticket.park_until_ms = nil, nil, nil, nil
  ticket.call = hall.seq + 1
  remember(hall, counter, press_name, before, ticket)
  counter.ticket, counter.called_at_ms, counter.service = ticket.id, hall.now, ticket.service
  counter.mean_at_call = mean_of(hall, ticket.service).ms
  counter.call = { number = ticket.number, department = ticket.department, at_ms = hall.now, seq = ticket.call, rings = 1, ticket_state = 'called',
    language = ticket.language }
  write_ticket(hall, ticket)
  write_counter(hall, counter)
  record(hall, 'TicketCalled', { ticket = ticket.id, number = ticket.number, department = ticket.department, service = ticket.service, class = ticket.class,
    counter = counter.id, call = ticket.call, language = ticket.language, was = was, lines = was == 'waiting' and several(ticket.lines) or nil,
    why = why, reason = reason })
end

-- A ticket has begun to wait: if counters that asked and got nobody can serve it, the one that is ready longest calls it, except that
-- it leaves the ticket to a ready counter that the slip names.
local function offer(hall, ticket)
  if not policy_of(hall).auto_ready then return end
  local longest, named
  for _, service_id in ipairs(ticket.lines) do
    local service = piece(hall, 'service:' .. service_id)
    for _, entry in ipairs(service and service.counters or {}) do
      local live = hall.live[entry.id] or read_counter(hall, entry.id)
      if live.ready and live.state == 'open' and not live.ticket then
        local taker = { live = live, service_id = service_id, key = { live.idle_since, entry.position } }
        if not longest or earlier(taker.key, longest.key) then longest = taker end
        if is_named(service, ticket, live.id) and (not named or earlier(taker.key, named.key)) then named = taker end
      end
    end
  end
  local taker = named or longest
  if not taker then return end
  invite(hall, ticket, taker.service_id, taker.live, 'call-next', { rule = 'ready', class = ticket.class, waited_ms = hall.now - ticket.virtual_ms, considered = 1 })
end

-- The state of the ticket last called, as the board shows it beside the counter.
local function mark_call(counter, ticket, state)
  if counter.call and counter.call.seq == ticket.call then counter.call.ticket_state = state end
end

-- The ticket in hand leaves the counter with *state*; the caller records the event.
local function dismiss(hall, ticket, counter, state, press_name, learned)
  local before = hall.bytes[ticket.id]
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
  leave_line(hall, ticket)
  ticket.group, ticket.counters, ticket.announced_for = choose_group(hall, ticket.lines)
  ticket.work_ms = mean_of(hall, ticket.announced_for).ms
  return_to_line(hall, ticket)
  write_ticket(hall, ticket)
  if not same_counters(named, ticket.counters) then
    record(hall, 'TicketReassigned', standing(ticket, {}))
  end
end

local function record_served(hall, ticket, counter)
  record(hall, 'TicketServed', { ticket = ticket.id, number = ticket.number, department = ticket.department, service = ticket.service, class = ticket.class,
    counter = counter.id, called_at_ms = ticket.called_at_ms, started_at_ms = ticket.started_at_ms, mean_ms = mean_of(hall, ticket.service).ms, done = hall.wish.done, outcome = hall.wish.outcome })
end

-- What a visit needs, without *done* and without what nobody serves any more.
local function still_needed(hall, ticket, done)
  local left = {}
  for _, need in ipairs(ticket.needs) do
    local service = piece(hall, 'service:' .. need)
    if need ~= done and service and #service.counters > 0 then left[#left + 1] = need end
  end
  return left
end

-- The service in hand of a visit is done.  Says whether anything is left to do.
local function tick_off(hall, ticket)
  ticket.needs, ticket.half_done = still_needed(hall, ticket, ticket.service), nil
  return #ticket.needs > 0
end

-- From the service in hand to the next line of the visit, with at most transfer_age_cap of its age: what complete and transfer share.
local function go_on(hall, ticket, counter, to_counter)
  local from_department, from_service = ticket.department, ticket.service
  ticket.virtual_ms = math.max(ticket.issued_at_ms, hall.now - policy_of(hall).transfer_age_cap_ms)
  ticket.placed = nil
  mark_call(counter, ticket, 'waiting')
  hall.steps[counter.id].state = 'waiting'
  write_counter(hall, counter)
  stand_in_line(hall, ticket, to_counter)
  ticket.department = department_of(hall, ticket.service, ticket)
  write_ticket(hall, ticket)
  record(hall, 'TicketTransferred', standing(ticket, { counter = counter.id, from_department = from_department, from_service = from_service,
    note = ticket.note }))
  offer(hall, ticket)
end
