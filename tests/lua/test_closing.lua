-- S22 to S26: how connections end.
local T = require("harness")
local coromega = T.coromega

local function count(...) return select("#", ...), ... end

T.test("S22_what_arrived_before_the_end_comes_first", function()
  local listener, accept = T.acceptor()
  local peer = T.peer("sends_and_closes", T.port(listener), 100, 3001, "done")
  local server = accept()
  peer.expect("^END")
  for n = 1, 100 do T.eq(server:receive_message(), tostring(n)) end
  local n, message, why, code, reason = count(server:receive_message())
  T.eq(n, 4)
  T.eq(message, nil)
  T.eq(why, "closed")
  T.eq(code, 3001)
  T.eq(reason, "done")
  peer.forget()
end)

T.test("S22_every_waiting_receive_returns_nil_and_the_callback_is_told_once", function()
  local client, server = T.pair()
  local ended, calls = 0, {}
  for _ = 1, 3 do
    coromega:start_new(function()
      local message, why, code, reason = client:receive_message()
      T.eq(message, nil)
      T.eq(why, "closed")
      T.eq(code, 4000)
      T.eq(reason, "see you")
      ended = ended + 1
    end)
  end
  client:when_new_msg(function(...) calls[#calls + 1] = { count(...) } end)
  server:close(4000, "see you")
  T.wait(function() return ended == 3 and #calls == 1 end)
  coromega:sleep(0.02)
  T.eq(#calls, 1)
  local n, message, code, reason = calls[1][1], calls[1][2], calls[1][3], calls[1][4]
  T.eq(n, 3)
  T.eq(message, nil)
  T.eq(code, 4000)
  T.eq(reason, "see you")
end)

T.test("S22_messages_to_the_callback_then_nil", function()
  local listener, accept = T.acceptor()
  local peer = T.peer("sends_and_closes", T.port(listener), 300, 1000, "")
  local server = accept()
  local got = {}
  server:when_new_msg(function(message) got[#got + 1] = message or "end" end)
  T.wait(function() return got[#got] == "end" end)
  coromega:sleep(0.02)
  T.eq(#got, 301)
  for n = 1, 300 do T.eq(got[n], tostring(n)) end
  peer.forget()
end)

T.test("S22_a_callback_set_later_is_told_once", function()
  local client, server = T.pair()
  server:close()
  local _, why = client:receive_message()
  T.eq(why, "closed")
  local calls = 0
  client:when_new_msg(function(message)
    T.eq(message, nil)
    calls = calls + 1
  end)
  T.eq(calls, 0)
  T.wait(function() return calls == 1 end)
  client:when_new_msg(function() calls = calls + 1 end)
  coromega:sleep(0.02)
  T.eq(calls, 1)
end)

T.test("S22_an_error_in_the_last_call_is_one_line", function()
  local client, server = T.pair()
  client:when_new_msg(function(message) return "concatenating " .. message end)
  server:close()
  local reports
  T.wait(function()
    reports = T.reports()
    return #reports > 0
  end)
  T.eq(#reports, 1)
  T.match(reports[1], "concatenate")
  T.ok(not reports[1]:find("\n"))
end)

T.test("S22_the_end_waits_for_the_messages_nobody_has_taken", function()
  local client, server = T.pair()
  for n = 1, 3 do server:send_message(tostring(n)) end
  server:close(1000, "all sent")
  coromega:sleep(0.05)
  local told = false
  T.eq(client:receive_message(), "1")
  T.eq(client:receive_message(), "2")
  client:when_new_msg(function(message, code, reason)
    if message == nil then told = code .. reason else T.eq(message, "3") end
  end)
  T.wait(function() return told end)
  T.eq(told, "1000all sent")
end)

T.test("S23_1006_when_there_was_no_close_frame", function()
  local listener, accept = T.acceptor()
  local peer = T.peer("sends_and_aborts", T.port(listener), 3)
  local server = accept()
  T.eq(server:receive_message(), "1")
  server:send_message("abort now")
  local message, why, code
  repeat
    message, why, code = server:receive_message()
  until message == nil
  T.eq(why, "closed")
  T.eq(code, 1006)
  peer.forget()
end)

T.test("S23_the_code_of_the_first_close_frame_on_both_ends", function()
  local client, server = T.pair()
  client:close(4321, "client's")
  local _, _, code, reason = client:receive_message()
  T.eq(code, 4321)
  T.eq(reason, "client's")
  _, _, code, reason = server:receive_message()
  T.eq(code, 4321)
  T.eq(reason, "client's")
end)

T.test("S24_calls_on_an_ended_connection", function()
  local client, server = T.pair()
  server:close()
  T.eq(select(2, client:receive_message()), "closed")
  for _ = 1, 3 do
    for _, conn in ipairs({ client, server }) do
      T.eq(conn:send_message("x"), "closed")
      T.eq(conn:send_binary("x"), "closed")
      T.eq(conn:send({}), "closed")
      T.eq(conn:close(), nil)
      T.eq(conn:close(3000, "again"), nil)
      T.eq(select(2, conn:receive_message()), "closed")
      T.eq(select(2, conn:receive_message(1)), "closed")
    end
  end
end)

T.test("S24_a_send_after_our_close_frame", function()
  local client, server = T.pair()
  coromega:start_new(function() client:close(1000) end)
  T.eq(client:send_message("too late"), "closed")
  T.eq(select(2, server:receive_message()), "closed")
end)

T.test("S25_close_comes_after_all_accepted_messages", function()
  local client, server = T.pair()
  local chunk = ("z"):rep(1000)
  for n = 1, 50 do T.eq(client:send_message(n .. chunk), nil) end
  T.eq(select("#", client:close()), 0)
  for n = 1, 50 do T.eq(server:receive_message(), n .. chunk) end
  local _, why, code = server:receive_message()
  T.eq(why, "closed")
  T.eq(code, 1000)
end)

T.test("S25_close_waits_for_the_peers_close_frame", function()
  local peer = T.peer("shows")
  local conn = coromega:connect_to_websocket("ws://127.0.0.1:" .. peer.expect("^PORT (%d+)"))
  T.eq(conn:close(3999, "bye"), nil)
  T.eq(conn:send_message("x"), "closed")
  T.eq(peer.expect("^CLOSE (%d+ .*)"), "3999 bye")
  peer.expect("^END")
  peer.forget()
end)

T.test("S25_close_timeout", function()
  local peer = T.peer("never_closes")
  local conn = coromega:connect_to_websocket(
    "ws://127.0.0.1:" .. peer.expect("^PORT (%d+)"), nil, { close_timeout = 0.2 })
  local before = coromega:now()
  T.eq(conn:close(), nil)
  local took = coromega:now() - before
  T.ok(took >= 0.15 and took < 5, took)
  peer.expect("^END")
  peer.forget()
end)

T.test("S25_several_wait_for_one_close", function()
  local client = T.pair()
  local closed = 0
  for _ = 1, 3 do
    coromega:start_new(function()
      T.eq(client:close(), nil)
      closed = closed + 1
    end)
  end
  T.wait(function() return closed == 3 end)
end)

T.test("S25_codes_and_reasons_that_may_not_be_sent", function()
  local client, server = T.pair()
  for _, code in ipairs({ 0, 1, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65536, -1, 1000.5 }) do
    T.match(client:close(code), "code")
  end
  T.ok(client:close(1000, ("x"):rep(124)))
  T.ok(client:close(1000, "\255"))
  T.ok(client:close(0 / 0))
  -- It is still open.
  T.eq(client:send_message("open"), nil)
  T.eq(server:receive_message(), "open")
  T.eq(client:close(1000, ("x"):rep(123)), nil)
  local _, _, code, reason = server:receive_message()
  T.eq(code, 1000)
  T.eq(reason, ("x"):rep(123))
end)

T.test("S25_codes_that_may_be_sent", function()
  for _, code in ipairs({ 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 4999 }) do
    local client, server = T.pair()
    T.eq(client:close(code), nil)
    local _, _, found = server:receive_message()
    T.eq(found, code)
  end
end)

T.plain("S25_outside_a_coroutine_close_starts_the_close", function()
  local client, server, code
  coromega:start_new(function()
    client, server = T.pair()
    coromega:halt()
  end)
  coromega:run()
  T.eq(client:close(3333), nil)
  coromega:start_new(function()
    coromega:sleep(0) -- so that halt() below is inside run()
    local _, _, found = server:receive_message()
    code = found
    coromega:halt()
  end)
  coromega:run()
  T.eq(code, 3333)
end)

for what, code in pairs({
  unmasked = 1002, opcode = 1002, text = 1007, large = 1009, huge = 1009, negative = 1002,
}) do
  T.test("S26_protocol_error_" .. what, function()
    local client, server, listener = T.pair()
    local accepted
    listener:when_new_conn(function(conn) accepted = T.keep(conn) end)
    local peer = T.peer("bad_frame", T.port(listener), what)
    T.wait(function() return accepted end)
    local message, why, found = accepted:receive_message()
    T.eq(message, nil)
    T.eq(why, "closed")
    T.eq(found, code)
    T.eq(peer.expect("^CLOSE (%d+)"), tostring(code))
    -- The others go on.
    client:send_message("unharmed")
    T.eq(server:receive_message(), "unharmed")
    peer.forget()
  end)
end

T.done()
