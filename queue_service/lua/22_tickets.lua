-- Tickets: read, write, and what the answer to a press shows of one.

local function read_ticket(hall, id)
  local bytes = redis.call('HGET', hall.tickets_key, id)
  if not bytes then
    return nil, refuse('UNKNOWN_TICKET', 'there is no ticket ' .. id .. ' at this centre')
  end
  hall.bytes[id] = bytes
  return unpack_map(bytes)
end

local function write_ticket(hall, ticket)
  local bytes = pack(ticket)
  hall.bytes[ticket.id] = bytes
  redis.call('HSET', hall.tickets_key, ticket.id, bytes)
end

local function wrong_state(ticket, wish)
  return refuse('WRONG_STATE', 'ticket ' .. ticket.number .. ' is ' .. ticket.state .. ' and cannot be ' .. wish)
end
