-- Our client in Lua: a coroutine for each connection, which waits for one answer after the other, as
-- in examples/lua/client.lua.
--
--   lua client.lua --client URL --size N --connections C --depth D --seconds S --warmup W
local coromega = require("coromega_ws")

local given = {}
for place = 1, #arg, 2 do
  given[arg[place]] = arg[place + 1]
end
local url, size = given["--client"], tonumber(given["--size"])
local connections, depth = tonumber(given["--connections"]), tonumber(given["--depth"])
local seconds, warmup = tonumber(given["--seconds"]), tonumber(given["--warmup"])
if not (url and size and connections and depth and seconds and warmup) then
  io.stderr:write("usage: client.lua --client URL --size N --connections C --depth D --seconds S ",
    "--warmup W\n")
  os.exit(2)
end

local options = { compression = false, max_message_size = 2 * 1024 * 1024 }
local payload = ("x"):rep(size)
local received = 0

local function fail(err)
  io.stderr:write("client.lua: ", tostring(err), "\n")
  os.exit(1)
end

local function converse(conn)
  for _ = 1, depth do
    local err = conn:send_binary(payload)
    if err then fail(err) end
  end
  while true do
    local message, why = conn:receive_message()
    if not message then fail(why) end
    if #message ~= size then fail("a message of the wrong size came back") end
    received = received + 1
    local err = conn:send_binary(payload)
    if err then fail(err) end
  end
end

coromega:start_new(function()
  local conns = {}
  for place = 1, connections do
    local conn, err = coromega:connect_to_websocket(url, nil, options)
    if not conn then fail(err) end
    conns[place] = conn
  end
  for _, conn in ipairs(conns) do coromega:start_new(function() converse(conn) end) end
  coromega:sleep(warmup)
  -- On Linux os.clock() is the CPU time of the process.
  local messages, cpu, start = received, os.clock(), coromega:now()
  coromega:sleep(seconds)
  cpu, messages, seconds = os.clock() - cpu, received - messages, coromega:now() - start
  print(('{"messages": %d, "cpu_us": %.0f, "seconds": %.6f}'):format(messages, cpu * 1e6, seconds))
  io.stdout:flush()
  os.exit(0)
end)

coromega:run()
