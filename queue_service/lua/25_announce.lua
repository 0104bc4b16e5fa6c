-- Announcing: which counter, or cluster of neighbouring counters, a slip names.
--
-- A group is what one slip names: a counter's id, or 'service.n' for the n-th cluster of a service.  A ticket that was sent to one counter has
-- that counter's id for its group in every mode.  Per group the store keeps
--     work   sum of the mean service times (ms, as of the moment of announcing) of the waiting tickets announced to it
-- start(c) = residual(c) + work(c): when c would begin with one more.  Discipline: docs/allocation.md, "What the ticket names".

local function mean_of(hall, service)
  local mean = hall.means[service]
  if not mean then
    local stored = redis.call('HGET', hall.day_key, 'mean:' .. service)
    local ms, n
    if stored then ms, n = string.match(stored, '^(%S+) (%d+)$') end
    if not ms then
      -- A service that was taken out of the configuration may still have somebody at a counter.
      local config, policy = piece(hall, 'service:' .. service), policy_of(hall)
      ms, n = config and config.mean_ms or policy.mean_default_ms, policy.mean_weight
    end
    mean = { ms = tonumber(ms), n = tonumber(n) }
    hall.means[service] = mean
  end
  return mean
end

local function mean_text(mean)
  return string.format('%.17g %d', mean.ms, mean.n)
end

-- One completed service of *duration_ms*: the mean moves towards it by 1/n, n at most mean_memory.  Returns what undo needs.
local function learn_mean(hall, service, duration_ms)
  local mean = mean_of(hall, service)
  local n = math.min(mean.n + 1, policy_of(hall).mean_memory)
  hall.means[service] = { ms = mean.ms + (duration_ms - mean.ms) / n, n = n }
  local learned = { from = mean_text(mean), to = mean_text(hall.means[service]) }
  redis.call('HSET', hall.day_key, 'mean:' .. service, learned.to)
  return learned
end

-- Take back the last lesson, unless somebody else's has been built on it.
local function unlearn_mean(hall, service, learned)
  if redis.call('HGET', hall.day_key, 'mean:' .. service) == learned.to then
    redis.call('HSET', hall.day_key, 'mean:' .. service, learned.from)
    hall.means[service] = nil
  end
end

local function work_of(hall, group)
  return tonumber(redis.call('HGET', hall.groups_key, group) or 0)
end

local function add_work(hall, group, ms)
  local work = work_of(hall, group) + ms
  if work < 1 then
    redis.call('HDEL', hall.groups_key, group)
  else
    redis.call('HSET', hall.groups_key, group, string.format('%.17g', work))
  end
end

-- Time (ms) until counter *live* is free.
local function residual(hall, live)
  if not live.ticket then return 0 end
  return math.max(live.called_at_ms + live.mean_at_call - hall.now, 0.25 * mean_of(hall, live.service).ms)
end

-- The live records of the counters of *service* that can take new tickets: open and not draining; else all that have not left.
local function available(hall, service)
  local ids = {}
  for i, entry in ipairs(service.counters) do ids[i] = entry.id end
  if #ids == 0 then return {} end
  local stored = redis.call('HMGET', hall.counters_key, unpack(ids))
  local open, all = {}, {}
  for i, entry in ipairs(service.counters) do
    local live = stored[i] and unpack_map(stored[i]) or { id = entry.id, state = 'closed', idle_since = 0 }
    local candidate = { live = live, entry = entry }
    all[#all + 1] = candidate
    if live.state == 'open' then open[#open + 1] = candidate end
  end
  return #open > 0 and open or all, all
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

-- Choose for a ticket of *service*; returns the group, the ids of the counters it names, and all candidates with their live records.
local function choose_group(hall, service_id)
  local service = piece(hall, 'service:' .. service_id)
  local candidates, all = available(hall, service)
  if #candidates == 0 then return nil, {}, {} end
  local best, best_key
  if service.mode == 'cluster' then
    local free_in = {}
    for _, candidate in ipairs(candidates) do
      local n = candidate.entry.cluster
      local least = free_in[n]
      local wait = residual(hall, candidate.live)
      if not least then
        free_in[n] = { residual = wait, open = 1, level = candidate.entry.level, lines = candidate.entry.lines, position = candidate.entry.position,
          idle = candidate.live.idle_since or 0 }
      else
        least.residual, least.open = math.min(least.residual, wait), least.open + 1
        least.idle = math.min(least.idle, candidate.live.idle_since or 0)
      end
    end
    for n, least in pairs(free_in) do
      local share = work_of(hall, service_id .. '.' .. n) / least.open
      local key = { whole_seconds(least.residual + share), least.level, least.lines, least.idle, least.position }
      if not best or earlier(key, best_key) then best, best_key = n, key end
    end
    return service_id .. '.' .. best, service.clusters[best], all
  end
  for _, candidate in ipairs(candidates) do
    local entry = candidate.entry
    local start = residual(hall, candidate.live) + work_of(hall, entry.id)
    local key = { whole_seconds(start), entry.level, entry.lines, candidate.live.idle_since or 0, entry.position }
    if not best or earlier(key, best_key) then best, best_key = entry.id, key end
  end
  return best, names_of(service_id, service, best), all
end

-- Does the ticket go to this counter before others that are ready?  The slip names it; in department mode, where slips name all, it was assigned.
local function is_named(service, ticket, counter_id)
  if service.mode == 'department' then return ticket.group == counter_id end
  for _, id in ipairs(ticket.counters) do
    if id == counter_id then return true end
  end
  return false
end
