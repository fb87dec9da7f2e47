-- Connections: a connection is a table, on which scripts may set fields of their own, with its
-- record and a hidden userdata whose finalizer lets go of the handle.
local ws = ...

local raw = ws.raw
local raw_send, send_now = raw.send, raw.send_now
local error, pairs, rawget, setmetatable = error, pairs, rawget, setmetatable
local tostring, type = tostring, type
local floor = math.floor
local take, deliver, again, hold, unhold = ws.take, ws.deliver, ws.again, ws.hold, ws.unhold
local append, prepend, drop_first = ws.append, ws.prepend, ws.drop_first
local first_of, give_up = ws.first_of, ws.give_up
local waiting, try_waiting, park, wake, schedule =
  ws.waiting, ws.try_waiting, ws.park, ws.wake, ws.schedule
local expect_function, expect_seconds = ws.expect_function, ws.expect_seconds

local TEXT, BINARY = 1, 2
local NOTIFY, UNCOMPRESSED = 1, 2
local IN_A_ROW = 64 -- messages that one coroutine takes before it gives way (S2)

local Connection = {}
Connection.__index = Connection
local connecting, connecting_count = {}, 0 -- handle -> task

local queue = ws.queue

local function turn(conn, r) deliver(conn, r) end

local function new(handle, max_callbacks, fragments)
  local r = {
    handle, -- false while somebody may wait to send
    is_connection = true,
    handle = handle,
    max_callbacks = max_callbacks,
    fragments = fragments,
    turn = turn,
    queue = {}, kinds = {}, head = 1, tail = 0,
    unfinished = 0,
    holds = 0,
  }
  r.takers, r.senders, r.closers = queue(r), queue(r), queue(r)
  local conn = setmetatable({ _record = r, _guard = raw.guard(handle) }, Connection)
  ws.objects[handle] = conn
  return conn
end
ws.new_connection = new

local function record(conn, name)
  local r = type(conn) == "table" and rawget(conn, "_record")
  if not r or not r.is_connection then
    error(("conn:%s: %s is not a connection (call it with a colon)")
      :format(name, type(conn)), 3)
  end
  return r
end

ws.connection_record = record

function Connection:__tostring() return ("connection %.0f"):format(self._record.handle) end

-- Connecting (S6 to S9) ---------------------------------------------------------------------

ws.cancels.connect = function(task)
  connecting[task.handle] = nil
  connecting_count = connecting_count - 1
  raw.free(task.handle)
end

function ws.connect(address, headers, options)
  local name = "coromega:connect_to_websocket"
  local task = waiting(name, 4)
  if type(address) ~= "string" then
    error(("%s: the address must be a string, not %s"):format(name, type(address)), 3)
  end
  headers = ws.request_headers(headers, name, 4)
  local list = ws.flat_options(options, name, 4)
  local handle, more = raw.connect(address, headers, list)
  if more == "forked" and ws.renew() then handle, more = raw.connect(address, headers, list) end
  if not handle then return nil, more end
  task.wait, task.handle, task.max_callbacks = "connect", handle, more
  task.fragments = ws.wants_fragments(options)
  connecting[handle] = task
  connecting_count = connecting_count + 1
  local conn, err = park(task)
  if conn then return conn end
  return nil, err
end

function ws.connects() return connecting_count end

local function connected(handle)
  local task = connecting[handle]
  if task then
    connecting[handle] = nil
    connecting_count = connecting_count - 1
  end
  return task
end

function ws.on_open(handle)
  local task = connected(handle)
  if task then return wake(task, new(handle, task.max_callbacks, task.fragments)) end
  local conn = ws.objects[handle]
  if conn then ws.on_back(conn, conn._record) end
end

-- Sending (S19 to S21) ----------------------------------------------------------------------

ws.cancels.send = function(task)
  task.data = nil
  give_up(task.on.senders, task)
  task.on = nil
end

-- What is no table is not looked at: send_message(text:gsub("a", "b")) passes a count, too.
local function flags_of(options, name)
  if type(options) ~= "table" then return nil end
  for key, value in pairs(options) do
    if key ~= "compress" then
      error(("conn:%s: there is no option %s"):format(name, tostring(key)), 3)
    elseif type(value) ~= "boolean" then
      error(("conn:%s: option compress must be a boolean, not %s"):format(name, type(value)), 3)
    end
  end
  if options.compress == false then return UNCOMPRESSED end
end

ws.flags_of = flags_of

