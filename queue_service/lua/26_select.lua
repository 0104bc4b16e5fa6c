-- Selecting: counted-wait first.  Which waiting ticket a counter calls next.
--
--     counted(x, c, t) = P_std / P_k * (t - v_x)  -  H * (level(c, d) - 1)  -  kappa * ES_d
--
-- G is the ticket with the largest counted wait among the heads of the counter's lines and classes; O is the largest among the tickets whose slip
-- names this counter.  O is called if it lies within the window of its line's mode, otherwise G.  Ties: the earlier order.
-- Discipline and proof of no starvation: docs/allocation.md.  COST O(lines * classes * log n).

-- The longest counted wait so far, in *best* {counted, head, line, mean_ms}.
local function consider(best, counted, head, line, mean_ms)
  if not best.head or counted > best.counted or (counted == best.counted and head.order < best.head.order) then
    best.counted, best.head, best.line, best.mean_ms = counted, head, line, mean_ms
  end
end

-- The heads of the slips that name *group* in *line*, and its name; nothing of a group without work, which has no slips out.
local function own_heads(hall, line, group)
  if group and work_of(hall, group) > 0 then return announced_heads(hall, line.service, group), group end
end

-- What counter *config* would call now: the ticket's id and service, and why; nil when nobody waits whom it serves.
-- A counter's own are the tickets of its cluster and what was sent to it alone; none in department mode.
local function pick(hall, counter, config)
  local policy, oldest, own, considered = policy_of(hall), {}, {}, 0
  local now, promise_ms, standard_ms = hall.now, policy.promise_ms, policy.promise_ms[policy.classes[1]]
  for _, line in ipairs(config.lines) do
    local service = line.service
    if count_of(hall, service) > 0 then
      local mean_ms, heads, mine, sent, alone, group = mean_of(hall, service).ms, line_heads(hall, service), nil, nil, nil, nil
      if line.mode ~= 'department' then
        sent, alone = own_heads(hall, line, counter.id)
        if line.group ~= counter.id then mine, group = own_heads(hall, line, line.group) end
      end
      local handicap_ms, weight_ms = policy.handicap_ms * (line.level - 1), policy.kappa * mean_ms
      for _, class in ipairs(policy.classes) do
        local head = heads[class]
        if head == nil then head = line_head(hall, service, class) end
        if head then
          local ratio = standard_ms / promise_ms[class]
          considered = considered + 1
          consider(oldest, ratio * (now - head.virtual_ms) - handicap_ms - weight_ms, head, line, mean_ms)
          head = sent and announced_head(hall, sent, service, alone, class)
          if head then consider(own, ratio * (now - head.virtual_ms) - handicap_ms - weight_ms, head, line, mean_ms) end
          head = mine and announced_head(hall, mine, service, group, class)
          if head then consider(own, ratio * (now - head.virtual_ms) - handicap_ms - weight_ms, head, line, mean_ms) end
        end
      end
    end
  end
  if not oldest.head then return nil end
  local chosen, rule, window_ms = oldest, 'oldest', own.head and policy.window_ms[own.line.mode] or 0
  if counter.state == 'draining' then
    if not own.head then return nil end
    chosen, rule = own, 'own'
  elseif own.head and own.counted >= oldest.counted - window_ms then
    chosen, rule = own, 'own'
  end
  local head, line = chosen.head, chosen.line
  if considered == 1 and head.id == oldest.head.id then rule = 'only' end
  local why = {
    rule = rule, class = head.class, waited_ms = hall.now - head.virtual_ms, counted_ms = math.floor(chosen.counted + 0.5),
    ratio = policy.promise_ms[policy.classes[1]] / policy.promise_ms[head.class], handicap_ms = policy.handicap_ms * (line.level - 1),
    mean_ms = math.floor(chosen.mean_ms + 0.5), considered = considered, window_ms = window_ms,
  }
  if head.id ~= oldest.head.id then
    why.oldest = oldest.head.id
    why.oldest_counted_ms = math.floor(oldest.counted + 0.5)
    why.window_used_ms = math.floor(oldest.counted - chosen.counted + 0.5)
  end
  return { id = head.id, service = line.service }, why
end
