-- issue_ticket: hand out the next number of a department and a place in the line of one of its services.
-- ARGS   service, further? (more services of the same visit), any_order?, class, appointment_ms?, ground?, language?, procedure?;
--        the envelope's new_ticket is the id to give it
-- REPLY  ticket, with `ahead`
-- CODES  ISSUING_CLOSED UNKNOWN_SERVICE NOBODY_SERVES MALFORMED NUMBERS_EXHAUSTED     COST O(counters of the service + log n)

local CARRIED = { waiting = true, called = true, serving = true, parked = true, no_show = true }

-- The number was given out today (by a department that had this letter then), or somebody in the building carries it from an earlier day.
local function is_taken(hall, number)
  local holder = redis.call('HGET', hall.numbers_key, number)
  local bytes = holder and redis.call('HGET', hall.tickets_key, holder)
  if not bytes then return false end
  local ticket = unpack_map(bytes)
  return ticket.day == hall.day or CARRIED[ticket.state]
end

-- The next number of the department that is not taken; at most *cap*, which is at most 999.
local function next_number(hall, department, cap)
  local n = hall.sequences[department.id] or tonumber(redis.call('HGET', hall.sequences_key, department.id) or 0)
  while n < cap do
    n = n + 1
    local number = department.letter .. string.format('%03d', n)
    if not is_taken(hall, number) then return n, number end
  end
  return nil
end

-- All services of the visit that *wish* names, or a refusal.
local function needs_of(hall, wish)
  local needs, named = { wish.service }, { [wish.service] = true }
  for _, further in ipairs(wish.further or {}) do
    local service = piece(hall, 'service:' .. further)
    if not service then return nil, refuse('UNKNOWN_SERVICE', 'there is no service ' .. further .. ' at this centre') end
    if #service.counters == 0 then return nil, refuse('NOBODY_SERVES', 'no counter serves ' .. further .. ' today') end
    if named[further] then return nil, refuse('MALFORMED', 'a visit names each service once') end
    named[further] = true
    needs[#needs + 1] = further
  end
  return needs
end

local function issue_ticket(hall)
  local wish = hall.wish
  local service = piece(hall, 'service:' .. wish.service)
  if not service then return refuse('UNKNOWN_SERVICE', 'there is no service ' .. wish.service .. ' at this centre') end
  if hall.issuing ~= 'open' and not hall.over then
    return refuse('ISSUING_CLOSED', hall.issuing_text ~= '' and hall.issuing_text or 'no numbers are handed out now')
  end
  if #service.counters == 0 then return refuse('NOBODY_SERVES', 'no counter serves ' .. wish.service .. ' today') end
  if not policy_of(hall).promise_ms[wish.class] then return refuse('MALFORMED', 'there is no class ' .. wish.class) end
  local needs, no = needs_of(hall, wish)
  if no then return no end
  if redis.call('HEXISTS', hall.tickets_key, hall.new_ticket) == 1 then return refuse('MALFORMED', 'the ticket id is taken') end
  local n, number = next_number(hall, service.department, service.department.cap)
  if not n then
    return refuse('NUMBERS_EXHAUSTED', 'all numbers of ' .. service.department.letter .. ' are given out for today')
  end

  -- An appointment counts from five minutes before its time; whoever is more than a quarter of an hour late is a walk-in.
  local class, virtual_ms = wish.class, hall.now
  if wish.appointment_ms then
    local policy = policy_of(hall)
    if hall.now > wish.appointment_ms + policy.appointment_grace_ms then
      class = policy.classes[1]
    else
      virtual_ms = math.max(hall.now, wish.appointment_ms - policy.appointment_lead_ms)
    end
  end

  hall.orders = hall.orders + 1
  local ticket = {
    id = hall.new_ticket, number = number, department = service.department.id, service = wish.service, class = class, ground = wish.ground,
    wait = hall.wait, language = wish.language or 'vi', procedure = wish.procedure, day = hall.day, issued_at_ms = hall.now, virtual_ms = virtual_ms,
    needs = needs, any_order = wish.any_order, order = string.format('%08d', hall.orders), printed = false,
  }
  redis.call('HSET', hall.sequences_key, service.department.id, n)
  hall.sequences[service.department.id] = n
  redis.call('HSET', hall.numbers_key, number, ticket.id)
  local ahead = ahead_of(hall, ticket)
  stand_in_line(hall, ticket)
  write_ticket(hall, ticket)
  record(hall, 'TicketIssued', standing(ticket, { ground = ticket.ground, procedure = ticket.procedure, wait = hall.wait }))
  offer(hall, ticket)
  return { ticket = ticket, ahead = ahead }
end
