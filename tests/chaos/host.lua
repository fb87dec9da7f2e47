-- A host in Lua: does what it is told by `command`, and answers through the functions it got.
local answer, failed, WINDOW = ...
local coromega = require("coromega_ws")
local unpack = table.unpack or unpack

local ROOM, LISTENERS = 12, 4 -- what it keeps; the oldest has to go for the next
local THROWN = "thrown on purpose"
local conns, listeners, commands = {}, {}, {}

coromega:on_error(function(err)
  if not tostring(err):find(THROWN, 1, true) then failed("lua: " .. tostring(err)) end
end)

local function throw() error(THROWN) end

-- Waits for nothing: who must wait does so in a coroutine of its own.
local function aside(fn, ...)
  local arguments, count = { ... }, select("#", ...)
  coromega:start_new(function() fn(unpack(arguments, 1, count)) end)
end

local function index(list, n)
  if #list > 0 then return n % #list + 1 end
end

-- Connections and their behaviours ------------------------------------------------------------

local behaviours = {}

local function check(text)
  if text and text:sub(1, 4) == "half" then failed("lua: a message that stayed half came whole") end
end

-- The next message, or its first part where it comes in fragments; nil and why there is none.
local function receive(conn, timeout)
  local text, kind, fin
  if conn._record.fragments then
    text, kind, fin = conn:receive_fragment(timeout)
    local part, why = text, kind
    while part and not fin do part, why, fin = conn:receive_fragment(timeout) end
    if not part then return nil, why end
  else
    text, kind = conn:receive_message(timeout)
  end
  check(text)
  return text, kind
end

-- Has a function called with every message.
local function each(conn, fn)
  if not conn._record.fragments then return conn:when_new_msg(fn) end
  aside(function()
    repeat
      local text, kind = receive(conn)
      fn(text, kind)
    until not text
  end)
end

-- A message in fragments, with pauses. One that stays half is left to the collector.
local function write(conn, binary, size, count, whole, how)
  local text = (whole and "m" or "half") .. ("m"):rep(size)
  local writer, err = conn[binary and "begin_binary" or "begin_message"](conn, how)
  for _ = 1, writer and count or 0 do
    err = writer:write(text)
    if err then return err end
    coromega:sleep(0.005)
  end
  return err or whole and writer:finish() or nil
end

-- An answer is not answered again.
function behaviours.echo(conn)
  each(conn, function(message, kind)
    check(message)
    if not message or message:sub(1, 1) ~= "m" then return end
    local text = "e" .. message:sub(2)
    if kind == "binary" then conn:send_binary(text) else conn:send_message(text) end
  end)
end

function behaviours.throw(conn) each(conn, throw) end

function behaviours.close(conn)
  each(conn, function(message)
    if message then conn:close(4001, "on the first message") end
  end)
end

local function take(conn, pause)
  while receive(conn) do
    if pause then coromega:sleep(pause) end
  end
end

function behaviours.take(conn) aside(take, conn) end
function behaviours.slow(conn) aside(take, conn, 0.01) end
function behaviours.deaf() end

function behaviours.flood(conn)
  aside(function()
    for n = 0, 199 do
      if conn:send_message(("f"):rep(n * 37 % 2000)) then return end
    end
    conn:close()
  end)
end

function behaviours.parts(conn)
  aside(function()
    if not write(conn, false, 1000, 100, true) then conn:close() end
  end)
end

