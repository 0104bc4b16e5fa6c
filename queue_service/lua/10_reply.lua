-- Replies are msgpack maps.  A refusal is an ordinary reply with a code, never a Redis error: text in an error reply could be forged.

-- While a library loads, Redis hides its own modules; they are there when a function runs.
local function pack(value) return cmsgpack.pack(value) end
local function unpack_map(bytes) return cmsgpack.unpack(bytes) end

-- The counters of a service, cluster by cluster; those outside all clusters are left out.
local function with_runs(piece)
  local runs, by_group = {}, {}
  for _, entry in ipairs(piece.counters or {}) do
    local run = by_group[entry.group or '']
    if entry.group and not run then
      run = { group = entry.group }
      by_group[entry.group] = run
      runs[#runs + 1] = run
    end
    if run then run[#run + 1] = entry end
  end
  piece.runs = runs
  return piece
end

-- Unpacked configuration pieces by their bytes.  The same bytes always mean the same piece, so nothing here can go stale, and nobody may change one.
local pieces_seen, pieces_count = {}, 0

local function unpack_piece(bytes)
  local piece = pieces_seen[bytes]
  if not piece then
    if pieces_count > 20000 then pieces_seen, pieces_count = {}, 0 end
    piece = with_runs(unpack_map(bytes))
    pieces_seen[bytes], pieces_count = piece, pieces_count + 1
  end
  return piece
end

-- refuse(code, sentence): the press is not carried out and nothing has changed.
local function refuse(code, sentence)
  return { refused = code, detail = sentence }
end

-- The reply of a press as bytes.  A ticket in it is the one just written, as it was packed then.
local function pack_reply(hall, reply)
  local ticket = reply.ticket
  reply.ticket = nil
  local bytes = pack(reply)
  if not ticket then return bytes end
  -- A map of fewer than 16 fields begins with one byte, 0x80 plus their number.
  return string.char(string.byte(bytes) + 1) .. string.sub(bytes, 2) .. '\166ticket' .. hall.bytes[ticket.id]
end
