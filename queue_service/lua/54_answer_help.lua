-- answer_help: somebody comes, or the officer needs nobody any more.  Nobody asks: that is an answer, too, and nothing happens.
-- ARGS   counter, text?      REPLY  ticket in hand or nothing, counter
-- CODES  UNKNOWN_COUNTER NOT_YOUR_SEAT INBOX_FULL     COST O(counters that ask)

local function answer_help(hall)
  local counter, config, no = own_counter(hall)
  if no then return no end
  local calls = read_messages(hall, HELP)
  local call = calls[counter.id]
  if call then
    local field = inbox_of(counter.id)
    local inbox = call.actor ~= hall.actor and read_messages(hall, field)
    no = inbox and inbox_full(inbox, 'counter ' .. config.number)
    if no then return no end
    calls[counter.id] = nil
    write_messages(hall, HELP, calls)
    record(hall, 'HelpAnswered', { counter = counter.id, answers = call.message, text = hall.wish.text })
    if inbox then deliver(hall, field, inbox, { answers = call.message, text = hall.wish.text }) end
  end
  return seat_as_it_is(hall, counter, config)
end
