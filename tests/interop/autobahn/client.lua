-- The client that is tested: plays every case of the Autobahn TestSuite's fuzzing server.
--
--   lua client.lua ws://127.0.0.1:9001 AGENT [--OPTION NUMBER] ...
--
-- It asks how many cases there are, echoes whatever comes in each of them until the server closes,
-- and asks for the reports. The options are the library's, with - for _.
local coromega = require("coromega_ws")

-- The suite gives a single case eight minutes at most.
local PATIENCE = 600

local base, agent, options = arg[1], arg[2], {}
for place = 3, #arg, 2 do
  options[(arg[place]:gsub("^%-%-", ""):gsub("-", "_"))] = tonumber(arg[place + 1])
end

-- Connects, and hands on each message until the server closes.
local function visit(path, take)
  local conn, err = coromega:connect_to_websocket(base .. path, nil, options)
  if not conn then
    io.stderr:write("client.lua: ", path, ": ", err, "\n")
    return
  end
  while true do
    local message, kind = conn:receive_message(PATIENCE)
    if message == nil then
      assert(kind == "closed", kind)
      return
    end
    take(conn, message, kind)
  end
end

-- A send fails where the connection is closing: then nobody wants the answer any more.
local function echo(conn, message, kind)
  if kind == "binary" then
    conn:send_binary(message)
  else
    conn:send_message(message)
  end
end

local done
coromega:start_new(function()
  local cases
  visit("/getCaseCount", function(_, message) cases = tonumber(message) end)
  assert(cases, "no number of cases was told")
  for case = 1, cases do
    visit(("/runCase?case=%d&agent=%s"):format(case, agent), echo)
  end
  visit("/updateReports?agent=" .. agent, echo)
  done = true
end)

coromega:run()
if not done then os.exit(1) end
