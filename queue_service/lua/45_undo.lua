-- undo: take back this counter's last step while nobody has built on it.  A ticket that waits again is offered to the counters that are ready.
-- Of a start that was taken back, the call before it is the last step again, for as long as it would have been.
-- ARGS   counter      REPLY  ticket, counter
-- CODES  UNKNOWN_COUNTER NOT_YOUR_SEAT NOTHING_TO_UNDO UNDO_EXPIRED TICKET_ELSEWHERE     COST O(log n)

local function undo(hall)
  local counter, config, no = own_counter(hall)
  if no then return no end
  local step = step_of(hall, counter)
  if not step then return refuse('NOTHING_TO_UNDO', 'counter ' .. config.number .. ' has no step to take back') end
  local last = unpack_map(step.step)
  local before = unpack_map(last.before)
  if hall.now > counter.last.until_ms then return refuse('UNDO_EXPIRED', 'the last step of counter ' .. config.number .. ' is too long ago') end
  local ticket = read_ticket(hall, last.ticket)
  local was_call = last.state == 'called'
  local in_hand = was_call or last.state == 'serving'
  -- Whoever called it since left another `call` on it; the number of a ticket that was carried over night may be somebody else's by now.
  local untouched = ticket and (in_hand or (ticket.state == last.state and ticket.call == before.call)) and
    redis.call('HGET', hall.numbers_key, ticket.number) == ticket.id
  if not untouched then return refuse('TICKET_ELSEWHERE', 'the ticket has gone on since') end

  before.printed = ticket.printed
  if in_hand then before.note = ticket.note end
  local left, lines
  if ticket.state == 'waiting' then
    leave_line(hall, ticket)
    left = ticket.lines
  end
  if before.state == 'waiting' then
    return_to_line(hall, before)
    lines = before.lines
  end
  if last.learned then unlearn_mean(hall, before.service, last.learned) end
  counter.ticket, counter.call, counter.last, counter.ready = last.held, last.call, nil, nil
  if last.earlier then counter.last, hall.steps[counter.id] = last.earlier.last, unpack_map(last.earlier.step) end
  if not was_call then mark_call(counter, before, before.state) end
  write_ticket(hall, before)
  write_counter(hall, counter)
  local fact = { ticket = before.id, number = before.number, department = before.department, service = before.service }
  if before.state == 'waiting' then fact = standing(before, fact) end
  fact.counter, fact.was, fact.now, fact.left, fact.lines, fact.call_before = counter.id, ticket.state, before.state, left, lines, counter.call
  if last.learned then fact.mean_ms = mean_of(hall, before.service).ms end
  record(hall, 'StepUndone', fact)
  if before.state == 'waiting' then
    offer(hall, before)
  end
  return { ticket = before, counter = show_counter(counter, config) }
end
