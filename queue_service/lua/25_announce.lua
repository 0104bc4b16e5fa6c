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

-- Read the work of *groups* that this press has not read yet, at once.
local function read_work(hall, groups)
  local unread, listed = {}, {}
  for _, group in ipairs(groups) do
    if not hall.work[group] and not listed[group] then
      unread[#unread + 1], listed[group] = group, true
    end
  end
  if #unread > 0 then
    local stored = redis.call('HMGET', hall.groups_key, unpack(unread))
    for i, group in ipairs(unread) do hall.work[group] = tonumber(stored[i] or 0) end
  end
end

local function work_of(hall, group)
  if not hall.work[group] then read_work(hall, { group }) end
  return hall.work[group]
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
end

-- Time (ms) until counter *live* is free.
local function residual(hall, live)
  if not live.ticket then return 0 end
  return math.max(live.called_at_ms + live.mean_at_call - hall.now, 0.25 * mean_of(hall, live.service).ms)
end

-- The counters of *lines* with their live records: those that take new tickets (open and not draining), else those that have not left for the day,
-- else all; and all of them.
local function available(hall, lines)
  local all, ids = {}, {}
  for _, service_id in ipairs(lines) do
    local service = piece(hall, 'service:' .. service_id)
    for _, entry in ipairs(service and service.counters or {}) do
      all[#all + 1] = { entry = entry, service = service, service_id = service_id }
      ids[#ids + 1] = entry.id
    end
  end
  local live, open, staying = read_counters(hall, ids), {}, {}
  for i, candidate in ipairs(all) do
    candidate.live = live[ids[i]]
    if candidate.live.state == 'open' then open[#open + 1] = candidate end
    if not candidate.live.has_left then staying[#staying + 1] = candidate end
  end
  return #open > 0 and open or #staying > 0 and staying or all, all
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

-- How many of *members* take new tickets, at least 1.
local function open_among(hall, members)
  local open, live = 0, read_counters(hall, members)
  for _, id in ipairs(members) do
    if live[id].state == 'open' then open = open + 1 end
  end
  return math.max(open, 1)
end

-- When a cluster could begin: the least residual of its counters, plus the mean over them of each one's share of its clusters' work.
local function cluster_start(hall, cluster)
  local least, share = nil, 0
  for _, candidate in ipairs(cluster.counters) do
    local wait = residual(hall, candidate.live)
    least = math.min(least or wait, wait)
    for _, own in ipairs(candidate.entry.clusters) do share = share + work_of(hall, own.group) / open_among(hall, own.members) end
  end
  return least + share / #cluster.counters
end

-- The order in which equal starts are chosen: level, number of lines, time it last became free, place in the centre's list.
local function preference(start, candidate)
  local entry = candidate.entry
  return { whole_seconds(start), entry.level, entry.lines, candidate.live.idle_since or 0, entry.position }
end

local function cluster_preference(hall, cluster)
  local start, best = cluster_start(hall, cluster), nil
  for _, candidate in ipairs(cluster.counters) do
    local key = preference(start, candidate)
    if not best or earlier(key, best) then best = key end
  end
  return best
end

-- The counter or cluster among *candidates* that would begin soonest with one more; nil when all of them stand outside the clusters.
local function soonest(hall, candidates)
  local groups, members = {}, {}
  for _, candidate in ipairs(candidates) do
    if candidate.service.mode ~= 'cluster' then groups[#groups + 1] = candidate.entry.id end
    for _, own in ipairs(candidate.entry.clusters) do
      groups[#groups + 1] = own.group
      for _, id in ipairs(own.members) do members[#members + 1] = id end
    end
  end
  read_work(hall, groups)
  read_counters(hall, members)
  local clusters, by_group, best, best_key = {}, {}, nil, nil
  for _, candidate in ipairs(candidates) do
    local entry = candidate.entry
    if candidate.service.mode ~= 'cluster' then
      local key = preference(residual(hall, candidate.live) + work_of(hall, entry.id), candidate)
      if not best or earlier(key, best_key) then
        best, best_key = { group = entry.id, service = candidate.service, service_id = candidate.service_id }, key
      end
    elseif entry.group then
      local cluster = by_group[entry.group]
      if not cluster then
        cluster = { group = entry.group, service = candidate.service, service_id = candidate.service_id, counters = {} }
        by_group[entry.group] = cluster
        clusters[#clusters + 1] = cluster
      end
      cluster.counters[#cluster.counters + 1] = candidate
    end
  end
  for _, cluster in ipairs(clusters) do
    local key = cluster_preference(hall, cluster)
    if not best or earlier(key, best_key) then best, best_key = cluster, key end
  end
  return best
end

-- Choose what the slip of a ticket in *lines* names.
-- Returns the group, the ids of the counters it names, the service it was chosen for, and all counters of the lines with their live records.
local function choose_group(hall, lines)
  local candidates, all = available(hall, lines)
  local best = soonest(hall, candidates) or soonest(hall, all)
  return best.group, names_of(best.service_id, best.service, best.group), best.service_id, all
end

-- Does the ticket go to this counter before others that are ready?  The slip names it; in department mode, where slips name all, it was assigned.
local function is_named(service, ticket, counter_id)
  if service.mode == 'department' then return ticket.group == counter_id end
  for _, id in ipairs(ticket.counters) do
    if id == counter_id then return true end
  end
  return false
end
