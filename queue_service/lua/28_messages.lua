-- Messages among staff: an inbox keeps what its readers have not put away.  Each counter has one, the supervisors share one; beside them stand the
-- calls for help, one a counter, until somebody answers.  A message is named by the seq of the event that told of it.

local UNREAD_KEPT = 50 -- in one inbox: what is more is not read anyway, and no press grows with it
local SUPERVISORS, HELP = 'supervisors', 'help'

local function inbox_of(counter_id)
  return 'counter:' .. counter_id
end

local function read_messages(hall, field)
  local bytes = redis.call('HGET', hall.messages_key, field)
  return bytes and unpack_map(bytes) or {}
end

local function write_messages(hall, field, messages)
  if next(messages) then
    redis.call('HSET', hall.messages_key, field, pack(messages))
  else
    redis.call('HDEL', hall.messages_key, field)
  end
end

local function inbox_full(inbox, whose)
  if #inbox >= UNREAD_KEPT then return refuse('INBOX_FULL', whose .. ' has ' .. UNREAD_KEPT .. ' messages that nobody has read') end
end

-- Put the message that was just recorded into an inbox.
local function deliver(hall, field, inbox, message)
  message.message, message.at_ms, message.actor = hall.seq, hall.now, hall.actor
  inbox[#inbox + 1] = message
  write_messages(hall, field, inbox)
end

-- The counter as it is, with the ticket in hand: what a press that moves nobody answers.
local function seat_as_it_is(hall, counter, config)
  return { ticket = counter.ticket and read_ticket(hall, counter.ticket), counter = show_counter(counter, config) }
end
