-- What is known of a connection: its request (S13), its round trips (S28).
local ws = ...

local raw, record, Connection = ws.raw, ws.connection_record, ws.Connection
local rawget, setmetatable, type = rawget, setmetatable, type

local Headers = {
  __index = function(headers, name)
    if type(name) == "string" then return rawget(headers, name:lower()) end
  end,
}

-- What is known of the request behind a handle, and the handle of its listener.
function ws.request_of(handle)
  local state, err, _, path, query, subprotocol, count, host, port, listener = raw.info(handle)
  if not state then return nil, err end
  local headers = setmetatable({}, Headers)
  for index = 0, count - 1 do
    local name, value = raw.header(handle, index)
    if name then
      name = name:lower()
      local before = rawget(headers, name)
      if before == nil then
        headers[name] = value
      elseif type(before) == "table" then
        before[#before + 1] = value
      else
        headers[name] = { before, value }
      end
    end
  end
  if subprotocol == "" then subprotocol = nil end
  return {
    path = path,
    query = query,
    headers = headers,
    subprotocol = subprotocol,
    peer = { host = host, port = port },
  }, listener
end

function Connection:request()
  local request, err = ws.request_of(record(self, "request").handle)
  if request then return request end
  return nil, err
end

-- The last and the smoothed round trip of the library's pings, in seconds; nil before the first.
function Connection:latency()
  local known = { raw.info(record(self, "latency").handle) }
  local last, smoothed = known[11], known[12]
  if not last or last == 0 then return nil end
  return last / 1e6, smoothed / 1e6
end

local STATES = { [0] = "connecting", "open", "closing", "closed" }
local CLOSED_BY = { "us", "peer" }

-- What the connection is and has done. Nil and why in a child of fork.
function Connection:info()
  local handle = record(self, "info").handle
  local state, closed_by, local_host, local_port, received, received_bytes, sent, sent_bytes =
    raw.details(handle)
  if not state then return nil, closed_by end
  local _, code, reason, _, _, subprotocol, _, host, port = raw.info(handle)
  if subprotocol == "" then subprotocol = nil end
  return {
    state = STATES[state],
    peer = { host = host, port = port },
    local_address = { host = local_host, port = local_port },
    subprotocol = subprotocol,
    close_code = code ~= 0 and code or nil,
    close_reason = code ~= 0 and reason or nil,
    closed_by = CLOSED_BY[closed_by],
    messages_received = received,
    bytes_received = received_bytes,
    messages_sent = sent,
    bytes_sent = sent_bytes,
  }
end
