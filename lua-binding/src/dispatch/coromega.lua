-- The object that scripts get.
local ws = ...

local error, type = error, type
local coromega = {}

-- The call below must not be a tail call: errors are raised at the script's line by counting.
local function returned(...) return ... end

-- Methods are called with a colon; a dot instead is told by the first argument.
local function method(name, fn)
  coromega[name] = function(self, ...)
    if self ~= coromega then
      error(("coromega:%s: call it with a colon, on the object that require returned")
        :format(name), 2)
    end
    return returned(fn(...))
  end
end

method("connect_to_websocket", ws.connect)
method("create_websocket_server", ws.listen)
method("from_handle", ws.from_handle)
method("start_new", function(fn)
  if type(fn) ~= "function" then
    error(("coromega:start_new: its argument must be a function, not %s"):format(type(fn)), 3)
  end
  ws.start(fn)
end)
method("sleep", ws.sleep)
method("run", ws.run)
method("poll", ws.poll)
method("fd", ws.fd)
method("halt", ws.halt)
method("pause", ws.pause)
method("get_resume", ws.get_resume)
method("now", ws.raw.time)
method("print", ws.print)
method("send_to_many", ws.send_to_many)
method("counters", function() return ws.raw.counters() end)
method("metrics", function() return ws.raw.metrics() end)
method("on_log", ws.on_log)
method("on_error", function(fn)
  ws.expect_function(fn, "coromega:on_error", 4)
  ws.handler = fn
end)

function coromega.pcall(fn, ...)
  if fn == coromega then return ws.pcall(...) end
  return ws.pcall(fn, ...)
end

coromega.json = ws.json
ws.coromega = coromega
