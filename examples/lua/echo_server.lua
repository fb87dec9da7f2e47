-- Sends every message back: text as text, binary as binary.
--
--   lua echo_server.lua [--host H] [--port N] [--max-message-size BYTES] ...
--
-- Each option of a server is a flag, with - for _. Port 0 takes a free port. The first line
-- printed is "LISTENING <port>".
local coromega = require("coromega_ws")

local host, port, options = "127.0.0.1", 0, {}
local place = 1
while arg[place] do
  local name, value = arg[place]:match("^%-%-(.+)$"), arg[place + 1]
  if not name or not value then
    io.stderr:write("usage: echo_server.lua [--host H] [--port N] [--OPTION NUMBER] ...\n")
    os.exit(2)
  end
  if name == "host" then
    host = value
  else
    local number = tonumber(value)
    if not number then
      io.stderr:write(("echo_server.lua: --%s wants a number, not %s\n"):format(name, value))
      os.exit(2)
    end
    if name == "port" then port = number else options[(name:gsub("-", "_"))] = number end
  end
  place = place + 2
end

local failed
local listener = coromega:create_websocket_server(host, port, options)

listener:when_new_conn(function(conn)
  conn:when_new_msg(function(message, kind)
    if message == nil then return end -- the connection has ended
    if kind == "binary" then
      conn:send_binary(message)
    else
      conn:send_message(message)
    end
  end)
end)

listener:when_dead(function(reason)
  io.stderr:write("echo_server.lua: ", reason, "\n")
  failed = true
end)

local _, bound = listener:address()
if listener:address() then
  print("LISTENING " .. bound)
  io.stdout:flush()
end
coromega:run()
if failed then os.exit(1) end
