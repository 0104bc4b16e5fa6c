-- transfer: send the visitor on to another service, to one counter or to where an officer sits now, keeping number and class and at most transfer_age_cap of age.
-- The counter on a slip is a promise to be near, not a lock: a ready counter that the slip does not name calls rather than idles.
-- With served, the service here was completed and its mean learns; with further, these services are all that is left after the next.
-- ARGS   counter, service?, further?, to_counter?, to_officer?, served?, note?      REPLY  ticket, counter
-- CODES  UNKNOWN_COUNTER NOT_YOUR_SEAT COUNTER_IDLE WRONG_STATE UNKNOWN_SERVICE NOBODY_SERVES OFFICER_NOT_SEATED ALREADY_HERE MALFORMED     COST O(counters + log n)

local function transfer(hall)
  local ticket, counter, config, no = ticket_in_hand(hall, { called = true, serving = true }, 'transferred')
  if no then return no end
  local wish = hall.wish
  local service_id, to_counter = wish.service, wish.to_counter
  if wish.to_officer then
    to_counter = where_sits(hall, wish.to_officer)
    if not to_counter then return refuse('OFFICER_NOT_SEATED', 'this officer sits at no counter now') end
  end
  if to_counter then
    local target = piece(hall, 'counter:' .. to_counter)
    if not target then return refuse('UNKNOWN_COUNTER', 'there is no counter ' .. to_counter .. ' at this centre') end
    local serves = false
    for _, line in ipairs(target.lines) do
      if line.service == (service_id or ticket.service) then serves = true end
    end
    if service_id and not serves then
      return refuse('NOBODY_SERVES', 'counter ' .. target.number .. ' does not serve ' .. service_id)
    end
    if not service_id then service_id = serves and ticket.service or (target.lines[1] and target.lines[1].service) end
  end
  if not service_id then return refuse('MALFORMED', 'say to which service or counter') end
  local service = piece(hall, 'service:' .. service_id)
  if not service then return refuse('UNKNOWN_SERVICE', 'there is no service ' .. service_id .. ' at this centre') end
  if #service.counters == 0 then return refuse('NOBODY_SERVES', 'no counter serves ' .. service_id .. ' today') end
  local needs
  needs, no = needs_of(hall, { service = service_id, further = wish.further })
  if no then return no end
  if to_counter == counter.id and service_id == ticket.service and not wish.served and not wish.further then
    return refuse('ALREADY_HERE', ticket.number .. ' is at counter ' .. config.number .. ' for ' .. service_id .. ' already; to let it wait, park it')
  end

  local learned = wish.served and learn_mean(hall, ticket.service, hall.now - ticket.called_at_ms) or nil
  dismiss(hall, ticket, counter, 'waiting', 'transfer', learned)
  if wish.served then record_served(hall, ticket, counter) end
  tick_off(hall, ticket)
  for _, need in ipairs(wish.further and {} or ticket.needs) do
    if need ~= service_id then needs[#needs + 1] = need end
  end
  ticket.needs, ticket.note = needs, wish.note or ticket.note
  -- The visitor is expected at the service named first, whatever else is left in any order.
  if to_counter then ticket.half_done = service_id end
  go_on(hall, ticket, counter, to_counter)
  return { ticket = ticket, counter = show_counter(counter, config) }
end
