-- Connections with the option reconnect: what happens when they are lost and come back.
local ws = ...

local record, Connection = ws.connection_record, ws.Connection

-- Sets the callback that gets why a connection was lost and, where it was closed, with which code;
-- also for each attempt to make it again that fails.
function Connection:when_lost(callback)
  local r = record(self, "when_lost")
  ws.expect_function(callback, "conn:when_lost")
  r.when_lost = callback
end

-- Sets the callback for when it is open again.
function Connection:when_back(callback)
  local r = record(self, "when_back")
  ws.expect_function(callback, "conn:when_back")
  r.when_back = callback
end

function ws.on_lost(handle, code, text)
  local conn = ws.objects[handle]
  if not conn then return end
  local r = conn._record
  ws.answer_pingers(r, ws.wake, nil, "away")
  local callback = r.when_lost
  if not callback then return end
  if code == 0 or code == 1006 then code = nil end
  ws.start(function() return callback(text, code) end)
end

function ws.on_back(_, r)
  if r.when_back then ws.start(r.when_back) end
end
