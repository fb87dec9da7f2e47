-- Handing over: a connection's number, and the connection behind a number (S31, S35).
local ws = ...

local raw, record, Connection = ws.raw, ws.connection_record, ws.Connection
local TEXT, BINARY = 1, 2
local MORE = 1

-- The number of the connection, by which another state or language may take it over. From now on
-- messages are taken one at a time, so that none lies here when that happens.
function Connection:handle()
  local r = record(self, "handle")
  r.lent, r.slow = true, true
  ws.settle(r)
  for place = r.tail, r.head, -1 do
    local kind = r.kinds[place]
    if type(kind) == "number" then
      raw.put_back(r.handle, kind, r.queue[place], MORE)
    else
      raw.put_back(r.handle, kind and BINARY or TEXT, r.queue[place], 0)
    end
    r.queue[place], r.kinds[place] = nil, nil
  end
  r.head, r.tail = 1, 0
  return r.handle
end

-- The connection of this number: this state's own object, or one that is taken over from wherever
-- it is. Nil and why if that is not possible.
function ws.from_handle(handle)
  local name = "coromega:from_handle"
  if type(handle) ~= "number" then
    error(("%s: the handle must be a number, not %s"):format(name, type(handle)), 3)
  end
  local conn = ws.objects[handle]
  if conn and conn._record.why ~= "moved" then return conn end
  local moved, more, fragments = raw.take_over(handle)
  if moved then return ws.new_connection(moved, more, fragments) end
  if more == "moved" or more == "forked" or more == "closed" then return nil, more end
  error(("%s: %s"):format(name, more), 3)
end

function ws.on_moved(handle)
  local conn = ws.objects[handle]
  if conn then ws.cut_off(conn, conn._record, "moved", ws.wake) else raw.free(handle) end
end
