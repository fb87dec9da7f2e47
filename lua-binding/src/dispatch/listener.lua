-- Listeners (S10 to S12): each is kept until it has stopped and said so.
local ws = ...

local raw = ws.raw
local error, ipairs, pairs, rawget, setmetatable = error, ipairs, pairs, rawget, setmetatable
local tostring, type = tostring, type
local floor = math.floor
local again, expect_function, expect_seconds = ws.again, ws.expect_function, ws.expect_seconds
local append, drop_first, first_of, give_up = ws.append, ws.drop_first, ws.first_of, ws.give_up

local Listener = {}
Listener.__index = Listener
local listening, listening_count = {}, 0 -- handle -> listener
local clients = {}

function ws.listeners() return listening_count end

local function record(listener, name)
  local r = type(listener) == "table" and rawget(listener, "_record")
  if not r or not r.is_listener then
    error(("listener:%s: %s is not a listener (call it with a colon)")
      :format(name, type(listener)), 3)
  end
  return r
end

-- Takes the clients that wait, each into a new coroutine.
local function accept(listener, r)
  if r.dead or not r.when_new_conn then return end
  local count, more = raw.accept(r.handle, clients)
  if not count then return end
  -- Callbacks may accept, too: the handles are made objects before any of them runs.
  local conns = {}
  for place = 1, count do
    conns[place] = ws.new_connection(clients[place], r.max_callbacks, r.fragments)
  end
  if more then again(listener, r) end
  for place = 1, count do
    local conn = conns[place]
    conns[place] = false
    ws.launch_marked(r.when_new_conn or r.last_callback, conn, nil, nil, conn._record)
  end
end

ws.cancels.drain = function(task)
  give_up(task.on.closers, task)
  task.on = nil
end

-- S12: says once that it is dead. Where binding failed and nobody listens for it, S4 does (S10).
local function turn(listener, r)
  if not r.dead then return accept(listener, r) end
  local task = first_of(r.closers)
  while task do
    drop_first(r.closers)
    task.on = nil
    ws.wake(task, r.reason == "forked" and "forked" or nil)
    task = first_of(r.closers)
  end
  if r.told then return end
  local callback = r.when_dead
  if callback then
    r.told, r.when_dead = true, nil
    ws.launch_marked(callback, r.reason)
  elseif r.failed then
    r.failed = nil
    ws.report(r.reason)
  end
end

function ws.listen(host, port, options)
  local name = "coromega:create_websocket_server"
  if type(host) ~= "string" then
    error(("%s: the host must be a string, not %s"):format(name, type(host)), 3)
  elseif type(port) ~= "number" then
    error(("%s: the port must be a number, not %s"):format(name, type(port)), 3)
  end
  local list = ws.flat_options(options, name, 4, "when_request")
  local r = { is_listener = true, turn = turn, holds = 0 }
  r.closers, r.fragments = ws.queue(r), ws.wants_fragments(options)
  if options ~= nil then
    r.when_request = options.when_request
    if r.when_request ~= nil and type(r.when_request) ~= "function" then
      error(("%s: option when_request must be a function, not %s")
        :format(name, type(r.when_request)), 3)
    elseif options.review ~= nil then
      error(("%s: the option review is set by when_request: give that a function"):format(name), 3)
    elseif r.when_request then
      list[#list + 1] = "review"
      list[#list + 1] = 1
    end
  end
  local listener = setmetatable({ _record = r }, Listener)
  local handle, more
  if port >= 0 and port <= 65535 and port == floor(port) then
    handle, more = raw.listen(host, port, list)
    if more == "forked" and ws.renew() then handle, more = raw.listen(host, port, list) end
  else
    more = ("listen on %s:%s: a port is a whole number from 0 to 65535"):format(host, tostring(port))
  end
  if handle then
    r.handle, r.max_callbacks = handle, more
    listening[handle] = listener
    listening_count = listening_count + 1
  else
    r.dead, r.failed, r.reason = true, true, more
    again(listener, r)
  end
  return listener
end

-- Who looks at the requests of a listener.
function ws.reviewer(handle)
  local listener = listening[handle]
  return listener and listener._record.when_request
end

function ws.on_accepted(handle)
  local listener = listening[handle]
  if listener then accept(listener, listener._record) end
end

function ws.on_dead(handle, reason)
  local listener = listening[handle]
  if not listener then return end
  listening[handle] = nil
  listening_count = listening_count - 1
  local r = listener._record
  r.dead, r.reason = true, reason
  r.counters = raw.counters(handle)
  raw.free_listener(handle)
  turn(listener, r)
end

-- In a child of fork: they go on listening in the parent.
function ws.end_listeners()
  for handle, listener in pairs(listening) do
    listening[handle] = nil
    local r = listener._record
    r.dead, r.reason = true, "forked"
    again(listener, r)
  end
  listening_count = 0
end

function Listener:__tostring()
  local r = self._record
  return r.handle and ("listener %.0f"):format(r.handle) or "listener (failed)"
end

function Listener:when_new_conn(callback)
  local r = record(self, "when_new_conn")
  expect_function(callback, "listener:when_new_conn")
  r.when_new_conn = callback
  r.last_callback = callback or r.last_callback
  if callback and not r.dead then again(self, r) end
  return self
end

function Listener:when_dead(callback)
  local r = record(self, "when_dead")
  expect_function(callback, "listener:when_dead")
  if r.told then return self end
  r.when_dead = callback
  if callback and r.dead then again(self, r) end
  return self
end

function Listener:address()
  local r = record(self, "address")
  if r.dead then return nil, (r.failed ~= nil or r.reason == "forked") and r.reason or "closed" end
  return raw.address(r.handle)
end

-- Reads the certificate files again, for clients that come from now on.
function Listener:reload()
  local r = record(self, "reload")
  if r.dead then return "closed" end
  local _, err = raw.reload(r.handle)
  if err then return err end
end

function Listener:close(reason, options)
  local r = record(self, "close")
  local drain
  if reason ~= nil and type(reason) ~= "string" then
    error(("listener:close: the reason must be a string, not %s"):format(type(reason)), 2)
  end
  if options ~= nil then
    ws.flat_options(options, "listener:close", 3)
    for name, value in pairs(options) do
      if name ~= "drain" then return ("listener:close: there is no option %s"):format(name) end
      drain = value
      expect_seconds(drain, "listener:close", "drain")
    end
  end
  if r.dead then return end
  local _, err
  if drain then
    _, err = raw.drain(r.handle, reason, drain)
  else
    _, err = raw.close_listener(r.handle, reason)
  end
  if err and err ~= "closed" then return err end
  -- The draining has an end that can be waited for.
  r.draining = r.draining or drain
  local task = r.draining and not ws.outside() and ws.try_waiting()
  if not task then return end
  task.wait, task.on = "drain", r
  append(r.closers, task, self)
  return ws.park(task)
end

-- What the connections that came through it have done; as it was when it stopped, afterwards.
function Listener:counters()
  local r = record(self, "counters")
  if r.handle and not r.counters then return raw.counters(r.handle) end
  if r.counters then return r.counters end
  return nil, r.reason
end

-- The connections that came through it and have not ended, the oldest first.
function Listener:connections()
  local r = record(self, "connections")
  local list = {}
  if r.dead then return list end
  local handles, count = raw.connections(r.handle, 64)
  while handles and count > #handles do handles, count = raw.connections(r.handle, count) end
  for _, handle in ipairs(handles or list) do
    -- Some may have gone unreferenced, and are about to be closed (S27).
    list[#list + 1] = ws.objects[handle]
  end
  return list
end
