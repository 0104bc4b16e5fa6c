-- mark_no_show: called often enough and absent.  By the centre's policy the ticket is missed, or waits again some places back.
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
  dismiss(hall, ticket, counter, 'no_show', 'no-show')
  write_counter(hall, counter)
  record(hall, 'TicketNoShow', { ticket = ticket.id, number = ticket.number, department = ticket.department, service = ticket.service, counter = counter.id })
  ticket.missed = (ticket.missed or 0) + 1
  if policy.no_show_back_places > 0 and ticket.missed <= policy.no_show_returns then
    move_back(hall, ticket, policy.no_show_back_places)
    local candidates = stand_in_line(hall, ticket)
    counter.last = nil
    write_counter(hall, counter)
    record(hall, 'TicketRevived', { ticket = ticket.id, number = ticket.number, department = ticket.department, service = ticket.service, was = 'no_show',
      class = ticket.class, counters = ticket.counters })
    write_ticket(hall, ticket)
    offer(hall, ticket, candidates)
  else
    write_ticket(hall, ticket)
  end
  return { ticket = ticket, counter = show_counter(counter, config) }
end
