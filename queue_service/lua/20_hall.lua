-- The hall: what one press may see and touch.  enter() reads it, leave() writes back what every press changes and stores the answer.
--
-- KEYS   as queue_service/keys.py lists them
-- ARGS   1  the command as a msgpack map
--        2  the envelope as a msgpack map {press_id, actor, now_ms, over, new_ticket, wait?, after?, fingerprint, version}

local DAY_FIELDS = { 'epoch', 'seq', 'clock', 'day', 'version', 'orders', 'issuing', 'issuing_text' }

local function read_day(day_key)
  local values = redis.call('HMGET', day_key, unpack(DAY_FIELDS))
  if not values[1] then return nil end
  return {
    epoch = values[1], seq = tonumber(values[2]), clock = tonumber(values[3]), day = values[4], version = values[5],
    orders = tonumber(values[6]), issuing = values[7], issuing_text = values[8],
  }
end

local function enter(keys, args)
  local envelope = unpack_map(args[2])
  local hall = {
    day_key = keys[1], centre_key = keys[2], counters_key = keys[3], steps_key = keys[4], groups_key = keys[5], tickets_key = keys[6],
    waiting_key = keys[7], announced_key = keys[8], sequences_key = keys[9], numbers_key = keys[10], events_key = keys[11],
    answers_key = keys[12], answers_before_key = keys[13], messages_key = keys[14],
    wish = unpack_map(args[1]), actor = envelope.actor, over = envelope.over, press_id = envelope.press_id,
    fingerprint = envelope.fingerprint, version = envelope.version, new_ticket = envelope.new_ticket, wait = envelope.wait, after = envelope.after,
    -- What this press has read already: mean service times, live counters and work by group; and the steps it has to remember.
    means = {}, live = {}, work = {}, steps = {},
  }
  local day = read_day(hall.day_key)
  if day then
    hall.epoch, hall.seq, hall.day, hall.orders = day.epoch, day.seq, day.day, day.orders
    hall.issuing, hall.issuing_text, hall.stored_version = day.issuing, day.issuing_text, day.version
    hall.seq_before, hall.orders_before = day.seq, day.orders
    -- The clock of a centre never runs backwards, whatever the caller's does.
    hall.now = math.max(envelope.now_ms, day.clock)
  else
    hall.now = envelope.now_ms
  end
  return hall
end

-- The policy and other pieces of the configuration.
local function piece(hall, name)
  local bytes = redis.call('HGET', hall.centre_key, name)
  return bytes and unpack_piece(bytes)
end

local function policy_of(hall)
  if not hall.policy then hall.policy = piece(hall, 'policy') end
  return hall.policy
end

-- The first answer to this press, or a refusal if the key was used for something else, or nil.
local function answered(hall)
  local stored = redis.call('HGET', hall.answers_key, hall.press_id) or redis.call('HGET', hall.answers_before_key, hall.press_id)
  if not stored then return nil end
  -- A stored answer is the 16 bytes of the fingerprint and then the reply.
  if string.sub(stored, 1, 16) ~= hall.fingerprint then
    return pack(refuse('KEY_REUSED', 'this key was used for another request today; make a new key for a new press'))
  end
  return string.sub(stored, 17)
end

-- Keep what taking back a step of this press needs.
local function write_steps(hall)
  for id, step in pairs(hall.steps) do redis.call('HSET', hall.steps_key, id, pack(step)) end
end

-- Write what every press changes, store the answer, hand it out.
local function leave(hall, reply)
  write_steps(hall)
  reply.epoch, reply.seq, reply.now_ms, reply.day = hall.epoch, hall.seq, hall.now, hall.day
  local bytes = pack(reply)
  redis.call('HSET', hall.day_key, 'seq', hall.seq, 'clock', hall.now, 'orders', hall.orders)
  redis.call('HSET', hall.answers_key, hall.press_id, hall.fingerprint .. bytes)
  return bytes
end

-- press(rule): the public face of a rule(hall) -> reply.
local function press(rule)
  return function(keys, args)
    local hall = enter(keys, args)
    if not hall.epoch then
      return pack(refuse('UNKNOWN_CENTRE', 'this centre has not been set up here'))
    end
    if #hall.fingerprint ~= 16 then return pack(refuse('MALFORMED', 'a fingerprint has 16 bytes')) end
    local first = answered(hall)
    if first then return first end
    if hall.version ~= hall.stored_version then
      return pack(refuse('STALE_CENTRE', 'the configuration has changed; read it again and repeat with the same key'))
    end
    local reply = rule(hall)
    if reply.refused then return pack(reply) end
    return leave(hall, reply)
  end
end
