-- What test_interrupt.lua interrupts: a program in run(), idle or in full traffic.
local coromega = require("coromega_ws")
local kind = arg[1]

-- What sends a message each millisecond, as a process of its own.
if kind == "trickler" then
  coromega:start_new(function()
    local conn = coromega:connect_to_websocket("ws://127.0.0.1:" .. arg[2])
    while not conn:send_message("drop") do coromega:sleep(0.001) end
  end)
  coromega:run()
  return
end

coromega:on_error(function(text) io.stderr:write("REPORTED ", text, "\n") end)

local listener = coromega:create_websocket_server("127.0.0.1", 0)
local _, port = listener:address()
local connect = function() return coromega:connect_to_websocket("ws://127.0.0.1:" .. port) end

-- Answers messages, and gets Ctrl-C with the first.
if kind == "first" then
  listener:when_new_conn(function(conn)
    local interrupted = false
    conn:when_new_msg(function(message)
      if not interrupted then
        interrupted = true
        io.popen("kill -INT $PPID"):close()
      end
      if message then conn:send_message(message) end
    end)
  end)
  print("PORT " .. port)
  io.stdout:flush()
  coromega:run()
  return
end

listener:when_new_conn(function(conn)
  if kind == "loops" then
    while true do
      local message = conn:receive_message()
      if message == nil then return end
      conn:send_message(message)
    end
  end
  conn:when_new_msg(function(message)
    if kind == "pcalls" then
      coromega.pcall(function() if message then conn:send_message(message) end end)
    elseif message then
      conn:send_message(message)
    end
  end)
end)

if kind == "sleeps" then
  coromega:start_new(function() while true do coromega:sleep(0) end end)
elseif kind == "trickle" then
  os.execute(("%s %s trickler %d >/dev/null 2>&1 &"):format(arg[-1], arg[0], port))
elseif kind ~= "idle" then
  for _ = 1, kind == "one" and 1 or 10 do
    coromega:start_new(function()
      local conn = connect()
      if kind == "loops" then
        for _ = 1, 16 do conn:send_message("traffic") end
        while true do conn:send_message((conn:receive_message())) end
      end
      conn:when_new_msg(function(message) if message then conn:send_message(message) end end)
      for _ = 1, kind == "one" and 1 or 16 do conn:send_message("traffic") end
    end)
  end
end

coromega:start_new(function()
  coromega:sleep(0.2)
  print("READY")
  io.stdout:flush()
end)
coromega:run()
