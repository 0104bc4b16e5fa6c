-- call_chosen: invite this very ticket, out of turn; recorded with the reason.
-- ARGS   counter, ticket (id or printed number), reason?
-- REPLY  ticket, counter
-- CODES  as call_next, UNKNOWN_TICKET WRONG_STATE     COST O(log n)

local CHOOSABLE = { waiting = true, no_show = true }

-- Of several lines, the first that this counter serves.
local function service_at(config, ticket)
  for _, line in ipairs(config.lines) do
    for _, waited_for in ipairs(ticket.state == 'waiting' and ticket.lines or {}) do
      if line.service == waited_for then return waited_for end
    end
  end
  return ticket.service
end

local function call_chosen(hall)
  local counter, config, no = own_counter(hall)
  no = no or may_call(counter, config)
  if no then return no end
  local id = redis.call('HGET', hall.numbers_key, string.upper(hall.wish.ticket)) or hall.wish.ticket
  local ticket
  ticket, no = read_ticket(hall, id)
  if no then return no end
  if not CHOOSABLE[ticket.state] then return wrong_state(ticket, 'called out of turn') end
  invite(hall, ticket, service_at(config, ticket), counter, 'call', { rule = 'chosen', class = ticket.class, waited_ms = hall.now - ticket.virtual_ms, considered = 1 }, hall.wish.reason)
  return { ticket = ticket, counter = show_counter(counter, config) }
end
