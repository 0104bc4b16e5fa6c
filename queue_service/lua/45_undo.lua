-- undo: take back this counter's last step while nobody has built on it.
-- ARGS   counter      REPLY  ticket, counter
-- CODES  UNKNOWN_COUNTER NOT_YOUR_SEAT NOTHING_TO_UNDO UNDO_EXPIRED TICKET_ELSEWHERE COUNTER_BUSY     COST O(log n)

local function undo(hall)
  local counter, config, no = own_counter(hall)
  if no then return no end
  local last = counter.last
  if not last then return refuse('NOTHING_TO_UNDO', 'counter ' .. config.number .. ' has no step to take back') end
  if hall.now > last.until_ms then return refuse('UNDO_EXPIRED', 'the last step of counter ' .. config.number .. ' is too long ago') end
  local ticket = read_ticket(hall, last.ticket)
  local in_hand = last.state == 'called'
  local untouched = ticket and (ticket.state == last.state or (in_hand and ticket.state == 'serving'))
  if in_hand then
    untouched = untouched and counter.ticket == ticket.id
  else
    if untouched and counter.ticket then
      return refuse('COUNTER_BUSY', 'counter ' .. config.number .. ' has another ticket in hand')
    end
  end
  if not untouched then return refuse('TICKET_ELSEWHERE', 'the ticket has gone on since') end

  local before = last.before
  local left_line
  if ticket.state == 'waiting' then
    leave_line(hall, ticket)
    left_line = ticket.service
  end
  if before.state == 'waiting' then return_to_line(hall, before) end
  if last.mean then redis.call('HSET', hall.day_key, 'mean:' .. before.service, last.mean) end
  counter.ticket, counter.call, counter.last = last.held, last.call, nil
  if not in_hand then mark_call(counter, before, before.state) end
  write_ticket(hall, before)
  write_counter(hall, counter)
  record(hall, 'StepUndone', { ticket = before.id, number = before.number, department = before.department, service = before.service, counter = counter.id,
    was = ticket.state, now = before.state, left_line = left_line, call_before = counter.call })
  return { ticket = before, counter = show_counter(counter, config) }
end
