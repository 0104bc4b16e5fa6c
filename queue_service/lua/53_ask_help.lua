-- ask_help: the officer asks for a supervisor to come.  One call a counter: asking again with other words changes the words.
-- ARGS   counter, text?      REPLY  ticket in hand or nothing, counter
-- CODES  UNKNOWN_COUNTER NOT_YOUR_SEAT     COST O(counters that ask)

local function ask_help(hall)
  local counter, config, no = own_counter(hall)
  if no then return no end
  local calls = read_messages(hall, HELP)
  local call = calls[counter.id]
  if not call or call.text ~= hall.wish.text then
    local since_ms = call and call.at_ms or hall.now
    local message = record(hall, 'HelpAsked', { counter = counter.id, text = hall.wish.text })
    calls[counter.id] = { message = message, at_ms = since_ms, actor = hall.actor, text = hall.wish.text }
    write_messages(hall, HELP, calls)
  end
  return seat_as_it_is(hall, counter, config)
end
