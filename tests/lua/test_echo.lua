-- S14, S20: no message lost, none twice, order kept. ECHO_MESSAGES sets how many.
local T = require("harness")
local coromega = T.coromega

local TOTAL = tonumber(os.getenv("ECHO_MESSAGES") or "") or 20000
local CONNECTIONS = 100

-- Mixed sizes, mostly small; the content tells connection and number.
local sizes = { 0, 1, 10, 100, 125, 126, 127, 500, 1000, 2000, 65, 30, 4000, 60, 16000, 66000 }
local function content(connection, n)
  local head = ("%d:%d:"):format(connection, n)
  local size = sizes[(connection * 7 + n) % #sizes + 1]
  if size == 66000 and n % 8 ~= 0 then size = 200 end
  return head .. (("%d"):format(n % 10)):rep(size)
end

local function echo(how)
  local listener = T.server()
  listener:when_new_conn(function(conn)
    T.keep(conn)
    if how == "loop" then
      while true do
        local message, kind = conn:receive_message()
        if message == nil then return end
        if kind == "binary" then conn:send_binary(message) else conn:send_message(message) end
      end
    end
    conn:when_new_msg(function(message, kind)
      if kind == "binary" then
        conn:send_binary(message)
      elseif message then
        conn:send_message(message)
      end
    end)
  end)
  local each = math.ceil(TOTAL / CONNECTIONS)
  local finished = 0
  for connection = 1, CONNECTIONS do
    coromega:start_new(function()
      local conn = T.keep(assert(coromega:connect_to_websocket(T.url(listener))))
      coromega:start_new(function()
        for n = 1, each do
          local text = content(connection, n)
          local err
          if n % 3 == 0 then err = conn:send_binary(text) else err = conn:send_message(text) end
          T.eq(err, nil)
          if n % 50 == 0 then coromega:sleep(0) end
        end
      end)
      local function check(n, message, kind)
        T.ok(message == content(connection, n), ("message %d of connection %d"):format(n, connection))
        T.eq(kind, n % 3 == 0 and "binary" or nil)
      end
      if connection % 2 == 0 then
        for n = 1, each do check(n, conn:receive_message()) end
        T.eq(select(2, conn:receive_message(0.05)), "timeout")
        finished = finished + 1
      else
        local n = 0
        conn:when_new_msg(function(message, kind)
          if message == nil then return end
          n = n + 1
          check(n, message, kind)
          if n == each then finished = finished + 1 end
        end)
      end
    end)
  end
  T.wait(function() return finished == CONNECTIONS end, "all echoes", 280)
end

T.test("S14_echo_through_callbacks", function() echo("callback") end)
T.test("S14_echo_through_loops", function() echo("loop") end)

T.done()
