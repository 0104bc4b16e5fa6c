-- Selecting: counted-wait first.  Which waiting ticket a counter calls next.
--
--     counted(x, c, t) = P_std / P_k * (t - v_x)  -  H * (level(c, d) - 1)  -  kappa * ES_d
--
-- G is the ticket with the largest counted wait among the heads of the counter's lines and classes; O is the largest among the tickets whose slip
-- names this counter.  O is called if it lies within the window of its line's mode, otherwise G.  Ties: the earlier order.
-- Discipline and proof of no starvation: docs/allocation.md.  COST O(lines * classes * log n).

local function better(a, b)
  if not b or a.counted ~= b.counted then return not b or a.counted > b.counted end
  return a.order < b.order
end

local function counted_head(hall, member, line, mean_ms)
  local policy = policy_of(hall)
  local class, virtual_ms, order, id = read_member(member)
  local ratio = policy.promise_ms[policy.classes[1]] / policy.promise_ms[class]
  local handicap = policy.handicap_ms * (line.level - 1)
  return {
    id = id, class = class, order = order, service = line.service, level = line.level, waited_ms = hall.now - virtual_ms, ratio = ratio,
    handicap_ms = handicap, mean_ms = mean_ms, counted = ratio * (hall.now - virtual_ms) - handicap - policy.kappa * mean_ms,
  }
end

-- The groups whose tickets are the counter's own: none in department mode; its cluster, and what was sent to it alone; itself.
local function own_groups(counter, line)
  if line.mode == 'department' then return {} end
  if not line.group or line.group == counter.id then return { counter.id } end
  return { line.group, counter.id }
end

-- The lines of counter *config* in which somebody waits, with their mean service times, read at once.
local function lively_lines(hall, config)
  local fields, lines = {}, {}
  for i, line in ipairs(config.lines) do fields[i] = 'waiting:' .. line.service end
  local waiting = #fields > 0 and redis.call('HMGET', hall.day_key, unpack(fields)) or {}
  for i, line in ipairs(config.lines) do
    if tonumber(waiting[i] or 0) > 0 then lines[#lines + 1] = line end
  end
  return lines
end

-- What counter *config* would call now: the head chosen, and why; nil when nobody waits whom it serves.
local function pick(hall, counter, config)
  local policy = policy_of(hall)
  local oldest, own, own_window, considered = nil, nil, 0, 0
  local lines, groups = lively_lines(hall, config), {}
  for i, line in ipairs(lines) do
    groups[i] = own_groups(counter, line)
    read_work(hall, groups[i])
  end
  for i, line in ipairs(lines) do
    local mean_ms
    for _, class in ipairs(policy.classes) do
      local member = head_of(hall.waiting_key, line.service .. '/' .. class)
      if member then
        considered = considered + 1
        mean_ms = mean_ms or mean_of(hall, line.service).ms
        local head = counted_head(hall, member, line, mean_ms)
        if better(head, oldest) then oldest = head end
        for _, group in ipairs(groups[i]) do
          -- A group without work has no slips out.
          local announced = work_of(hall, group) > 0 and head_of(hall.announced_key, line.service .. '/' .. group .. '/' .. class)
          if announced then
            local mine = counted_head(hall, announced, line, mean_ms)
            if better(mine, own) then own, own_window = mine, policy.window_ms[line.mode] end
          end
        end
      end
    end
  end
  if not oldest then return nil end
  local chosen, rule = oldest, 'oldest'
  if counter.state == 'draining' then
    if not own then return nil end
    chosen, rule = own, 'own'
  elseif own and own.counted >= oldest.counted - own_window then
    chosen, rule = own, 'own'
  end
  if considered == 1 and chosen.id == oldest.id then rule = 'only' end
  local why = {
    rule = rule, class = chosen.class, waited_ms = chosen.waited_ms, counted_ms = math.floor(chosen.counted + 0.5), ratio = chosen.ratio,
    handicap_ms = chosen.handicap_ms, mean_ms = math.floor(chosen.mean_ms + 0.5), considered = considered, window_ms = own_window,
  }
  if chosen.id ~= oldest.id then
    why.oldest = oldest.id
    why.oldest_counted_ms = math.floor(oldest.counted + 0.5)
    why.window_used_ms = math.floor(oldest.counted - chosen.counted + 0.5)
  end
  return chosen, why
end
