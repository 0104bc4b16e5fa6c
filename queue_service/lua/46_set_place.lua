-- set_place: a supervisor decides where a ticket stands: in front of somebody, behind so many people, or as if it had come at a certain time.
-- A waiting ticket moves; a parked or absent one comes back.  With service it waits there, and the rest of its visit comes after.
-- People of all classes of the line stand in the order in which they are due, as `ahead` counts them: `after` people will be ahead, no more.
-- ARGS   ticket, reason, service?, before? (id or printed number), after? (people, at most 99), at_ms?
-- REPLY  ticket, with `ahead`
-- CODES  UNKNOWN_TICKET WRONG_STATE UNKNOWN_SERVICE NOBODY_SERVES MALFORMED     COST O(classes * (after + log n) + counters of the service)

local PLACEABLE = { waiting = true, parked = true, no_show = true }
local MOST_PASSED = 99
local OLDEST_MS = 24 * 3600 * 1000

local function stands_earlier(a, b)
  return earlier({ a.due, a.order }, { b.due, b.order })
end

-- Where each member of *members* but the ticket *own_id* stands among all classes of its line.
local function append_stands(hall, people, members, own_id)
  for _, member in ipairs(members) do
    local class, virtual_ms, order, id = read_member(member)
    if id ~= own_id then people[#people + 1] = { due = virtual_ms + policy_of(hall).promise_ms[class], order = order } end
  end
end

-- The last one in front of a ticket that waits for *service* and that ticket itself.
local function around(hall, service, target, own_id)
  local promise_ms, people = policy_of(hall).promise_ms, {}
  local due = target.virtual_ms + promise_ms[target.class]
  for _, class in ipairs(policy_of(hall).classes) do
    local prefix = service .. '/' .. class .. '/'
    local below = prefix .. string.format('%013d', math.max(due - promise_ms[class], 0)) .. '/' .. target.order
    -- Two, because one of them may be the ticket that is placed.
    append_stands(hall, people, redis.call('ZRANGE', hall.waiting_key, '(' .. below, '[' .. prefix, 'BYLEX', 'REV', 'LIMIT', 0, 2), own_id)
  end
  table.sort(people, stands_earlier)
  return people[#people], { due = due, order = target.order }
end

-- The n-th of those who wait for *service* and the one behind.
local function nth(hall, service, n, own_id)
  local people = {}
  for _, class in ipairs(policy_of(hall).classes) do
    local prefix = service .. '/' .. class
    append_stands(hall, people, redis.call('ZRANGEBYLEX', hall.waiting_key, '[' .. prefix .. '/', '(' .. prefix .. '0', 'LIMIT', 0, n + 2), own_id)
  end
  table.sort(people, stands_earlier)
  return people[math.min(n, #people)], people[n + 1]
end

-- An order right behind *low* and in front of *high*: '4:9' unless somebody was put behind 4 before and 9 came later; then '4:0:9'.
local function order_between(low, high, own)
  local order = low .. ':' .. own
  while high and order >= high do
    low = low .. ':00000000'
    order = low .. ':' .. own
  end
  return order
end

-- When somebody between *front* and *behind* is due, and with what order; nothing when both are missing.
local function stand_between(front, behind, own)
  if not front and not behind then return nil end
  if not behind or (front and front.due == behind.due) then return front.due, order_between(front.order, behind and behind.order, own) end
  local due = behind.due - 1
  return due, front and front.due == due and order_between(front.order, nil, own) or own
end

-- The neighbours that the wish names, or a refusal.
local function neighbours(hall, service, own_id)
  local wish = hall.wish
  if wish.after then
    if type(wish.after) ~= 'number' or wish.after < 0 or wish.after > MOST_PASSED or wish.after % 1 ~= 0 then
      return nil, nil, refuse('MALFORMED', 'behind 0 to ' .. MOST_PASSED .. ' people')
    end
    return nth(hall, service, wish.after, own_id)
  end
  local target, no = read_ticket(hall, redis.call('HGET', hall.numbers_key, string.upper(wish.before)) or wish.before)
  if no then return nil, nil, no end
  local waits_here = false
  for _, line in ipairs(target.state == 'waiting' and target.lines or {}) do waits_here = waits_here or line == service end
  if target.id == own_id or not waits_here then
    return nil, nil, refuse('WRONG_STATE', 'ticket ' .. target.number .. ' is not somebody else who waits in this line')
  end
  return around(hall, service, target, own_id)
end

-- The virtual arrival and the order that the wish asks for, or a refusal.
local function wished_place(hall, ticket, service)
  local wish, own = hall.wish, string.match(ticket.order, '[^:]+$')
  if wish.at_ms then
    if type(wish.at_ms) ~= 'number' or wish.at_ms > hall.now or wish.at_ms < hall.now - OLDEST_MS then
      return nil, nil, refuse('MALFORMED', 'as if it had come within the last 24 hours')
    end
    return wish.at_ms, own
  end
  local front, behind, no = neighbours(hall, service, ticket.id)
  if no then return nil, nil, no end
  local due, order = stand_between(front, behind, own)
  if not due then return ticket.virtual_ms, own end
  return due - policy_of(hall).promise_ms[ticket.class], order
end

-- The visit goes on at *service*: one that it needs anyway comes first, another takes the place of the one in hand.
local function expect_first(hall, ticket, service)
  local needs, is_needed = { service }, false
  for _, need in ipairs(ticket.needs) do is_needed = is_needed or need == service end
  for _, need in ipairs(still_needed(hall, ticket, not is_needed and ticket.service or nil)) do
    if need ~= service then needs[#needs + 1] = need end
  end
  ticket.half_done, ticket.needs = service, needs
end

local function set_place(hall)
  local wish = hall.wish
  local ticket, no = read_ticket(hall, wish.ticket)
  if no then return no end
  if not PLACEABLE[ticket.state] then return wrong_state(ticket, 'given another place') end
  local ways = (wish.before and 1 or 0) + (wish.after and 1 or 0) + (wish.at_ms and 1 or 0)
  if type(wish.reason) ~= 'string' or wish.reason == '' or ways ~= 1 then
    return refuse('MALFORMED', 'say why, and one of: before whom, after how many, as if come when')
  end
  local service_id = wish.service or ticket.service
  local service = piece(hall, 'service:' .. service_id)
  if not service then return refuse('UNKNOWN_SERVICE', 'there is no service ' .. service_id .. ' at this centre') end
  if #service.counters == 0 then return refuse('NOBODY_SERVES', 'no counter serves ' .. service_id .. ' today') end
  local virtual_ms, order
  virtual_ms, order, no = wished_place(hall, ticket, service_id)
  if no then return no end

  local fact = { was = ticket.state, was_virtual_ms = ticket.virtual_ms, reason = wish.reason }
  if ticket.state == 'waiting' then
    leave_line(hall, ticket)
    fact.left = ticket.lines
  end
  if wish.service then expect_first(hall, ticket, service_id) else ticket.needs = still_needed(hall, ticket) end
  if service_id ~= ticket.service then fact.from_department, fact.from_service = ticket.department, ticket.service end
  ticket.service, ticket.virtual_ms, ticket.order, ticket.park_reason = service_id, virtual_ms, order, nil
  ticket.placed = { by = hall.actor, at_ms = hall.now, reason = wish.reason }
  local ahead = ahead_of(hall, ticket)
  stand_in_line(hall, ticket)
  ticket.department = department_of(hall, ticket.service, ticket)
  write_ticket(hall, ticket)
  record(hall, 'TicketPlaced', standing(ticket, fact))
  offer(hall, ticket)
  return { ticket = ticket, ahead = ahead }
end
