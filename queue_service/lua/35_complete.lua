-- complete: the visitor is served; the mean service time of the line learns from it.  A visit that needs more waits in its next line.
-- What was done goes into the event and nowhere else; the service has checked it.
-- ARGS   counter, done? (list of {procedure, dossiers}), outcome?      REPLY  ticket, counter
-- CODES  UNKNOWN_COUNTER NOT_YOUR_SEAT COUNTER_IDLE WRONG_STATE     COST O(1), of a longer visit as issue_ticket

local function complete(hall)
  local ticket, counter, config, no = ticket_in_hand(hall, { called = true, serving = true }, 'completed')
  if no then return no end
  local learned = learn_mean(hall, ticket.service, hall.now - ticket.called_at_ms)
  dismiss(hall, ticket, counter, 'served', 'complete', learned)
  write_counter(hall, counter)
  record_served(hall, ticket, counter)
  if tick_off(hall, ticket) then
    go_on(hall, ticket, counter)
  else
    write_ticket(hall, ticket)
  end
  return { ticket = ticket, counter = show_counter(counter, config) }
end
