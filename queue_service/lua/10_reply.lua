-- Replies are msgpack maps.  A refusal is an ordinary reply with a code, never a Redis error: text in an error reply could be forged.

-- While a library loads, Redis hides its own modules; they are there when a function runs.
local function pack(value) return cmsgpack.pack(value) end
local function unpack_map(bytes) return cmsgpack.unpack(bytes) end
local function copy(map) return unpack_map(pack(map)) end

-- Unpacked configuration pieces by their bytes.  The same bytes always mean the same piece, so nothing here can go stale.
local pieces_seen, pieces_count = {}, 0

local function unpack_piece(bytes)
  local piece = pieces_seen[bytes]
  if not piece then
    if pieces_count > 20000 then pieces_seen, pieces_count = {}, 0 end
    piece = unpack_map(bytes)
    pieces_seen[bytes], pieces_count = piece, pieces_count + 1
  end
  return piece
end

-- refuse(code, sentence): the press is not carried out and nothing has changed.
local function refuse(code, sentence)
  return { refused = code, detail = sentence }
end
