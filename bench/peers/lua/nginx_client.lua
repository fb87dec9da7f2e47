-- The client in nginx: a timer with one light thread for each connection, which is how cosockets are
-- used outside of requests. Ends the process when it has measured.
local client = require("nginx.websocket.client")

local function now()
  ngx.update_time()
  return ngx.now()
end

local function fail(err)
  io.stderr:write("nginx_client.lua: ", tostring(err), "\n")
  os.exit(1)
end

return function(url, size, connections, depth, seconds, warmup)
  local payload = ("x"):rep(size)
  local received, ready = 0, 0

  local function converse()
    local wb = client:new({ max_payload_len = 2 * 1024 * 1024 })
    local ok, err = wb:connect(url)
    if not ok then fail(err) end
    ready = ready + 1
    while ready < connections do ngx.sleep(0.01) end
    for _ = 1, depth do
      local sent, why = wb:send_binary(payload)
      if not sent then fail(why) end
    end
    while true do
      local data, typ, why = wb:recv_frame()
      if not data then fail(why) end
      if typ == "binary" then
        if #data ~= size then fail("a message of the wrong size came back") end
        received = received + 1
        local sent, trouble = wb:send_binary(payload)
        if not sent then fail(trouble) end
      end
    end
  end

  for _ = 1, connections do ngx.thread.spawn(converse) end
  while ready < connections do ngx.sleep(0.01) end
  ngx.sleep(warmup)
  local messages, cpu, start = received, os.clock(), now()
  ngx.sleep(seconds)
  cpu, messages, seconds = os.clock() - cpu, received - messages, now() - start
  io.stdout:write(('{"messages": %d, "cpu_us": %.0f, "seconds": %.6f}\n'):format(messages, cpu * 1e6, seconds))
  io.stdout:flush()
  os.exit(0)
end
