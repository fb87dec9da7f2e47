-- S10 to S12: listeners.
local T = require("harness")
local coromega = T.coromega

T.plain("S10_the_port_is_bound_when_the_call_returns", function()
  local listener = T.server()
  local host, port = listener:address()
  T.eq(host, "127.0.0.1")
  T.ok(port > 0 and port < 65536)
  T.eq(select("#", listener:address()), 2)
end)

T.test("S10_a_port_in_use_goes_to_when_dead", function()
  local port = T.port(T.server())
  local listener = coromega:create_websocket_server("127.0.0.1", port)
  local calls, reason = 0, nil
  T.ok(listener:when_new_conn(function() end):when_dead(function(text)
    calls, reason = calls + 1, text
  end) == listener)
  T.eq(calls, 0)
  T.wait(function() return calls > 0 end)
  T.match(reason, "^listen on 127%.0%.0%.1:" .. port .. ": .*in use")
  coromega:sleep(0.02)
  T.eq(calls, 1)
  T.eq(#T.reports(), 0)
  T.eq(listener:address(), nil)
  T.eq(listener:close(), nil)
end)

T.plain("S10_nobody_listens_for_the_failure", function()
  local port = T.port(T.server())
  local listener = coromega:create_websocket_server("127.0.0.1", port)
  coromega:poll(0)
  local reports = T.reports()
  T.eq(#reports, 1)
  T.match(reports[1], "in use")
  coromega:poll(0)
  T.eq(#T.reports(), 0)
  -- Set later, when_dead gets it all the same.
  local reason
  listener:when_dead(function(text) reason = text end)
  T.eq(reason, nil)
  coromega:poll(1)
  T.match(reason, "in use")
end)

T.test("S10_hosts_and_ports_that_are_none", function()
  local function fails(host, port, pattern, options)
    local reason
    coromega:create_websocket_server(host, port, options):when_dead(function(text) reason = text end)
    T.match(T.wait(function() return reason end), pattern)
  end
  fails("127.0.0.1", 65536, "65536")
  fails("127.0.0.1", -1, "-1")
  fails("127.0.0.1", 1.5, "1%.5")
  fails("127.0.0.1", 0 / 0, "nan")
  fails("no-such-host.invalid", 0, "no%-such%-host")
  fails("203.0.113.1", 0, "listen on 203%.0%.113%.1")
  fails("", 0, "listen on")
  fails("127.0.0.1", 0, "no_such_option", { no_such_option = 1 })
  fails("127.0.0.1", 0, "read_limit", { read_limit = -5 })
end)

T.test("S11_each_client_gets_a_coroutine", function()
  local listener = T.server()
  local threads = {}
  listener:when_new_conn(function(conn)
    T.keep(conn)
    threads[#threads + 1] = coroutine.running()
    T.wait(function() return #threads == 5 end)
  end)
  for _ = 1, 5 do T.keep(coromega:connect_to_websocket(T.url(listener))) end
  T.wait(function() return #threads == 5 end)
  for a = 1, 5 do
    for b = a + 1, 5 do T.ok(threads[a] ~= threads[b]) end
  end
end)

T.test("S11_clients_wait_for_the_callback", function()
  local listener = T.server()
  local clients = {}
  for n = 1, 20 do
    clients[n] = T.keep(coromega:connect_to_websocket(T.url(listener)))
    clients[n]:send_message("from " .. n)
  end
  coromega:sleep(0.05)
  local got, count = {}, 0
  listener:when_new_conn(function(conn)
    T.keep(conn)
    count = count + 1
    got[conn:receive_message()] = true
  end)
  T.eq(count, 0)
  T.wait(function() return count == 20 end)
  for n = 1, 20 do T.wait(function() return got["from " .. n] end) end
end)

T.test("S11_replaced_and_removed", function()
  local listener = T.server()
  local first, second = 0, 0
  listener:when_new_conn(function(conn) T.keep(conn) first = first + 1 end)
  listener:when_new_conn(function(conn) T.keep(conn) second = second + 1 end)
  T.keep(coromega:connect_to_websocket(T.url(listener)))
  T.wait(function() return second == 1 end)
  listener:when_new_conn(nil)
  T.keep(coromega:connect_to_websocket(T.url(listener)))
  coromega:sleep(0.05)
  T.eq(first + second, 1)
  listener:when_new_conn(function(conn) T.keep(conn) first = first + 1 end)
  T.wait(function() return first == 1 end)
end)

T.test("S12_close_stops_accepting_and_tells_once", function()
  local client, server, listener = T.pair()
  local calls, reason = 0, nil
  T.ok(listener:when_dead(function(text) calls, reason = calls + 1, text end) == listener)
  local url = T.url(listener)
  T.eq(select("#", listener:close("maintenance")), 0)
  T.eq(calls, 0)
  T.wait(function() return calls == 1 end)
  T.eq(reason, "maintenance")
  T.eq(listener:close("again"), nil)
  coromega:sleep(0.02)
  T.eq(calls, 1)
  T.match(select(2, coromega:connect_to_websocket(url)), "refused")
  -- Connections already handed over live on.
  T.eq(client:send_message("still"), nil)
  T.eq(server:receive_message(), "still")
  T.eq(server:send_message("here"), nil)
  T.eq(client:receive_message(), "here")
end)

T.test("S12_when_dead_set_later", function()
  local listener = T.server()
  listener:close()
  coromega:sleep(0.05)
  local calls, reason = 0, nil
  listener:when_dead(function(text) calls, reason = calls + 1, text end)
  T.wait(function() return calls == 1 end)
  T.eq(reason, "closed")
  listener:when_dead(function() calls = calls + 1 end)
  coromega:sleep(0.02)
  T.eq(calls, 1)
end)

T.test("S12_those_who_wait_are_closed_with_1001", function()
  local listener = T.server()
  local client = T.keep(coromega:connect_to_websocket(T.url(listener)))
  coromega:sleep(0.05)
  listener:close()
  local message, why, code = client:receive_message()
  T.eq(message, nil)
  T.eq(why, "closed")
  T.eq(code, 1001)
end)

T.test("S12_wrong_options_of_a_close_leave_it_open", function()
  local listener = T.server()
  T.match(listener:close("bye", { nonsense = 1 }), "nonsense")
  T.match(listener:close("bye", { drain = 0 }), "drain")
  T.match(listener:close(("x"):rep(124), { drain = 1 }), "123")
  T.raises("number of seconds", function() listener:close("bye", { drain = "soon" }) end)
  T.ok(listener:address(), "it is open still")
end)

T.test("S12_a_drained_listener_closes_its_connections_and_waits_for_their_end", function()
  local listener, ends, dead = T.server(), 0, nil
  listener:when_new_conn(function(conn)
    conn:when_new_msg(function(message, code, reason)
      if message == nil then
        T.eq(code, 1001)
        T.eq(reason, "maintenance")
        ends = ends + 1
      end
    end)
  end)
  listener:when_dead(function(reason) dead = reason end)
  T.eq(#listener:connections(), 0)
  local clients = {}
  for place = 1, 100 do clients[place] = coromega:connect_to_websocket(T.url(listener)) end
  T.wait(function() return #listener:connections() == 100 end)
  local conn = listener:connections()[1]
  T.eq(conn, listener:connections()[1])
  T.eq(listener:close("maintenance", { drain = 0.4 }), nil)
  T.eq(ends, 100)
  T.eq(#listener:connections(), 0)
  T.wait(function() return dead end)
  T.eq(dead, "maintenance")
  for _, client in ipairs(clients) do
    local message, _, code = client:receive_message()
    T.eq(message, nil)
    T.eq(code, 1001)
  end
end)

T.test("S12_a_listener_nobody_references_lives_on", function()
  local port
  do
    local listener = coromega:create_websocket_server("127.0.0.1", 0)
    port = T.port(listener)
    listener:when_new_conn(function(conn)
      conn:send_message("alive")
      listener:close()
    end)
  end
  T.collect()
  local client = coromega:connect_to_websocket("ws://127.0.0.1:" .. port)
  T.eq(client:receive_message(), "alive")
end)

T.test("S12_the_when_dead_callback_may_wait", function()
  local listener = T.server()
  local done = false
  listener:when_dead(function()
    coromega:sleep(0.001)
    done = true
  end)
  listener:close()
  T.wait(function() return done end)
end)

T.done()
