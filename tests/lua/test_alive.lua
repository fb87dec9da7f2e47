-- S28: pings, pongs and dead peers.
local T = require("harness")
local coromega = T.coromega

local function compute(seconds)
  local stop = coromega:now() + seconds
  while coromega:now() < stop do end
end

T.test("S28_a_script_that_computes_keeps_its_connections", function()
  local options = { ping_interval = 0.02, ping_timeout = 0.5 }
  local client, server = T.pair(options, options)
  compute(1.5)
  T.eq(client:send_message("still here"), nil)
  T.eq(server:receive_message(), "still here")
  for _, conn in ipairs({ client, server }) do
    local last, smoothed = conn:latency()
    T.ok(last > 0 and last < 0.5 and smoothed > 0 and smoothed < 0.5, last)
  end
end)

T.test("S28_a_dead_peer_is_noticed_while_the_script_computes", function()
  local listener, accept = T.acceptor({ ping_interval = 0.05, ping_timeout = 0.2 })
  local peer = T.peer("numbered", T.port(listener), 2)
  local server = accept()
  T.eq(server:latency(), nil)
  compute(1)
  local count = 0
  local message, why, code, reason
  repeat
    message, why, code, reason = server:receive_message()
    if message then count = count + 1 end
  until not message
  T.eq(count, 2)
  T.eq(why, "closed")
  T.eq(code, 1011)
  T.eq(reason, "no pong within ping_timeout")
  peer.expect("^CLOSE 1011 no pong within ping_timeout")
end)

T.test("S28_a_script_can_ask_for_a_round_trip", function()
  local client, server = T.pair({ ping_interval = 0 }, { ping_interval = 0 })
  T.eq(client:latency(), nil)
  local both = 0
  for _ = 1, 2 do
    coromega:start_new(function()
      if client:ping() > 0 then both = both + 1 end
    end)
  end
  local round_trip, err = client:ping()
  T.eq(err, nil)
  T.eq(round_trip, (client:latency()))
  T.ok(round_trip > 0 and round_trip < 5, round_trip)
  T.wait(function() return both == 2 end)
  server:close()
  T.eq(client:receive_message(), nil)
  T.eq(select(2, client:ping()), "closed")
end)

T.test("S28_a_ping_ends_with_its_connection", function()
  local listener, accept = T.acceptor({ ping_interval = 0, ping_timeout = 0.2 })
  T.peer("numbered", T.port(listener), 0)
  local round_trip, why = accept():ping()
  T.eq(round_trip, nil)
  T.eq(why, "closed")
end)

T.test("S28_pings_are_an_option", function()
  local client, err = coromega:connect_to_websocket("ws://127.0.0.1:1/", nil, { ping_interval = -1 })
  T.eq(client, nil)
  T.ok(err:find("ping_interval", 1, true), err)
end)