-- First come, first served: who comes while others wait for room waits behind them.
local function send(conn, r, kind, data, flags)
  local senders = r.senders
  local alone = senders.last == 0 or not first_of(senders)
  if alone then
    local refused = raw_send(r.handle, kind, data, flags)
    if refused == nil then return end
    if refused then return refused end
  end
  local task = try_waiting()
  if not task then return "would block" end
  flags = (flags or 0) + NOTIFY
  if alone then
    local refused = raw_send(r.handle, kind, data, flags)
    if refused == nil then return end
    if refused then return refused end
  end
  task.wait, task.on, task.kind, task.data, task.flags = "send", r, kind, data, flags
  r[1] = false
  append(senders, task, conn)
  return (park(task))
end

ws.send_waiting = send

-- send_message and send_binary differ in the kind only. What need not wait is done at once.
local function sender(name, kind)
  return function(self, data, options)
    local refused = send_now(self, kind, data, options)
    if refused == nil then return end
    local r = record(self, name)
    if type(data) ~= "string" then
      error(("conn:%s: the message must be a string, not %s"):format(name, type(data)), 2)
    elseif type(refused) == "string" then
      return refused
    end
    if r.senders.last == 0 then r[1] = r.handle end
    refused = send(self, r, kind, data, flags_of(options, name))
    if refused then return refused end
  end
end

Connection.send_message = sender("send_message", TEXT)
Connection.send_binary = sender("send_binary", BINARY)

function Connection:send(value, options)
  local r = record(self, "send")
  local flags = flags_of(options, "send")
  local text, err = ws.json.encode(value)
  if text then err = send(self, r, TEXT, text, flags) end
  if err then return err end
end

local function leave_queue(task)
  task.data, task.on = nil, nil
end

-- Sends what waits, in its order. False if there is no room for all of it.
local function send_waiting(r)
  local senders = r.senders
  while true do
    local task = first_of(senders)
    if not task then return true end
    local refused = raw_send(r.handle, task.kind, task.data, task.flags)
    if refused == false then return false end
    drop_first(senders)
    leave_queue(task)
    wake(task, refused)
  end
end

function ws.on_writable(conn, r)
  if send_waiting(r) then again(conn, r) end -- callbacks go on (S16)
  ws.wake_writers(r, wake)
end

-- What waited for room is not sent any more.
local function refuse_senders(r, resume)
  ws.wake_writers(r, resume)
  local senders = r.senders
  while true do
    local task = first_of(senders)
    if not task then return end
    drop_first(senders)
    leave_queue(task)
    resume(task, r.why or "closed")
  end
end

-- Receiving (S14 to S18, S22, S23) ----------------------------------------------------------

ws.cancels.receive = function(task)
  give_up(task.on._record.takers, task)
  task.on = nil
end

local ONLY_FRAGMENTS = "%s: this connection has the option fragments: use receive_fragment"

-- A fragment, the kind of its message, and whether it is the last.
local function fragment(data, kind)
  if kind == nil then return data, "text", true end
  if kind == "binary" then return data, kind, true end
  return data, kind == BINARY and "binary" or "text", false
end

-- receive_message and receive_fragment differ in what they make of a message's kind.
local function receiver(name, in_fragments)
  local full_name = "conn:" .. name
  return function(self, timeout)
    local r = record(self, name)
    local task = waiting(full_name)
    if timeout ~= nil then expect_seconds(timeout, full_name, "the timeout") end
    if r.fragments and not in_fragments then error(ONLY_FRAGMENTS:format(full_name), 2) end
    local takers = r.takers
    local first = r.first == task.slice
    if first or takers.last == 0 or not first_of(takers) then
      if task.streak_slice ~= task.slice then task.streak_slice, task.streak = task.slice, 0 end
      if task.streak < IN_A_ROW or r.ended then
        local message, kind = take(r)
        if message ~= nil then
          task.streak = task.streak + 1
          r.first = task.slice
          if takers.last ~= 0 then again(self, r) end
          if in_fragments then return fragment(message, kind) end
          if kind then return message, kind end
          return message
        end
        if r.ended then
          if r.callback or takers.last ~= 0 then again(self, r) end
          return nil, r.why or "closed", r.code, r.reason
        end
      else
        -- Its turn comes when everybody else has had theirs.
        first = false
        r.gave_way = true
        again(self, r)
      end
    end
    task.wait, task.on = "receive", self
    if first then prepend(takers, task, self) else append(takers, task, self) end
    if timeout and timeout < math.huge then ws.set_timer(task, raw.clock() + timeout) end
    local message, kind, code, reason = park(task)
    task.on = nil
    if message ~= nil then
      task.streak_slice, task.streak = task.slice, 1
      if in_fragments then return fragment(message, kind) end
      if kind then return message, kind end
      return message
    end
    if code then return nil, kind, code, reason end
    return nil, kind
  end
