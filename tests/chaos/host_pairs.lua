-- The ends of pairs in a Lua host: numbered messages out, and each of them back in its order.
local coromega = require("coromega_ws")
local commands, failed, WINDOW = {}
local ends = {}

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

local function adopt(pair, role, conn, fragments, sent, received)
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

-- Adds the commands for them to a host's.
return function(host_commands, host_failed, window)
  failed, WINDOW = host_failed, window
  for name, command in pairs(commands) do host_commands[name] = command end
end
