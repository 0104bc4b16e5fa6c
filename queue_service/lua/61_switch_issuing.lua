-- switch_issuing: hand out numbers, or not, with a text for the kiosks.
-- ARGS   open, text?      REPLY  issuing {open, text}      CODES  MALFORMED      COST O(1)

local function switch_issuing(hall)
  if type(hall.wish.open) ~= 'boolean' then return refuse('MALFORMED', 'say whether numbers are handed out') end
  local state = hall.wish.open and 'open' or 'closed'
  local text = hall.wish.text or ''
  if hall.issuing ~= state or hall.issuing_text ~= text then
    redis.call('HSET', hall.day_key, 'issuing', state, 'issuing_text', text)
    record(hall, 'IssuingSwitched', { open = hall.wish.open, text = text })
  end
  return { issuing = { open = hall.wish.open, text = text } }
end
