-- mark_read: put a message away, at a counter or, without one, in the control room.  It may have been put away before.
-- ARGS   message, counter?      REPLY  message
-- CODES  UNKNOWN_COUNTER NOT_YOUR_SEAT MALFORMED     COST O(1)

local function mark_read(hall)
  local wish = hall.wish
  if wish.counter then
    local _, _, no = own_counter(hall)
    if no then return no end
  end
  if type(wish.message) ~= 'number' then return refuse('MALFORMED', 'say which message') end
  local field = wish.counter and inbox_of(wish.counter) or SUPERVISORS
  local kept, inbox = {}, read_messages(hall, field)
  for _, message in ipairs(inbox) do
    if message.message ~= wish.message then kept[#kept + 1] = message end
  end
  if #kept < #inbox then
    write_messages(hall, field, kept)
    record(hall, 'MessageRead', { counter = wish.counter, message = wish.message })
  end
  return { message = wish.message }
end
