-- What test_interrupt.lua has go on: so many messages each lie ready for five connections when run() begins,
-- and Ctrl-C comes with one of these. Tells what the next run() brings.
local coromega = require("coromega_ws")
local kind, count, at = arg[1], tonumber(arg[2]), tonumber(arg[3])

local function wait(condition, sleep)
  local deadline = coromega:now() + 30
  while not condition() do
    assert(coromega:now() < deadline, "waited in vain")
    sleep(coromega, 0.001)
  end
end

local listener = coromega:create_websocket_server("127.0.0.1", 0)
local _, port = listener:address()
local servers, clients = {}, {}
listener:when_new_conn(function(conn) servers[#servers + 1] = conn end)
coromega:start_new(function()
  for n = 1, 5 do clients[n] = coromega:connect_to_websocket("ws://127.0.0.1:" .. port) end
  wait(function() return #servers == 5 end, coromega.sleep)
  coromega:halt()
end)
coromega:run()

local taken = 0
local function listen()
  for _, conn in ipairs(clients) do
    conn:when_new_msg(function(message)
      if not message then return end
      conn:send_message(message)
      taken = taken + 1
      if taken == at then io.popen("kill -INT $PPID"):close() end
      if kind == "waits" then coromega:sleep(0) end
    end)
  end
end

if kind == "waits" then
  listen()
  coromega:poll()
end
local answers, texts = 0, {}
for n, conn in ipairs(servers) do
  local list = {}
  texts[n] = list
  conn:when_new_msg(function(message)
    if not message then return end
    list[#list + 1] = message
    answers = answers + 1
    if #list == count then conn:send_message("later") end
    if answers == 5 * (count + 1) then coromega:halt() end
  end)
  for number = 1, count do conn:send_message(tostring(number)) end
end
for _, conn in ipairs(clients) do
  wait(function() return conn:info().messages_received == count end, coromega.sleep)
end
if kind == "late" then
  -- Of the servers, whose callbacks are new, and of the messages, which nobody takes yet.
  local events = 0
  wait(function() return events >= 10 end, function() events = events + coromega:poll(1) end)
  listen()
end

print("ENDED", select(2, pcall(coromega.run, coromega)))
coromega:start_new(function()
  coromega:sleep(30)
  coromega:halt()
end)
coromega:run()
for n = 1, 5 do print("ANSWERS", table.concat(texts[n], " ")) end
print("DONE")
io.stdout:flush()
