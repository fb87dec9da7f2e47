-- S13: requests are put to the script before they are answered.
local T = require("harness")
local coromega = T.coromega

local function served(when_request, options)
  options = options or {}
  options.when_request = when_request
  local listener = T.server(options)
  local state = { listener = listener, conns = {} }
  listener:when_new_conn(function(conn) state.conns[#state.conns + 1] = T.keep(conn) end)
  return state
end

local function connect(state, path, headers)
  return coromega:connect_to_websocket(T.url(state.listener, path), headers)
end

-- What a client reads that asks for the path by hand.
local function answer_to(state, path, ...)
  local peer = T.peer("asks", T.port(state.listener), path, ...)
  peer.expect("^END")
  local text = table.concat(peer.lines(), "\n")
  peer.forget()
  return text
end

T.test("S13_nothing_and_true_accept", function()
  local seen = {}
  local state = served(function(request)
    seen[#seen + 1] = request
    if request.path == "/true" then return true end
  end)
  for _, path in ipairs({ "/nothing?q=1", "/true" }) do
    local conn, err = connect(state, path, { ["X-Colour"] = "blue" })
    T.ok(conn, err)
    T.keep(conn)
  end
  T.wait(function() return #state.conns == 2 end)
  T.eq(#seen, 2)
  T.eq(seen[1].path, "/nothing")
  T.eq(seen[1].query, "q=1")
  T.eq(seen[1].headers["X-Colour"], "blue")
  T.eq(seen[1].peer.host, "127.0.0.1")
  T.ok(seen[1].peer.port > 0)
  T.eq(seen[1].subprotocol, nil)
  T.eq(state.conns[1]:request().path, "/nothing")
  state.conns[2]:send_message("hello")
end)

T.test("S13_refusals", function()
  local replies = {
    ["/false"] = { false },
    ["/status"] = { 401, { ["WWW-Authenticate"] = "Basic", ["X-Twice"] = { "a", 2 } } },
    ["/body"] = { 429, nil, "slow down" },
    ["/moved"] = { 302, { Location = "/elsewhere" } },
    ["/false-body"] = { false, { ["X-Why"] = "who" }, "not you" },
  }
  local state = served(function(request)
    local reply = replies[request.path]
    return reply[1], reply[2], reply[3]
  end)
  local conn, err = connect(state, "/false")
  T.eq(conn, nil)
  T.match(err, "403")
  local text = answer_to(state, "/status")
  T.match(text, "^HTTP/1.1 401 ")
  T.match(text, "\nWWW%-Authenticate: Basic")
  T.match(text, "\nX%-Twice: a.*\nX%-Twice: 2")
  text = answer_to(state, "/body")
  T.match(text, "^HTTP/1.1 429 ")
  T.match(text, "\nslow down")
  T.match(answer_to(state, "/moved"), "^HTTP/1.1 302 .*\nLocation: /elsewhere")
  text = answer_to(state, "/false-body")
  T.match(text, "^HTTP/1.1 403 .*\nX%-Why: who.*\nnot you")
  T.eq(#state.conns, 0)
end)

T.test("S13_accepted_with_headers_and_a_subprotocol", function()
  local state = served(function(request)
    T.eq(request.headers["sec-websocket-protocol"], "a, b")
    return true, { headers = { ["X-Session"] = 5 }, subprotocol = "b" }
  end)
  local text = answer_to(state, "/", "Sec-WebSocket-Protocol: a, b")
  T.match(text, "^HTTP/1.1 101 ")
  T.match(text, "\nX%-Session: 5")
  T.match(text, "\nSec%-WebSocket%-Protocol: b")
  T.wait(function() return state.conns[1] end)
  T.eq(state.conns[1]:request().subprotocol, "b")
end)

T.test("S13_it_may_wait_and_others_go_on", function()
  local waiting = {}
  local state = served(function(request)
    if request.path == "/slow" then
      waiting[#waiting + 1] = coromega:get_resume()
      return coromega:pause()
    end
  end)
  local results = {}
  for n = 1, 2 do
    coromega:start_new(function()
      local conn, err = connect(state, "/slow")
      results[n] = conn and T.keep(conn) or err
    end)
  end
  T.wait(function() return #waiting == 2 end)
  T.keep(connect(state, "/quick"))
  T.eq(results[1], nil)
  waiting[1](true)
  waiting[2](404)
  T.wait(function() return results[1] and results[2] end)
  local accepted, refused = results[1], results[2]
  if type(accepted) == "string" then accepted, refused = refused, accepted end
  T.match(refused, "404")
  T.eq(accepted:send_message("hello"), nil)
end)

T.test("S13_no_answer_in_time_is_503", function()
  local answered
  local state = served(function()
    coromega:sleep(0.5)
    answered = true
    return true
  end, { open_timeout = 0.1 })
  T.match(select(2, connect(state)), "503")
  -- Its answer comes too late for anybody, which is no error.
  T.wait(function() return answered end)
  coromega:sleep(0.02)
  T.eq(#T.reports(), 0)
  T.eq(#state.conns, 0)
end)

T.test("S4_an_error_in_when_request_refuses_with_500", function()
  local results = {
    { "a string" }, { {} }, { 200 }, { 600 }, { 403.5 }, { 403, "headers" }, { 403, nil, 5 },
    { 403, { ["X\n"] = "y" } }, { true, "b" }, { true, { subprotocol = 5 } }, { true, { no_such = 1 } },
    { true, { subprotocol = "not offered" } }, { true, { headers = { Upgrade = "h2c" } } },
  }
  local at = 0
  local state = served(function()
    if at == 0 then error("thrown") end
    return results[at][1], results[at][2], results[at][3]
  end)
  while at <= #results do
    T.match(select(2, connect(state)), "500")
    local reports = T.reports()
    T.eq(#reports, 1, at)
    T.match(reports[1], at == 0 and "thrown" or "when_request: ")
    at = at + 1
  end
  T.eq(#state.conns, 0)
end)

T.test("S13_each_listener_asks_its_own", function()
  local seen = {}
  local one = served(function() seen[#seen + 1] = "one" end)
  local two = served(function() seen[#seen + 1] = "two" end)
  local none = T.server()
  none:when_new_conn(T.keep)
  T.keep(connect(two))
  T.keep(connect(one))
  T.keep(coromega:connect_to_websocket(T.url(none)))
  T.eq(table.concat(seen, " "), "two one")
end)

T.test("S13_clients_and_listeners_that_leave_meanwhile", function()
  local asked, ended = 0, 0
  local state = served(function(request)
    asked = asked + 1
    coromega:sleep(request.path == "/leaves" and 0.2 or 0.4)
    ended = ended + 1
    return request.path == "/leaves"
  end)
  local peer = T.peer("asks", T.port(state.listener), "/leaves", "LEAVE")
  T.wait(function() return asked == 1 end)
  local err
  coromega:start_new(function() err = select(2, connect(state, "/stays")) end)
  T.wait(function() return asked == 2 end)
  state.listener:close()
  T.match(T.wait(function() return err end), "503")
  T.wait(function() return ended == 2 end)
  coromega:sleep(0.02)
  T.eq(#T.reports(), 0)
  T.eq(#state.conns, 0)
  peer.forget()
end)

T.plain("S13_wrong_shapes_of_when_request", function()
  local here = "^[^\n]*test_review.lua:"
  T.match(T.raises("option when_request must be a function, not string", function()
    coromega:create_websocket_server("127.0.0.1", 0, { when_request = "f" })
  end), here)
  T.match(T.raises("option review is set by when_request", function()
    coromega:create_websocket_server("127.0.0.1", 0, { review = true })
  end), here)
end)

T.done()
