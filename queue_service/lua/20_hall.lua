-- The hall: what one press may see and touch.  enter() finds it, leave() writes back what every press changes and stores the answer.
--
-- KEYS   as queue_service/keys.py lists them
-- ARGS   1  the command as a msgpack map
--        2  the envelope as a msgpack map {press_id, actor, now_ms, over, new_ticket, wait?, after?, fingerprint, version, stamp}

local DAY_FIELDS = { 'epoch', 'seq', 'clock', 'day', 'version', 'orders', 'issuing', 'issuing_text' }

-- What this server remembers of a hall from one press to the next, so that it need not read it again: the day, pieces of the configuration, mean
-- service times, live counters, work by group, people waiting, heads of lines.  Every attempt to press has a stamp of its own, and the last one
-- that changed the centre is stored with the change: a hall is remembered only as of the stamp that the store holds.  So whatever else may have
-- happened to the keys (a restart, a fail-over, a restore, a write by hand that leaves another stamp), it is read anew.  A press takes the hall out
-- of this table and puts it back at its end: one that breaks off leaves nothing half-changed behind.
local halls, halls_count = {}, 0
local HALLS_REMEMBERED = 4096 -- some 20 kB each, of a commune

local function read_hall(keys)
  local hall = {
    day_key = keys[1], centre_key = keys[2], counters_key = keys[3], steps_key = keys[4], groups_key = keys[5], tickets_key = keys[6],
    waiting_key = keys[7], announced_key = keys[8], sequences_key = keys[9], numbers_key = keys[10], events_key = keys[11],
    answers_key = keys[12], answers_before_key = keys[13], messages_key = keys[14], bell = string.sub(keys[1], 1, -4) .. 'bell',
    pieces = {}, means = {}, live = {}, opened = {}, work = {}, shares = {}, attended = {}, counts = {}, crowds = {}, heads = {}, own_heads = {}, sequences = {},
  }
  local values = redis.call('HMGET', hall.day_key, unpack(DAY_FIELDS))
  if values[1] then
    hall.epoch, hall.seq, hall.clock, hall.day = values[1], tonumber(values[2]), tonumber(values[3]), values[4]
    hall.stored_version, hall.orders, hall.issuing, hall.issuing_text = values[5], tonumber(values[6]), values[7], values[8]
  end
  return hall
end

local function take_hall(keys)
  local hall = halls[keys[1]]
  if hall then halls[keys[1]], halls_count = nil, halls_count - 1 end
  return hall
end

local function find_hall(keys)
  local hall = take_hall(keys)
  return hall and redis.call('HGET', keys[1], 'stamp') == hall.stamp and hall or read_hall(keys)
end

local function remember_hall(hall)
  if not hall.stamp then return end
  if halls_count >= HALLS_REMEMBERED then halls, halls_count = {}, 0 end
  halls[hall.day_key], halls_count = hall, halls_count + 1
end

local function enter(hall, args)
  local envelope = unpack_map(args[2])
  hall.wish, hall.actor, hall.over, hall.press_id = unpack_map(args[1]), envelope.actor, envelope.over, envelope.press_id
  hall.fingerprint, hall.version, hall.new_ticket = envelope.fingerprint, envelope.version, envelope.new_ticket
  hall.wait, hall.after, hall.new_stamp = envelope.wait, envelope.after, envelope.stamp
  -- The clock of a centre never runs backwards, whatever the caller's does.
  hall.now = math.max(envelope.now_ms, hall.clock or 0)
  -- Of this press alone: tickets as they were last read or written, fields of the day to write, and the steps it has to remember.
  hall.bytes, hall.changed, hall.steps = {}, {}, {}
  return hall
end

-- The policy and other pieces of the configuration.
local function piece(hall, name)
  local known = hall.pieces[name]
  if known == nil then
    local bytes = redis.call('HGET', hall.centre_key, name)
    known = bytes and unpack_piece(bytes)
    hall.pieces[name] = known
  end
  return known
end

local function policy_of(hall)
  return piece(hall, 'policy')
end

-- The first answer to this press, or a refusal if the key was used for something else, or nil.
local function answered(hall)
  if hall.has_yesterday == nil then hall.has_yesterday = redis.call('EXISTS', hall.answers_before_key) == 1 end
  local stored = redis.call('HGET', hall.answers_key, hall.press_id) or
    (hall.has_yesterday and redis.call('HGET', hall.answers_before_key, hall.press_id))
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

-- A field of the day changes; leave() writes all of them at once.
local function change_day(hall, field, value)
  hall.changed[field] = value
end

local function write_day(hall)
  hall.clock, hall.stamp = hall.now, hall.new_stamp
  local fields = { 'seq', hall.seq, 'clock', hall.clock, 'orders', hall.orders, 'stamp', hall.stamp or '' }
  for field, value in pairs(hall.changed) do
    fields[#fields + 1] = field
    fields[#fields + 1] = value
  end
  redis.call('HSET', hall.day_key, unpack(fields))
end

-- Write what every press changes, store the answer, hand it out.
local function leave(hall, reply)
  write_steps(hall)
  write_day(hall)
  reply.epoch, reply.seq, reply.now_ms, reply.day = hall.epoch, hall.seq, hall.now, hall.day
  local bytes = pack_reply(hall, reply)
  redis.call('HSET', hall.answers_key, hall.press_id, hall.fingerprint .. bytes)
  return bytes
end

-- What is wrong with a press before its rule is asked, or its first answer; nil when the rule is to be asked.
local function settled(hall)
  if not hall.epoch then return pack(refuse('UNKNOWN_CENTRE', 'this centre has not been set up here')) end
  if #hall.fingerprint ~= 16 then return pack(refuse('MALFORMED', 'a fingerprint has 16 bytes')) end
  local first = answered(hall)
  if first then return first end
  if hall.version ~= hall.stored_version then
    return pack(refuse('STALE_CENTRE', 'the configuration has changed; read it again and repeat with the same key'))
  end
end

-- press(rule): the public face of a rule(hall) -> reply.
local function press(rule)
  return function(keys, args)
    local hall = enter(find_hall(keys), args)
    local bytes = settled(hall)
    if not bytes then
      local reply = rule(hall)
      bytes = reply.refused and pack(reply) or leave(hall, reply)
    end
    remember_hall(hall)
    return bytes
  end
end

-- turn(rule): the same for a rule that changes more than tickets and counters; nothing of the hall is remembered afterwards.
local function turn(rule)
  return function(keys, args)
    local hall = enter(find_hall(keys), args)
    local bytes = settled(hall)
    if bytes then return bytes end
    local reply = rule(hall)
    return reply.refused and pack(reply) or leave(hall, reply)
  end
end
