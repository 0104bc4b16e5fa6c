-- Announcing: which counter, or cluster of neighbouring counters, a slip names.
--
-- A group is what one slip names: a counter's id, or 'service.n' for the n-th cluster of a service.  A ticket that was sent to one counter has
-- that counter's id for its group in every mode.  Per group the store keeps
--     work   sum of the mean service times (ms, as of the moment of announcing) of the waiting tickets announced to it
-- start(c) = residual(c) + work(c): when c would begin with one more.  Discipline: docs/allocation.md, "What the ticket names".

local function read_mean(text)
  local ms, n = string.match(text, '^(%S+) (%d+)$')
  return { ms = tonumber(ms), n = tonumber(n) }
end

local function mean_text(mean)
  return string.format('%.17g %d', mean.ms, mean.n)
end

local function mean_of(hall, service)
  local mean = hall.means[service]
  if not mean then
    local stored = redis.call('HGET', hall.day_key, 'mean:' .. service)
    if stored then
      mean = read_mean(stored)
    else
      -- A service that was taken out of the configuration may still have somebody at a counter.
      local config, policy = piece(hall, 'service:' .. service), policy_of(hall)
      mean = { ms = config and config.mean_ms or policy.mean_default_ms, n = policy.mean_weight }
    end
    hall.means[service] = mean
  end
  return mean
end

local function change_mean(hall, service, text)
  hall.means[service] = read_mean(text)
  change_day(hall, 'mean:' .. service, text)
end

-- One completed service of *duration_ms*: the mean moves towards it by 1/n, n at most mean_memory.  Returns what undo needs.
local function learn_mean(hall, service, duration_ms)
  local mean = mean_of(hall, service)
  local n = math.min(mean.n + 1, policy_of(hall).mean_memory)
  local learned = { from = mean_text(mean), to = mean_text({ ms = mean.ms + (duration_ms - mean.ms) / n, n = n }) }
  change_mean(hall, service, learned.to)
  return learned
end

-- Take back the last lesson, unless somebody else's has been built on it.
local function unlearn_mean(hall, service, learned)
  if mean_text(mean_of(hall, service)) == learned.to then change_mean(hall, service, learned.from) end
end

local function work_of(hall, group)
  local work = hall.work[group]
  if not work then
    work = tonumber(redis.call('HGET', hall.groups_key, group) or 0)
    hall.work[group] = work
  end
  return work
end

-- The shares of a group's counters change with its work; of a group that is no cluster nobody has a share.
local function forget_shares(hall, group)
  local service_id, n = string.match(group, '^(.+)%.(%d+)$')
  local service = service_id and piece(hall, 'service:' .. service_id)
  for _, id in ipairs(service and service.clusters[tonumber(n)] or {}) do hall.shares[id] = nil end
end

local function add_work(hall, group, ms)
  local work = work_of(hall, group) + ms
  if work < 1 then
    redis.call('HDEL', hall.groups_key, group)
    work = 0
  else
    redis.call('HSET', hall.groups_key, group, string.format('%.17g', work))
  end
  hall.work[group] = work
  forget_shares(hall, group)
end

-- Time (ms) until counter *live* is free.
local function residual(hall, live)
  if not live.ticket then return 0 end
  return math.max(live.called_at_ms + live.mean_at_call - hall.now, 0.25 * mean_of(hall, live.service).ms)
end

-- Which counters of *lines* a slip may name: those that take new tickets (open and not draining), else those that have not left for the day, else all.
local OPEN, STAYING, ANY = 1, 2, 3

local function is_meant(live, which)
  return which == ANY or live.state == 'open' or (which == STAYING and not live.has_left)
end

local function available(hall, lines)
  local which = ANY
  for _, service_id in ipairs(lines) do
    local service = piece(hall, 'service:' .. service_id)
    for _, entry in ipairs(service and service.counters or {}) do
      local live = hall.live[entry.id] or read_counter(hall, entry.id)
      if live.state == 'open' then return OPEN end
      if not live.has_left then which = STAYING end
    end
  end
  return which
end

local function earlier(a, b)
  for i = 1, #a do
    if a[i] ~= b[i] then return a[i] < b[i] end
  end
  return false
end

-- Half-up rounding to whole seconds, so that two counters that would start in the same second count as equal.
local function whole_seconds(ms)
  return math.floor(ms / 1000 + 0.5)
end