local function keep(conn, behaviour)
  if behaviour == "drop" then return end
  conns[#conns + 1] = conn
  behaviours[behaviour](conn)
  while #conns > ROOM do
    local oldest = table.remove(conns, 1)
    if coromega:now() * 1000 % 2 < 1 then aside(function() oldest:close(1001) end) end
  end
end

-- What it can be told to do -------------------------------------------------------------------

function commands.listen(options, behaviour, review, host, port)
  if review ~= "" then
    options.when_request = function()
      if review == "throw" then throw() end
      if review == "leave" then coromega:sleep(60) end
      if review == "refuse" then return false end
      return true, { headers = { ["X-Seen"] = "yes" } }
    end
  end
  local listener = coromega:create_websocket_server(host, port, options)
  local bound, number = listener:address()
  -- A failure to bind is told to when_dead, as here, or is an error.
  listener:when_dead(function() if behaviour == "throw" then throw() end end)
  if not bound then return "no address" end
  listener:when_new_conn(function(conn)
    if behaviour == "throw" and #conns % 3 == 0 then throw() end
    keep(conn, behaviour)
  end)
  listeners[#listeners + 1] = listener
  if #listeners > LISTENERS then table.remove(listeners, 1):close() end
  return bound, number
end

function commands.connect(url, options, behaviour)
  local conn, err = coromega:connect_to_websocket(url, nil, options)
  if not conn then return err end
  if options.reconnect then
    conn:when_lost(function() end)
    conn:when_back(function() end)
  end
  keep(conn, behaviour)
  return "ok"
end

function commands.send(n, binary, size, count, compress)
  local i = index(conns, n)
  if not i then return "nothing" end
  local conn, how = conns[i], not compress and { compress = false } or nil
  -- A send that waits for room can't be given up: it ends with its connection.
  aside(function()
    for _ = 1, count do
      local text = ("m"):rep(size)
      local err
      if binary then err = conn:send_binary(text, how) else err = conn:send_message(text, how) end
      if err then return end
    end
  end)
  return "ok"
end

function commands.write(n, binary, size, count, whole, compress)
  local i = index(conns, n)
  if not i then return "nothing" end
  aside(write, conns[i], binary, size, count, whole, not compress and { compress = false } or nil)
  return "ok"
end

function commands.send_to_many(slow, size, compress)
  local to = { unpack(conns) }
  aside(function() coromega:send_to_many(to, ("m"):rep(size), { slow = slow, compress = compress }) end)
  return "ok"
end

function commands.close(n, code)
  local i = index(conns, n)
  if not i then return "nothing" end
  return table.remove(conns, i):close(code, "chaos") or "ok"
end

function commands.drop(n)
  local i = index(conns, n)
  if i then table.remove(conns, i) end
  return "ok"
end

function commands.ping(n)
  local i = index(conns, n)
  if not i then return "nothing" end
  local conn = conns[i]
  aside(function() conn:ping() end)
  return "ok"
end

-- What Lua can give up is a receive, by its time.
function commands.cancel(n)
  local i = index(conns, n)
  if not i then return "nothing" end
  local message, why = receive(conns[i], 0.001 * (n % 3))
  return message and "ok" or why
end

function commands.replace(n)
  local i = index(conns, n)
  if not i or conns[i]._record.fragments then return "nothing" end
  conns[i]:when_new_msg(n % 2 == 0 and function() end or nil)
  return "ok"
end

function commands.give(n)
  local i = index(conns, n)
  if not i then return "nothing" end
  return conns[i]:handle()
end

function commands.take(handle, behaviour)
  local ok, conn, err = coromega.pcall(coromega.from_handle, coromega, handle)
  if not ok then return "error" end
  if not conn then return err end
  for _, known in ipairs(conns) do
    if known == conn then return "own" end
  end
  keep(conn, behaviour)
  return "ok"
end

function commands.close_listener(n, drain)
  local i = index(listeners, n)
  if not i then return "nothing" end
  return table.remove(listeners, i):close("chaos", drain > 0 and { drain = drain } or nil) or "ok"
end

function commands.reload(n)
  local i = index(listeners, n)
  return i and listeners[i]:reload() or "ok"
end

function commands.look()
  for _, conn in ipairs(conns) do
    conn:info()
    conn:request()
    conn:latency()
    tostring(conn)
  end
  for _, listener in ipairs(listeners) do
    listener:counters()
    listener:connections()
  end
  return coromega:counters().connections
end

local heard = 0

-- Returns how much the log has said since the last time.
function commands.log(level, throws)
  if level == "nothing" then
    coromega:on_log(nil)
  else
    coromega:on_log(function(_, text)
      heard = heard + 1
      if text:find("sesame", 1, true) or text:find("mmmmmm", 1, true) then failed("lua: the log tells: " .. text) end
      if throws then throw() end
    end, level)
  end
  local count = heard
  heard = 0
  return count
end

function commands.collect()
  collectgarbage()
  collectgarbage()
  return "ok"
end

-- Calls of the wrong shape: each is an error, or says what is wrong.
function commands.misuse(n)
  local calls = {
    function() return coromega:from_handle(n + 2 ^ 40) end,
    function() coromega:connect_to_websocket("ws://127.0.0.1:1", nil, { no_such_option = 1 }) end,
    function() coromega:connect_to_websocket(false) end,
    function() conns[1]:close("x") end,
    function() conns[1]:send(print) end,
    function() conns[1].send_message("no colon") end,
    function() coromega:run() end,
  }
  coromega.pcall(calls[n % #calls + 1])
  return "ok"
end

function commands.throw()
  coromega:start_new(throw)
  return "ok"
end

require("host_pairs")(commands, failed, WINDOW)

local function command(id, name, ...)
  local arguments, count = { ... }, select("#", ...)
  coromega:start_new(function()
    local ok, a, b, c = coromega.pcall(commands[name], unpack(arguments, 1, count))
    if not ok then failed(("lua %s: %s"):format(name, tostring(a))) end
    answer(id, a, b, c)
  end)
end

return command, function() return coromega:poll() end, coromega:fd()
