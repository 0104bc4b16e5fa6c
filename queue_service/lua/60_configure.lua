-- configure: put a centre's configuration in force, the first one or another in the middle of the day.
-- Nobody is lost: a configuration under which a waiting ticket could be called by no counter, or somebody would sit at a counter that is gone,
-- is refused.  Slips that would name the wrong counters choose again, steps before it cannot be undone, ready counters look into their new lines.
-- Not a press of a running centre: it may meet a centre that does not exist yet, so it is the one function without the usual entrance.
-- ARGS   new_version, day, epoch (used only for a new centre), pieces {name -> packed piece}, file, assigned? (what of them is only today's), was_assigned? (until now), was_version? (only if it is in force)
-- REPLY  epoch, seq, day, now_ms, version      CODES  MALFORMED STALE_CENTRE NOBODY_SERVES COUNTER_BUSY      COST O(pieces + n log n), n = tickets waiting

local function services_waited_for(hall)
  local services, day = {}, redis.call('HGETALL', hall.day_key)
  for i = 1, #day, 2 do
    local service = string.match(day[i], '^waiting:(.+)$')
    if service and tonumber(day[i + 1]) > 0 then services[#services + 1] = service end
  end
  return services
end

local function live_counters(hall)
  local counters, stored = {}, redis.call('HVALS', hall.counters_key)
  for i, bytes in ipairs(stored) do
    counters[i] = unpack_map(bytes)
    hall.live[counters[i].id] = counters[i]
  end
  table.sort(counters, function(a, b) return a.id < b.id end)
  return counters
end

-- People wait for a service that no counter would serve.
local function strands(waited_for, pieces)
  for _, service_id in ipairs(waited_for) do
    local service = pieces['service:' .. service_id]
    if not service or #service.counters == 0 then
      return refuse('NOBODY_SERVES', 'people wait for ' .. service_id .. ', which no counter would serve; call them first, or change it when they are gone')
    end
  end
end

-- What is read of the centre from now on: its *file*, or the one before, and the pieces; *assigned* is what differs from the file today.
local function put_in_force(hall, pieces, version, assigned, file)
  file = file or redis.call('HGET', hall.centre_key, 'file')
  redis.call('DEL', hall.centre_key)
  redis.call('HSET', hall.centre_key, 'file', file)
  for name, bytes in pairs(pieces) do redis.call('HSET', hall.centre_key, name, bytes) end
  redis.call(unpack(assigned ~= '' and { 'HSET', hall.day_key, 'assigned', assigned } or { 'HDEL', hall.day_key, 'assigned' }))
  hall.pieces, hall.means, hall.shares, hall.attended = {}, {}, {}, {} -- they were made of the pieces before
  hall.stored_version = version
  change_day(hall, 'version', version)
  record(hall, 'CentreChanged', { version = version })
end

-- What counters serve only today, as text; empty when it is what the file says.
local function assigned_now(hall)
  return redis.call('HGET', hall.day_key, 'assigned') or ''
end

local function check_pieces(hall, wish, waited_for, counters, pieces)
  if not (wish.new_version and wish.day and wish.epoch and wish.file and pieces.policy) then
    return refuse('MALFORMED', 'a configuration has a version, a day, an epoch, a file and a policy')
  end
  if wish.was_version and wish.was_version ~= hall.stored_version then
    return refuse('STALE_CENTRE', 'another version is in force by now')
  end
  if assigned_now(hall) ~= (wish.was_assigned or '') then
    return refuse('STALE_CENTRE', 'a counter was assigned since; read what it serves and repeat')
  end
  for _, counter in ipairs(counters) do
    if counter.ticket and not pieces['counter:' .. counter.id] then
      return refuse('COUNTER_BUSY', 'counter ' .. counter.id .. ' has a ticket in hand and would be gone; complete it first')
    end
  end
  return strands(waited_for, pieces)
end

-- The counters that asked and got nobody look again, the one that is ready longest first.
local function match_ready(hall, ready)
  if not policy_of(hall).auto_ready then return end
  table.sort(ready, function(a, b) return earlier({ a.idle_since, a.id }, { b.idle_since, b.id }) end)
  for _, counter in ipairs(ready) do
    local head, why = pick(hall, counter, piece(hall, 'counter:' .. counter.id))
    if head then invite(hall, read_ticket(hall, head.id), head.service, counter, 'call-next', why) end
  end
end

local function carry_over(hall, waited_for, counters)
  local ready = {}
  redis.call('UNLINK', hall.steps_key)
  for _, counter in ipairs(counters) do
    if piece(hall, 'counter:' .. counter.id) then
      counter.last = nil
      write_counter(hall, counter)
      if counter.ready then ready[#ready + 1] = counter end
    else
      redis.call('HDEL', hall.counters_key, counter.id)
      hall.live[counter.id] = nil
      if counter.state ~= 'closed' then record(hall, 'CounterClosed', { counter = counter.id, draining = false }) end
    end
  end
  for _, ticket in ipairs(announced_below(hall, waited_for)) do
    local service = piece(hall, 'service:' .. ticket.announced_for)
    local names = service and names_of(ticket.announced_for, service, ticket.group)
    if not names or not same_counters(names, ticket.counters) then announce_again(hall, ticket) end
  end
  match_ready(hall, ready)
end

-- Another release of the service may pack the same centre in another way, and its functions read only that.
local function packed_otherwise(hall, wish)
  for name, bytes in pairs(wish.pieces) do
    if redis.call('HGET', hall.centre_key, name) ~= bytes then return true end
  end
  return redis.call('HGET', hall.centre_key, 'file') ~= wish.file
end

local function configure(keys, args)
  take_hall(keys) -- what is remembered belongs to the configuration before
  local hall = enter(read_hall(keys), args)
  local wish, pieces = hall.wish, {}
  for name, bytes in pairs(wish.pieces) do pieces[name] = unpack_piece(bytes) end
  local waited_for, counters = services_waited_for(hall), live_counters(hall)
  if hall.stored_version ~= wish.new_version or assigned_now(hall) ~= (wish.assigned or '') or packed_otherwise(hall, wish) then
    local no = check_pieces(hall, wish, waited_for, counters, pieces)
    if no then return pack(no) end
    if not hall.epoch then
      hall.epoch, hall.seq, hall.orders, hall.day = wish.epoch, 0, 0, wish.day
      redis.call('HSET', hall.day_key, 'epoch', wish.epoch, 'day', wish.day, 'orders', 0, 'issuing', 'open', 'issuing_text', '')
    end
    put_in_force(hall, wish.pieces, wish.new_version, wish.assigned or '', wish.file)
    carry_over(hall, waited_for, counters)
    write_steps(hall)
    write_day(hall)
  end
  return pack({ epoch = hall.epoch, seq = hall.seq, day = hall.day, now_ms = hall.now, version = wish.new_version })
end
