-- Lines: who waits, in calling order.
--
-- One sorted set holds every line of the centre.  All scores are 0, so Redis orders the members by their bytes:
--     service/class/virtual arrival in ms, 13 digits/order/id
-- and the head of a (service, class) pair, the number of people before somebody and the n-th behind are one lexicographic range each, O(log n).
-- A second set, `announced`, holds the same members with the announcement group after the service.
-- Slugs hold no '/', and '0' is the byte after '/', so '[a/' .. '(a0' is exactly everything below 'a/'.

local function place(ticket)
  return ticket.class .. '/' .. string.format('%013d', ticket.virtual_ms) .. '/' .. ticket.order .. '/' .. ticket.id
end

-- The services a ticket may be called for now: the half-done one, all that are left in any order, or the next in fixed order.
local function lines_of(ticket)
  if ticket.half_done then return { ticket.half_done } end
  if ticket.any_order then return ticket.needs end
  return { ticket.needs[1] }
end

local function waiting_member(ticket, service)
  return service .. '/' .. place(ticket)
end

-- A slip is its counter's own in the one line it was announced for.
local function announced_member(ticket)
  return ticket.announced_for .. '/' .. ticket.group .. '/' .. place(ticket)
end

local function add_members(hall, ticket)
  for _, service in ipairs(ticket.lines) do redis.call('ZADD', hall.waiting_key, 0, waiting_member(ticket, service)) end
  redis.call('ZADD', hall.announced_key, 0, announced_member(ticket))
end

local function remove_members(hall, ticket)
  for _, service in ipairs(ticket.lines) do redis.call('ZREM', hall.waiting_key, waiting_member(ticket, service)) end
  redis.call('ZREM', hall.announced_key, announced_member(ticket))
end

-- The first member below *prefix*, or nil.
local function head_of(key, prefix)
  return redis.call('ZRANGEBYLEX', key, '[' .. prefix .. '/', '(' .. prefix .. '0', 'LIMIT', 0, 1)[1]
end

local MEMBER = '([%w-]+)/(%d+)/([^/]+)/([^/]+)$'

-- member -> class, virtual arrival, order, ticket id
local function read_member(member)
  local class, virtual_ms, order, id = string.match(member, MEMBER)
  return class, tonumber(virtual_ms), order, id
end

-- People of the same line who are due (virtual arrival + promise of the class) before this ticket.
local function ahead_of(hall, ticket)
  local policy, ahead = policy_of(hall), 0
  local due = ticket.virtual_ms + policy.promise_ms[ticket.class]
  for _, class in ipairs(policy.classes) do
    local prefix = ticket.service .. '/' .. class
    local until_ms = math.max(due - policy.promise_ms[class], 0)
    ahead = ahead + redis.call('ZLEXCOUNT', hall.waiting_key, '[' .. prefix .. '/', '(' .. prefix .. '/' .. string.format('%013d', until_ms) .. '/' .. ticket.order)
  end
  return ahead
end

-- Place *ticket* behind up to *places* others of its line and class: the virtual arrival of the last one passed, and just after it.
local function move_back(hall, ticket, places)
  local prefix = ticket.service .. '/' .. ticket.class
  local behind = redis.call('ZRANGEBYLEX', hall.waiting_key, '(' .. waiting_member(ticket, ticket.service), '(' .. prefix .. '0', 'LIMIT', 0, places)
  if #behind == 0 then return false end
  local _, virtual_ms, order = read_member(behind[#behind])
  ticket.virtual_ms, ticket.placed = virtual_ms, nil
  -- ':' sorts after '/', so 'order:own' comes right after 'order' and before the next order.
  ticket.order = order .. ':' .. string.match(ticket.order, '[^:]+$')
  return true
end
