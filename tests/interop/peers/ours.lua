-- Our side of the interop tests in Lua; what it does is told in test_peers.py.
local coromega = require("coromega_ws")

local function say(...)
  print(table.concat({ ... }, " "))
  io.stdout:flush()
end

local function options_from(place)
  local options = {}
  for at = place, #arg, 2 do
    options[(arg[at]:sub(3):gsub("-", "_"))] = tonumber(arg[at + 1]) or arg[at + 1]
  end
  return options
end

local function attend(conn)
  conn:when_new_msg(function(message, kind, reason)
    if message == nil then return say("CLOSED", kind, reason) end
    if kind == "binary" then return conn:send_binary(message) end
    local code, why = message:match("^!close (%d+) (.-)\n?$")
    local count = message:match("^!burst (%d+)\n?$")
    if code then
      conn:close(tonumber(code), why)
    elseif count then
      for number = 0, count - 1 do conn:send_message(("%d"):format(number)) end
    elseif message == "!request" then
      local request = conn:request()
      conn:send_message(request.path .. " " .. (request.subprotocol or ""))
    else
      conn:send_message(message)
    end
  end)
end

if arg[1] == "serve" then
  local listener = coromega:create_websocket_server("127.0.0.1", 0, options_from(2))
  listener:when_new_conn(attend)
  say("LISTENING", (select(2, listener:address())))
else
  coromega:start_new(function()
    local conn, err = coromega:connect_to_websocket(
      arg[2], { ["Sec-WebSocket-Protocol"] = arg[3] }, options_from(4))
    if not conn then return say("FAILED", err) end
    attend(conn)
  end)
end
coromega:run()