-- The counters that a slip announced to *group* names, or nil where *service* has no such group.
local function names_of(service_id, service, group)
  for n, cluster in ipairs(service.clusters) do
    if service.mode == 'cluster' and group == service_id .. '.' .. n then return cluster end
  end
  local every, known = {}, false
  for i, entry in ipairs(service.counters) do
    every[i], known = entry.id, known or entry.id == group
  end
  if not known then return nil end
  return service.mode == 'department' and every or { group }
end

-- How many counters of cluster *own* take new tickets, at least 1.
local function attended(hall, own)
  local open = 0
  for _, id in ipairs(own.members) do
    if read_counter(hall, id).state == 'open' then open = open + 1 end
  end
  hall.attended[own.group] = math.max(open, 1)
  return hall.attended[own.group]
end

-- A counter's share of the work of its clusters: of each, the work divided by those of its counters that take new tickets.
local function share_of(hall, entry)
  local share = hall.shares[entry.id]
  if not share then
    share = 0
    for _, own in ipairs(entry.clusters) do
      share = share + work_of(hall, own.group) / (hall.attended[own.group] or attended(hall, own))
    end
    hall.shares[entry.id] = share
  end
  return share
end

-- The order among equal starts: level, number of lines, time the counter last became free, place in the centre's list.
local function is_preferred(entry, live, other, other_live)
  if entry.level ~= other.level then return entry.level < other.level end
  if entry.lines ~= other.lines then return entry.lines < other.lines end
  local since, other_since = live.idle_since or 0, other_live.idle_since or 0
  if since ~= other_since then return since < other_since end
  return entry.position < other.position
end

-- The sooner of two choices {start_s, entry, live, …}; either may be nil.  The first, when nothing tells them apart.
local function sooner(a, b)
  if not a or not b then return a or b end
  if a.start_s ~= b.start_s then return a.start_s < b.start_s and a or b end
  return is_preferred(b.entry, b.live, a.entry, a.live) and b or a
end

-- When each cluster of the service could begin: the least residual of its counters that are meant, plus the mean over them of each one's share of
-- its clusters' work.
local function soonest_cluster(hall, service_id, service, which)
  local best
  for _, run in ipairs(service.runs) do
    local least, share, counters, first, first_live = nil, 0, 0, nil, nil
    for _, entry in ipairs(run) do
      local live = hall.live[entry.id] or read_counter(hall, entry.id)
      if live.state == 'open' or is_meant(live, which) then
        local wait = live.ticket and residual(hall, live) or 0
        if not least or wait < least then least = wait end
        share, counters = share + (hall.shares[entry.id] or share_of(hall, entry)), counters + 1
        if not first or is_preferred(entry, live, first, first_live) then first, first_live = entry, live end
      end
    end
    if first then
      local start_s = whole_seconds(least + share / counters)
      best = sooner(best, { group = run.group, service = service, service_id = service_id, entry = first, live = first_live, start_s = start_s })
    end
  end
  return best
end

local function soonest_counter(hall, service_id, service, which)
  local best
  for _, entry in ipairs(service.counters) do
    local live = read_counter(hall, entry.id)
    if is_meant(live, which) then
      local start_s = whole_seconds(residual(hall, live) + work_of(hall, entry.id))
      if not best or start_s < best.start_s or (start_s == best.start_s and is_preferred(entry, live, best.entry, best.live)) then
        best = { group = entry.id, service = service, service_id = service_id, entry = entry, live = live, start_s = start_s }
      end
    end
  end
  return best
end

-- The counter or cluster of *lines* that would begin soonest with one more; nil when all counters that are meant stand outside the clusters.
local function soonest(hall, lines, which)
  local best
  for _, service_id in ipairs(lines) do
    local service = piece(hall, 'service:' .. service_id)
    if service then
      local find = service.mode == 'cluster' and soonest_cluster or soonest_counter
      best = sooner(best, find(hall, service_id, service, which))
    end
  end
  return best
end

-- Choose what the slip of a ticket in *lines* names.
-- Returns the group, the ids of the counters it names and the service it was chosen for.
local function choose_group(hall, lines)
  local best = soonest(hall, lines, available(hall, lines)) or soonest(hall, lines, ANY)
  return best.group, names_of(best.service_id, best.service, best.group), best.service_id
end

-- Does the ticket go to this counter before others that are ready?  The slip names it; in department mode, where slips name all, it was assigned.
local function is_named(service, ticket, counter_id)
  if service.mode == 'department' then return ticket.group == counter_id end
  for _, id in ipairs(ticket.counters) do
    if id == counter_id then return true end
  end
  return false
end
