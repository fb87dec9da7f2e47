-- A host in Lua: does what it is told by `command`, and answers through the functions it got.
local answer, failed, WINDOW = ...
local coromega = require("coromega_ws")
local unpack = table.unpack or unpack

local ROOM, LISTENERS = 12, 4 -- what it keeps; the oldest has to go for the next
local THROWN = "thrown on purpose"
local conns, listeners, ends = {}, {}, {}
local commands, adopt = {}, nil

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

-- An answer is not answered again.
function behaviours.echo(conn)
  conn:when_new_msg(function(message, kind)
    if not message or message:sub(1, 1) ~= "m" then return end
    local text = "e" .. message:sub(2)
    if kind == "binary" then conn:send_binary(text) else conn:send_message(text) end
  end)
end

function behaviours.throw(conn) conn:when_new_msg(throw) end

function behaviours.close(conn)
  conn:when_new_msg(function(message)
    if message then conn:close(4001, "on the first message") end
  end)
end

local function take(conn, pause)
  while conn:receive_message() do
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
  local message, why = conns[i]:receive_message(0.001 * (n % 3))
  return message and "ok" or why
end

function commands.replace(n)
  local i = index(conns, n)
  if not i then return "nothing" end
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

-- The ends of the pairs -----------------------------------------------------------------------

local function message_of(n)
  local size = n % 1009 == 1008 and 300000 or n % 97 == 96 and 70000 or n * 7919 % 300
  return ("%d:%s"):format(n, ("\195\188"):rep(size)), n % 3 == 0
end

local function send_in_fragments(conn, text, binary, pauses)
  local writer, err = conn[binary and "begin_binary" or "begin_message"](conn)
  if err then return err end
  local size = math.floor(#text / 4) + 1
  for at = 1, #text, size do
    err = writer:write(text:sub(at, at + size - 1))
    if err then return err end
    if pauses then coromega:sleep(0.005) end
  end
  return writer:finish()
end

-- Sends the next message; none once the pair has been broken off.
local function send(e, text, binary)
  local err
  if e.sent % 5 == 2 then
    err = send_in_fragments(e.conn, text, binary, e.sent % 40 == 7)
  elseif binary then
    err = e.conn:send_binary(text)
  else
    err = e.conn:send_message(text)
  end
  if not err then
    e.sent = e.sent + 1
  elseif err == "closed" and e.breaking then
    e.stopping = true
  else
    error("send: " .. err)
  end
end

-- A writer that is thrown away.
local function leave_half(e)
  e.leaves_half, e.stopping = nil, true
  local err = assert(e.conn:begin_message()):write("half")
  if err then error("write: " .. err) end
  collectgarbage()
  collectgarbage()
end

local function receive_whole(e)
  if not e.fragments then return e.conn:receive_message(0.05) end
  local got, pause = {}, 0.05
  while true do
    local data, kind, fin, reason = e.conn:receive_fragment(pause)
    if not data then return nil, kind, fin, reason end
    got[#got + 1] = data
    if fin then return table.concat(got), kind end
    pause = nil
  end
end

-- Only its own coroutine takes an end's messages. False: the connection has ended.
local function receive(e)
  local text, kind, code, reason = receive_whole(e)
  if text or kind == "timeout" then return text, kind == "binary" end
  if e.breaking and code == 1011 and reason == "a message was not finished" then return false end
  if e.role == "server" and code == 1000 and not e.breaking then return false end
  error(("it ended: %s %s %s"):format(tostring(kind), tostring(code), tostring(reason)))
end

local roles = {}

function roles.client(e)
  while not e.giving and (e.breaking or not e.stopping or e.sent > e.received) do
    if e.leaves_half then leave_half(e) end
    while not e.stopping and not e.leaves_half and e.sent - e.received < WINDOW do
      send(e, message_of(e.sent))
    end
    local text, binary = receive(e)
    if text == false then return end
    if text then
      local wanted, kind = message_of(e.received)
      if text ~= wanted or binary ~= kind then error(("got %q of %d"):format(text:sub(1, 40), #text)) end
      e.received = e.received + 1
      if e.received % WINDOW == 0 then coromega:sleep(0.005) end
    end
  end
end

function roles.server(e)
  while not e.giving do
    if e.leaves_half then leave_half(e) end
    local text, binary = receive(e)
    if text == false then return end
    if text then
      e.received = e.received + 1
      if not e.stopping then send(e, text, binary) end
    end
  end
end

function adopt(pair, role, conn, fragments, sent, received)
  local e = { role = role, conn = conn, fragments = fragments, sent = sent, received = received }
  ends[pair .. role] = e
  coromega:start_new(function()
    local ok, err = coromega.pcall(roles[role], e)
    e.done = true
    if not ok then
      failed(("pair %d, %s in lua, %d sent, %d received: %s"):format(pair, role, e.sent, e.received, tostring(err)))
    end
  end)
end

function commands.pair_listen(pair, options)
  local listener = coromega:create_websocket_server("127.0.0.1", 0, options)
  listener:when_new_conn(function(conn)
    adopt(pair, "server", conn, options.fragments, 0, 0)
    listener:close()
  end)
  return listener:address()
end

function commands.pair_connect(pair, url, options)
  local conn = assert(coromega:connect_to_websocket(url, nil, options))
  adopt(pair, "client", conn, options.fragments, 0, 0)
  return "ok"
end

local function wait_for(e)
  while not e.done do coromega:sleep(0.002) end
end

function commands.pair_give(pair, role)
  local e = ends[pair .. role]
  e.giving = true
  wait_for(e)
  return e.conn:handle(), e.sent, e.received
end

function commands.pair_take(pair, role, fragments, handle, sent, received)
  adopt(pair, role, assert(coromega:from_handle(handle)), fragments, sent, received)
  return "ok"
end

function commands.pair_forget(pair, role)
  ends[pair .. role] = nil
  return "ok"
end

function commands.pair_progress(pair, role) return ends[pair .. role].received end

function commands.pair_stop(pair)
  local e = ends[pair .. "client"]
  e.stopping = true
  wait_for(e)
  e.conn:close()
  return e.received
end

function commands.pair_break(pair, role, leaves_half)
  local e = ends[pair .. role]
  e.breaking, e.leaves_half = true, leaves_half
  return "ok"
end

function commands.pair_broken(pair, role)
  local e = ends[pair .. role]
  wait_for(e)
  return e.sent, e.received
end

local function command(id, name, ...)
  local arguments, count = { ... }, select("#", ...)
  coromega:start_new(function()
    local ok, a, b, c = coromega.pcall(commands[name], unpack(arguments, 1, count))
    if not ok then failed(("lua %s: %s"):format(name, tostring(a))) end
    answer(id, a, b, c)
  end)
end

return command, function() return coromega:poll() end, coromega:fd()
