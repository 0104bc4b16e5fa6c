-- mark_no_show: called often enough and absent.  By the centre's policy the ticket is missed, or waits again at once or some places back
-- (then there is nothing to undo).
-- ARGS   counter      REPLY  ticket, counter
-- CODES  UNKNOWN_COUNTER NOT_YOUR_SEAT COUNTER_IDLE WRONG_STATE TOO_EARLY_NO_SHOW     COST O(log n)

local function mark_no_show(hall)
  local ticket, counter, config, no = ticket_in_hand(hall, { called = true }, 'marked absent')
  if no then return no end
  local policy = policy_of(hall)
  if ticket.rings < policy.calls_before_no_show then
    return refuse('TOO_EARLY_NO_SHOW', 'ticket ' .. ticket.number .. ' was announced ' .. ticket.rings .. ' of ' .. policy.calls_before_no_show ..
      ' times; recall it first')
  end
  local missed, service = (ticket.missed or 0) + 1, piece(hall, 'service:' .. ticket.service)
  local returns = missed <= policy.no_show_returns and service and #service.counters > 0

  dismiss(hall, ticket, counter, 'no_show', 'no-show')
  ticket.missed, ticket.half_done = missed, ticket.service
  if returns then counter.last, hall.steps[counter.id] = nil, nil end
  write_counter(hall, counter)
  record(hall, 'TicketNoShow', { ticket = ticket.id, number = ticket.number, department = ticket.department, service = ticket.service, counter = counter.id })
  if returns then
    if policy.no_show_back_places > 0 then move_back(hall, ticket, policy.no_show_back_places) end
    stand_in_line(hall, ticket)
    write_ticket(hall, ticket)
    record(hall, 'TicketRevived', standing(ticket, { was = 'no_show' }))
    offer(hall, ticket)
  else
    write_ticket(hall, ticket)
  end
  return { ticket = ticket, counter = show_counter(counter, config) }
end
