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

-- People who stand in the line of a service.
local function count_of(hall, service)
  local count = hall.counts[service]
  if not count then
    count = tonumber(redis.call('HGET', hall.day_key, 'waiting:' .. service) or 0)
    hall.counts[service] = count
  end
  return count
end

local function change_count(hall, service, step)
  hall.counts[service] = count_of(hall, service) + step
  change_day(hall, 'waiting:' .. service, hall.counts[service])
end

-- Heads that are remembered: by class, {id, class, virtual_ms, order}, or false where nobody is.  An unknown one is read when it is asked for.

local function under(map, name)
  local inner = map[name]
  if not inner then
    inner = {}
    map[name] = inner
  end
  return inner
end

local function line_heads(hall, service)
  return hall.heads[service] or under(hall.heads, service)
end

local function announced_heads(hall, service, group)
  return under(under(hall.own_heads, service), group)
end

local function note_arrival(heads, ticket)
  local first = heads[ticket.class]
  if first == nil then return end
  if not first or ticket.virtual_ms < first.virtual_ms then
    heads[ticket.class] = { id = ticket.id, class = ticket.class, virtual_ms = ticket.virtual_ms, order = ticket.order }
  elseif ticket.virtual_ms == first.virtual_ms then
    heads[ticket.class] = nil
  end
end

local function note_departure(heads, ticket)
  local first = heads[ticket.class]
  if first and first.id == ticket.id then heads[ticket.class] = nil end
end

-- The same of the crowd of a line and class: *step* people more, none of whom came after *virtual_ms* of *ticket* unless others did.
local function note_crowd(hall, service, ticket, step)
  local crowd = under(hall.crowds, service)[ticket.class]
  if not crowd then return end
  crowd.people, crowd.last_ms = crowd.people + step, math.max(crowd.last_ms, ticket.virtual_ms)
end

local function add_members(hall, ticket)
  for _, service in ipairs(ticket.lines) do
    redis.call('ZADD', hall.waiting_key, 0, waiting_member(ticket, service))
    note_arrival(line_heads(hall, service), ticket)
    note_crowd(hall, service, ticket, 1)
  end
  redis.call('ZADD', hall.announced_key, 0, announced_member(ticket))
  note_arrival(announced_heads(hall, ticket.announced_for, ticket.group), ticket)
end

local function remove_members(hall, ticket)
  for _, service in ipairs(ticket.lines) do
    redis.call('ZREM', hall.waiting_key, waiting_member(ticket, service))
    note_departure(line_heads(hall, service), ticket)
    note_crowd(hall, service, ticket, -1)
  end
  redis.call('ZREM', hall.announced_key, announced_member(ticket))
  note_departure(announced_heads(hall, ticket.announced_for, ticket.group), ticket)
end

local MEMBER = '([%w-]+)/(%d+)/([^/]+)/([^/]+)$'

-- member -> class, virtual arrival, order, ticket id
local function read_member(member)
  local class, virtual_ms, order, id = string.match(member, MEMBER)
  return class, tonumber(virtual_ms), order, id
end

-- The head of *class* among *heads*, which stand in the set *key* below *prefix*; false where nobody is.
local function read_head(heads, class, key, prefix)
  prefix = prefix .. '/' .. class
  local member, first = redis.call('ZRANGEBYLEX', key, '[' .. prefix .. '/', '(' .. prefix .. '0', 'LIMIT', 0, 1)[1], false
  if member then
    local _, virtual_ms, order, id = read_member(member)
    first = { id = id, class = class, virtual_ms = virtual_ms, order = order }
  end
  heads[class] = first
  return first
end

-- The first of the line of *service* and *class*.
local function line_head(hall, service, class)
  local heads = line_heads(hall, service)
  local first = heads[class]
  if first == nil then first = read_head(heads, class, hall.waiting_key, service) end
  return first
end

-- The first of *class* among *heads*, those of *service* whose slip names *group*.
local function announced_head(hall, heads, service, group, class)
  local first = heads[class]
  if first == nil then first = read_head(heads, class, hall.announced_key, service .. '/' .. group) end
  return first
end

-- How many of *class* wait for *service*, and a time when the last of them had come: nobody of them came later.
local function crowd_of(hall, service, class)
  local crowds = under(hall.crowds, service)
  local crowd = crowds[class]
  if not crowd then
    local low, high = '[' .. service .. '/' .. class .. '/', '(' .. service .. '/' .. class .. '0'
    local last = redis.call('ZRANGE', hall.waiting_key, high, low, 'BYLEX', 'REV', 'LIMIT', 0, 1)[1]
    local _, last_ms
    if last then _, last_ms = read_member(last) end
    crowd = { people = redis.call('ZLEXCOUNT', hall.waiting_key, low, high), last_ms = last_ms or 0 }
    crowds[class] = crowd
  end
  return crowd
end

-- People of the same line who are due (virtual arrival + promise of the class) before this ticket.
local function ahead_of(hall, ticket)
  local policy, service, ahead = policy_of(hall), ticket.service, 0
  local due = ticket.virtual_ms + policy.promise_ms[ticket.class]
  for _, class in ipairs(policy.classes) do
    local crowd, until_ms = crowd_of(hall, service, class), due - policy.promise_ms[class]
    if crowd.last_ms < until_ms then
      ahead = ahead + crowd.people
    elseif crowd.people > 0 and line_head(hall, service, class).virtual_ms <= until_ms then
      local prefix = service .. '/' .. class
      ahead = ahead + redis.call('ZLEXCOUNT', hall.waiting_key, '[' .. prefix .. '/', '(' .. prefix .. '/' .. string.format('%013d', until_ms) .. '/' .. ticket.order)
    end
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