end

Connection.receive_message = receiver("receive_message", false)
Connection.receive_fragment = receiver("receive_fragment", true)

-- S18: a message that has arrived beats the timeout.
function ws.on_receive_timeout(task)
  local conn, slice = task.on, task.slice
  deliver(conn, conn._record)
  if task.wait ~= "receive" or task.slice ~= slice then return end
  give_up(conn._record.takers, task)
  wake(task, nil, "timeout")
end

function Connection:when_new_msg(callback)
  local r = record(self, "when_new_msg")
  expect_function(callback, "conn:when_new_msg")
  if callback and r.fragments then error(ONLY_FRAGMENTS:format("conn:when_new_msg"), 2) end
  if r.told then return end
  ws.set_callback(self, r, callback)
  if callback then again(self, r) end
end

-- Closing (S22 to S25) ----------------------------------------------------------------------

ws.cancels.close = function(task)
  give_up(task.on.closers, task)
  task.on = nil
end

-- Starts to close. True if CLOSED will follow.
local function start_closing(conn, r, code, reason)
  local started, err = raw.close(r.handle, code, reason)
  if not started then return started, err end
  if not r.closing then
    r.closing = true
    hold(conn, r)
  end
  refuse_senders(r, schedule)
  return true
end

function Connection:close(code, reason)
  local r = record(self, "close")
  local task
  if not ws.outside() then task = waiting("conn:close") end
  if code ~= nil and type(code) ~= "number" then
    error(("conn:close: the code must be a number, not %s"):format(type(code)), 2)
  elseif reason ~= nil and type(reason) ~= "string" then
    error(("conn:close: the reason must be a string, not %s"):format(type(reason)), 2)
  end
  if code and not (code >= 1 and code <= 65535 and code == floor(code)) then
    return ("close: %s is not a code that may be sent"):format(tostring(code))
  end
  local started, err = start_closing(self, r, code or 0, reason)
  if err then return err end
  if not started or not task then return end
  task.wait, task.on = "close", r
  append(r.closers, task, self)
  err = park(task)
  if err then return err end
end

-- S4: an error in a when_new_conn callback closes its connection, one in when_request refuses it.
function ws.refuse(r)
  if r.is_request then return ws.refuse_request(r) end
  local conn = ws.objects[r.handle]
  if conn then start_closing(conn, r, 1011) end
end

-- Ends an object without its connection: waits on it end with `why`. `resume` ends a wait.
local function cut_off(conn, r, why, resume)
  if r.ended then return end
  r.queue, r.kinds, r.head, r.tail = {}, {}, 1, 0
  r.ended, r.code, r.reason, r.why = true, 1006, why, why
  refuse_senders(r, resume)
  ws.answer_pingers(r, resume, nil, why)
  local task = first_of(r.closers)
  while task do
    drop_first(r.closers)
    resume(task, why)
    task = first_of(r.closers)
  end
  if r.closing then
    r.closing = nil
    unhold(r)
  end
  again(conn, r)
end
ws.cut_off = cut_off

-- In a child of fork: connects under way end, and every connection of the parent's.
function ws.end_connections()
  for handle, task in pairs(connecting) do
    connected(handle)
    schedule(task, nil, "forked")
  end
  for _, conn in pairs(ws.objects) do cut_off(conn, conn._record, "forked", schedule) end
end

function ws.on_closed(handle, code, text)
  local task = connected(handle)
  if task then
    raw.free(handle)
    return wake(task, nil, text)
  end
  local conn = ws.objects[handle]
  -- A request that ended before it was a connection, if it is not one that was collected.
  if not conn then return raw.free(handle) end
  local r = conn._record
  r.code, r.reason, r.slow = code, text, true
  ws.settle(r)
  if r.closing then
    r.closing = nil
    unhold(r)
  end
  refuse_senders(r, wake)
  ws.answer_pingers(r, wake, nil, "closed")
  local closers = r.closers
  while true do
    task = first_of(closers)
    if not task then break end
    drop_first(closers)
    task.on = nil
    wake(task)
  end
  deliver(conn, r)
end

ws.Connection = Connection
