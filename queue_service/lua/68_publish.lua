-- publish: record what the archive has decided of a dossier, with the next number.  The press id is the dossier's step, so a step is recorded once.
-- ARGS   fact (as queue_service/dossiers.py, fact_of, makes it)      REPLY  nothing more      CODES  MALFORMED      COST O(1)

local function publish(hall)
  local fact = hall.wish.fact
  if type(fact) ~= 'table' or type(fact.code) ~= 'string' or type(fact.state) ~= 'string' or type(fact.step) ~= 'number' then
    return refuse('MALFORMED', 'a fact names its dossier, the state and the step')
  end
  record(hall, 'DossierChanged', fact)
  return {}
end
