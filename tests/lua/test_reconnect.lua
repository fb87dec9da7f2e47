-- Connections with the option reconnect (S36).
local T = require("harness")
local coromega = T.coromega

local function options(more)
  local all = { reconnect = true, reconnect_delay = 0.02, reconnect_max_delay = 0.1 }
  for name, value in pairs(more or {}) do all[name] = value end
  return all
end

local function open(more)
  local listener, accept = T.acceptor()
  local client = T.keep(coromega:connect_to_websocket(T.url(listener), nil, options(more)))
  local told = { lost = {}, back = 0 }
  client:when_lost(function(why, code) told.lost[#told.lost + 1] = { why, code } end)
  client:when_back(function() told.back = told.back + 1 end)
  return client, accept, told, listener
end

T.test("S36_a_connection_that_is_lost_comes_back", function()
  local client, accept, told = open()
  local server = accept()
  local received
  coromega:start_new(function() received = client:receive_message() end)
  for n = 1, 3 do
    server:close(1012, "restart")
    server = accept()
    T.wait(function() return told.back == n end, "it to come back")
    T.eq(#told.lost, n)
    T.eq(told.lost[n][1], "restart")
    T.eq(told.lost[n][2], 1012)
  end
  -- Who waited for a message waits on.
  server:send_message("hello")
  T.wait(function() return received end, "the message")
  T.eq(received, "hello")
  T.eq(client:send_message("there"), nil)
  T.eq(server:receive_message(), "there")
  client:close()
  T.eq(server:receive_message(), nil)
  local none, why, code = client:receive_message()
  T.eq(none, nil)
  T.eq(why, "closed")
  T.eq(code, 1000)
  T.eq(#told.lost, 3)
end)

T.test("S36_sends_while_it_is_away_are_refused", function()
  local client, accept, told, listener = open()
  local server = accept()
  listener:close()
  server:close(1012)
  T.wait(function() return told.lost[1] end, "its loss")
  T.eq(client:send_message("x"), "away")
  local pong, err = client:ping()
  T.eq(pong, nil)
  T.eq(err, "away")
  -- Each attempt that fails is told.
  T.wait(function() return told.lost[3] end, "two attempts")
  T.match(told.lost[3][1], "connection refused")
  T.eq(told.lost[3][2], nil)
  client:close()
  T.eq(client:receive_message(), nil)
  T.eq(client:send_message("x"), "closed")
  T.eq(told.back, 0)
end)

T.test("S36_sends_while_it_is_away_are_kept", function()
  local client, accept, told = open({ reconnect_buffer = 1000 })
  local server = accept()
  server:close(1012)
  T.wait(function() return told.lost[1] end, "its loss")
  local done
  -- Nine fit; the others wait for their turn.
  coromega:start_new(function()
    for n = 1, 20 do T.eq(client:send_message(("message %02d, of 32 bytes or more"):format(n)), nil) end
    done = true
  end)
  server = accept()
  for n = 1, 20 do T.match(server:receive_message(), ("^message %02d"):format(n)) end
  T.ok(done)
end)

T.test("S36_what_the_server_decides_is_final", function()
  local client, accept, told = open()
  accept():close(4000, "go away")
  local none, _, code, reason = client:receive_message()
  T.eq(none, nil)
  T.eq(code, 4000)
  T.eq(reason, "go away")
  T.eq(#told.lost, 0)
end)

T.test("S36_errors_in_its_callbacks_are_reported", function()
  local client, accept = open()
  client:when_lost(function() error("in when_lost") end)
  client:when_back(function() error("in when_back") end)
  accept():close(1012)
  accept()
  local reports = {}
  T.wait(function()
    for _, report in ipairs(T.reports()) do reports[#reports + 1] = report end
    return #reports >= 2
  end, "the reports")
  T.match(reports[1], "in when_lost")
  T.match(reports[2], "in when_back")
end)

T.done()
