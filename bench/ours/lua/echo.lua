-- Our echo server in Lua: a callback for each message, which the library starts in a coroutine of
-- its own, as README.md and examples/lua/echo_server.lua show it. A broadcast is one `send_to_many`.
--
--   lua echo.lua [--tls CERT KEY] [--compress] [--broadcast]
local coromega = require("coromega_ws")

local options = { max_message_size = 2 * 1024 * 1024 }
local broadcast = false
local place = 1
while arg[place] do
  local option = arg[place]
  if option == "--tls" and arg[place + 2] then
    options.certificate_file, options.key_file = arg[place + 1], arg[place + 2]
    place = place + 2
  elseif option == "--compress" then
    options.compression = true
  elseif option == "--broadcast" then
    broadcast = true
  else
    io.stderr:write("usage: echo.lua [--tls CERT KEY] [--compress] [--broadcast]\n")
    os.exit(2)
  end
  place = place + 1
end

local listener = coromega:create_websocket_server("127.0.0.1", 0, options)

local function echo(conn)
  conn:when_new_msg(function(message, kind)
    if message == nil then return end -- the connection has ended
    if kind == "binary" then
      conn:send_binary(message)
    else
      conn:send_message(message)
    end
  end)
end

local conns, places = {}, {} -- a sequence, and where each connection is in it

local function leave(conn)
  local free, last = places[conn], conns[#conns]
  conns[free], places[last] = last, free
  conns[#conns], places[conn] = nil, nil
end

local AS_TEXT, AS_BINARY = {}, { binary = true }

local function to_all(conn)
  conns[#conns + 1] = conn
  places[conn] = #conns
  conn:when_new_msg(function(message, kind)
    if message == nil then return leave(conn) end
    coromega:send_to_many(conns, message, kind == "binary" and AS_BINARY or AS_TEXT)
  end)
end

listener:when_new_conn(broadcast and to_all or echo)
listener:when_dead(function(reason)
  io.stderr:write("echo.lua: ", reason, "\n")
  os.exit(1)
end)

local _, port = listener:address()
print("LISTENING " .. port)
io.stdout:flush()
coromega:run()
