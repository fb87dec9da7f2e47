-- A server and a client talk to each other, in one script, and stop.
--
-- Both greet. What a side asks for with receive_message it gets there; everything else goes to
-- its when_new_msg callback.
local omega = require("omega")
package.path = package.path .. ";" .. omega.storage_path.get_code_path("LuaLoader", "?.lua")
local coromega = require("coromega").from(omega)

local listener = coromega:create_websocket_server("127.0.0.1", 0)

listener:when_new_conn(function(conn)
  conn:when_new_msg(function(msg)
    if msg == nil then return end -- the client has gone
    print("websocket server received (not intercepted): ", msg)
    conn:send_message("server echo: " .. msg)
  end)
  conn:send_message("server hello")
  print("websocket server received (first message): ", (conn:receive_message()))
end)

local THE_END = "the dialogue is over"
listener:when_dead(function(reason)
  if reason ~= THE_END then print("websocket server dead, reason: ", reason) end
end)

local host, port = listener:address()

coromega:start_new(function()
  local conn, err = coromega:connect_to_websocket(("ws://%s:%d"):format(host, port))
  if not conn then error(err) end

  local resume -- wakes this coroutine when an answer has come to the callback
  conn:when_new_msg(function(msg)
    if msg == nil then return end -- closed
    print("websocket client received (not intercepted): ", msg)
    resume()
  end)

  conn:send_message("client hello")
  print("websocket client received (first message): ", (conn:receive_message()))

  for number = 1, 2 do
    resume = coromega:get_resume()
    conn:send_message("client hello " .. number)
    coromega:pause()
  end
  for number = 3, 4 do
    conn:send_message("client hello " .. number)
    print("websocket client received: ", (conn:receive_message()))
  end

  conn:close()
  listener:close(THE_END)
end)

coromega:run()
