-- send_message: a few words from the officer at a counter to the supervisors, or from a supervisor to counters.
-- Without `to` it is for the supervisors, and then it comes from the counter where the sender sits: a supervisor who names nobody would
-- write to the own inbox, and is asked to say to which counters.
-- ARGS   text, to? (counters, or the supervisors when none is named), counter? (where the sender sits)      REPLY  message
-- CODES  UNKNOWN_COUNTER NOT_YOUR_SEAT MALFORMED INBOX_FULL     COST O(counters named)

local function send_message(hall)
  local wish = hall.wish
  local seat
  if wish.counter then
    local counter, _, no = own_counter(hall)
    if no then return no end
    seat = counter.officer == hall.actor
  end
  if type(wish.text) ~= 'string' or wish.text == '' then return refuse('MALFORMED', 'a message has words') end
  local inboxes = {}
  if wish.to and #wish.to > 0 then
    for _, id in ipairs(wish.to) do
      local config = piece(hall, 'counter:' .. id)
      if not config then return refuse('UNKNOWN_COUNTER', 'there is no counter ' .. id .. ' at this centre') end
      local field = inbox_of(id)
      local inbox = read_messages(hall, field)
      local no = inbox_full(inbox, 'counter ' .. config.number)
      if no then return no end
      inboxes[field] = inbox
    end
  else
    if not seat then return refuse('MALFORMED', 'say to which counters; to the control room one writes from the counter where one sits') end
    inboxes[SUPERVISORS] = read_messages(hall, SUPERVISORS)
    local no = inbox_full(inboxes[SUPERVISORS], 'the control room')
    if no then return no end
  end
  local message = record(hall, 'MessageSent', { counter = wish.counter, to = wish.to, text = wish.text })
  for field, inbox in pairs(inboxes) do deliver(hall, field, inbox, { counter = wish.counter, text = wish.text }) end
  return { message = message }
end
