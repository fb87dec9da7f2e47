-- Sends messages to a WebSocket server and prints its answers, one for each.
--
--   lua client.lua URL [MESSAGE ...]
--
-- Without messages it sends the lines of its standard input.
local coromega = require("coromega_ws")

local url = arg[1]
if not url then
  io.stderr:write("usage: client.lua URL [MESSAGE ...]\n")
  os.exit(2)
end

local failed = false

local function complain(...)
  io.stderr:write("client.lua: ", ...)
  io.stderr:write("\n")
  failed = true
end

-- True if there was an answer.
local function ask(conn, message)
  local err = conn:send_message(message)
  if err then return complain(err) end
  local answer, why, code, reason = conn:receive_message()
  if answer == nil then return complain(why, ", code ", tostring(code), " ", reason) end
  if why == "binary" then answer = ("%d bytes"):format(#answer) end
  print(answer)
  return true
end

coromega:start_new(function()
  local conn, err = coromega:connect_to_websocket(url)
  if not conn then return complain(err) end
  if arg[2] then
    for place = 2, #arg do
      if not ask(conn, arg[place]) then return end
    end
  else
    for line in io.lines() do
      if not ask(conn, line) then return end
    end
  end
  conn:close()
end)

coromega:run()
if failed then os.exit(1) end
