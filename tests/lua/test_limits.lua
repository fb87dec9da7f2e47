-- S29, S30: memory stays bounded, whatever a peer does.
local T = require("harness")
local coromega = T.coromega

local MIB = 1024 * 1024

-- The highest memory seen while `during` is true, above what it was before.
local function growth(before, during)
  local most = 0
  while during() do
    most = math.max(most, T.memory() - before)
    coromega:sleep(0.02)
  end
  return most
end

T.test("S29_a_script_that_never_receives_stops_the_peer", function()
  local listener, accept = T.acceptor({ read_limit = 256 * 1024 })
  T.collect()
  local before = T.memory()
  local peer = T.peer("flood", T.port(listener), 1000, 2)
  local server = accept()
  local stop = coromega:now() + 1.5
  local most = growth(before, function() return coromega:now() < stop end)
  T.ok(most < 24 * MIB, most)
  local sent = tonumber(peer.expect("^SENT (%d+)"))
  T.ok(sent < 64 * MIB, sent)
  -- Other connections went on, and what was sent arrives once the script does receive.
  T.eq(#server:receive_message(), 1000)
  peer.forget()
end)

T.test("S29_everything_arrives_once_the_script_receives", function()
  local client, server = T.pair({ read_limit = 16 * 1024 })
  local chunk = ("r"):rep(1000)
  local sent = 0
  coromega:start_new(function()
    for n = 1, 10000 do
      T.eq(client:send_message(n .. " " .. chunk), nil)
      sent = n
    end
  end)
  coromega:sleep(0.3)
  T.ok(sent < 10000, "the peer was not stopped")
  for n = 1, 10000 do T.eq(server:receive_message(), n .. " " .. chunk) end
end)

T.test("S29_other_connections_go_on", function()
  local listener, accept = T.acceptor({ read_limit = 64 * 1024 })
  local peer = T.peer("flood", T.port(listener), 10000, 2)
  local stuck = accept()
  local client = T.keep(coromega:connect_to_websocket(T.url(listener)))
  local server = accept()
  for n = 1, 100 do
    client:send_message(tostring(n))
    T.eq(server:receive_message(10), tostring(n))
  end
  peer.expect("^SENT")
  T.eq(#stuck:receive_message(), 10000)
  peer.forget()
end)

-- S20: a peer that sends and never reads, against an echo.
local function never_reads(name, echo)
  T.test(name, function()
    local listener = T.server({ read_limit = 256 * 1024 })
    local ended = false
    listener:when_new_conn(function(conn) echo(T.keep(conn), function() ended = true end) end)
    T.collect()
    local before = T.memory()
    local peer = T.peer("flood", T.port(listener), 1000, 1.5)
    local most = growth(before, function() return not ended end)
    T.ok(most < 32 * MIB, most)
    T.ok(tonumber(peer.expect("^SENT (%d+)")) > 100000)
    peer.forget()
  end)
end

never_reads("S20_a_peer_that_never_reads_against_a_callback", function(conn, ended)
  conn:when_new_msg(function(message)
    if message == nil then return ended() end
    conn:send_message(message)
  end)
end)

never_reads("S20_a_peer_that_never_reads_against_a_loop", function(conn, ended)
  while true do
    local message = conn:receive_message()
    if message == nil or conn:send_message(message) then break end
  end
  ended()
end)

T.test("S30_a_message_over_max_message_size_ends_with_1009", function()
  local client, server = T.pair({ max_message_size = 1000 })
  T.eq(client:send_message(("m"):rep(1000)), nil)
  T.eq(#server:receive_message(), 1000)
  client:send_message(("m"):rep(1001))
  local message, why, code = server:receive_message()
  T.eq(message, nil)
  T.eq(why, "closed")
  T.eq(code, 1009)
  T.eq(select(3, client:receive_message()), 1009)
end)

T.test("S30_the_default_is_one_mebibyte", function()
  local client, server = T.pair()
  client:send_binary(("m"):rep(MIB))
  T.eq(#server:receive_message(), MIB)
  client:send_binary(("m"):rep(MIB + 1))
  T.eq(select(3, server:receive_message()), 1009)
end)

T.test("S30_large_messages_where_they_are_allowed", function()
  local client, server = T.pair({ max_message_size = 32 * MIB })
  local parts = {}
  for n = 1, 4096 do parts[n] = ("%08d"):format(n):rep(512) end
  local large = table.concat(parts)
  T.eq(client:send_message(large), nil)
  T.ok(server:receive_message(60) == large)
end)

T.test("S30_a_declared_size_is_not_reserved", function()
  local listener, accept = T.acceptor({ max_message_size = 2 ^ 30, close_timeout = 0.2 })
  T.collect()
  local before = T.memory()
  local peer = T.peer("bad_frame", T.port(listener), "declared")
  local server = accept()
  coromega:sleep(0.2)
  T.ok(T.memory() - before < 32 * MIB)
  server:when_new_msg(nil)
  peer.forget()
  server:close()
end)

T.done()
