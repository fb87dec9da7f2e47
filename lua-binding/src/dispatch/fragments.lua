-- Messages that are sent in fragments: begun, written, finished (S37).
local ws = ...

local raw, record, Connection = ws.raw, ws.connection_record, ws.Connection
local error, getmetatable, setmetatable, type = error, getmetatable, setmetatable, type
local append, drop_first, first_of, give_up = ws.append, ws.drop_first, ws.first_of, ws.give_up
local waiting, try_waiting, park = ws.waiting, ws.try_waiting, ws.park

local TEXT, BINARY = 1, 2
local NOTIFY = 1

local Writer = {}
Writer.__index = Writer

ws.cancels.room = function(task)
  give_up(task.on.writers, task)
  task.on = nil
end

-- Those who wait for room to write, or to begin, look again.
function ws.wake_writers(r, resume)
  local writers = r.writers
  if not writers then return end
  for _ = writers.first, writers.last do
    local task = first_of(writers)
    if not task then return end
    drop_first(writers)
    task.on = nil
    resume(task)
  end
end

-- Does what would block again, until it does not.
local function insist(conn, r, attempt)
  while true do
    local result = attempt(0)
    if result ~= false then return result end
    local task = try_waiting()
    if not task then return "would block" end
    result = attempt(NOTIFY)
    if result ~= false then return result end
    r.writers = r.writers or ws.queue(r)
    task.wait, task.on = "room", r
    append(r.writers, task, conn)
    park(task)
    if r.why then return r.why end
  end
end

local function beginner(name, kind)
  return function(self, options)
    local r = record(self, name)
    waiting("conn:" .. name)
    local flags = ws.flags_of(options, name) or 0
    local message = insist(self, r, function(notify)
      -- What was sent before leaves before.
      if first_of(r.senders) then return false end
      return raw.begin(r.handle, kind, flags + notify)
    end)
    if type(message) == "string" then return nil, message end
    return setmetatable({ _conn = self, _message = message }, Writer)
  end
end

-- A writer for one message, or nil and why there is none.
Connection.begin_message = beginner("begin_message", TEXT)
Connection.begin_binary = beginner("begin_binary", BINARY)

local function check(writer, name)
  if getmetatable(writer) ~= Writer then
    error(("writer:%s: %s is not a writer (call it with a colon)"):format(name, type(writer)), 3)
  end
  if not writer._message then error(("writer:%s: the message is finished"):format(name), 3) end
end

-- Sends a fragment. Nothing, or why it was not sent.
function Writer:write(data)
  check(self, "write")
  if type(data) ~= "string" then
    error(("writer:write: the fragment must be a string, not %s"):format(type(data)), 2)
  end
  local conn, message = self._conn, self._message
  return (insist(conn, conn._record, function(notify) return raw.write(message, data, notify) end))
end

-- Ends the message. Nothing, or why it was not sent.
function Writer:finish()
  check(self, "finish")
  local err = raw.finish(self._message)
  if err then return err end
  self._message = nil
end

function Writer:__tostring() return "writer of " .. tostring(self._conn) end
