-- S20: one message for many connections.
local T = require("harness")
local coromega = T.coromega

-- So many clients' connections, and the server's ends of them.
local function room(count, server_options, client_options)
  local listener, accept = T.acceptor(server_options)
  local clients, servers = {}, {}
  for n = 1, count do
    clients[n] = T.keep(coromega:connect_to_websocket(T.url(listener), nil, client_options))
    servers[n] = accept()
  end
  return clients, servers
end

-- A room of two, of which the first does not receive, and takes no more.
local function stuck()
  local clients, servers = room(2, { write_limit = 4096 }, { read_limit = 4096 })
  local filler = ("."):rep(8000)
  local filled = 0
  repeat
    local accepted = coromega:send_to_many({ servers[1] }, filler, { slow = "drop_newest" })
    filled = filled + accepted
    if accepted == 0 then coromega:sleep(0.05) end
  until accepted == 0 and coromega:send_to_many({ servers[1] }, filler, { slow = "drop_newest" }) == 0
  return clients, servers
end

-- What comes behind what filled it.
local function next_of(conn)
  local message
  repeat message = conn:receive_message() until not message or message:sub(1, 1) ~= "."
  return message
end

T.test("S20_one_message_for_many_connections", function()
  local clients, servers = room(10)
  local accepted, errors = coromega:send_to_many(servers, "hello")
  T.eq(accepted, 10)
  T.eq(errors, nil)
  T.eq(coromega:send_to_many(servers, "\0\255", { binary = true, compress = false }), 10)
  for _, client in ipairs(clients) do
    T.eq(client:receive_message(), "hello")
    local bytes, kind = client:receive_message()
    T.eq(bytes, "\0\255")
    T.eq(kind, "binary")
  end
  servers[3]:close()
  accepted, errors = coromega:send_to_many(servers, "again", { slow = "close" })
  T.eq(accepted, 9)
  T.eq(errors[servers[3]], "closed")
  T.eq(coromega:send_to_many({}, "nobody"), 0)
  local none, err = coromega:send_to_many(servers, "\255")
  T.eq(none, nil)
  T.match(err, "UTF%-8")
  -- From clients, too.
  T.eq(coromega:send_to_many({ clients[1], clients[2] }, "back"), 2)
  T.eq(servers[1]:receive_message(), "back")
end)

T.test("S20_a_slow_receiver_is_waited_for", function()
  local clients, servers = stuck()
  local accepted
  coromega:start_new(function() accepted = coromega:send_to_many(servers, "1") end)
  T.eq(clients[2]:receive_message(), "1")
  T.eq(accepted, nil)
  -- Whoever waits already comes first.
  local second
  coromega:start_new(function() second = coromega:send_to_many(servers, "2") end)
  T.eq(clients[2]:receive_message(), "2")
  T.eq(next_of(clients[1]), "1")
  T.eq(clients[1]:receive_message(), "2")
  T.eq(accepted, 2)
  T.eq(second, 2)
end)

T.test("S20_a_slow_receiver_misses_the_newest_or_the_oldest_or_is_closed", function()
  local clients, servers = stuck()
  local accepted, errors = coromega:send_to_many(servers, "missed", { slow = "drop_newest" })
  T.eq(accepted, 1)
  T.eq(errors[servers[1]], "would block")
  T.eq(clients[2]:receive_message(), "missed")
  local filler = ("x"):rep(1000)
  for n = 1, 50 do
    T.eq(coromega:send_to_many(servers, ("%02d"):format(n) .. filler, { slow = "drop_oldest" }), 2)
    T.eq(clients[2]:receive_message():sub(1, 2), ("%02d"):format(n))
  end
  for n = 48, 50 do T.eq(next_of(clients[1]):sub(1, 2), tostring(n)) end

  clients, servers = stuck()
  accepted, errors = coromega:send_to_many(servers, "missed", { slow = "close" })
  T.eq(accepted, 1)
  T.eq(errors[servers[1]], "closed")
  T.eq(next_of(clients[1]), nil)
  T.eq(clients[1]:info().close_code, 1008)
end)

T.test("S20_what_is_no_connection_or_option_is_refused", function()
  local _, servers = room(1)
  T.raises("there is no option policy", function() coromega:send_to_many(servers, "x", { policy = 1 }) end)
  T.raises("option slow is", function() coromega:send_to_many(servers, "x", { slow = "never" }) end)
  T.raises("boolean", function() coromega:send_to_many(servers, "x", { binary = 1 }) end)
  T.raises("not a connection", function() coromega:send_to_many({ {} }, "x") end)
  T.raises("sequence", function() coromega:send_to_many(nil, "x") end)
  T.raises("string", function() coromega:send_to_many(servers, 5) end)
end)

T.done()
