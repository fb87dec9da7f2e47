-- S6 to S9, S13: connecting.
local T = require("harness")
local coromega = T.coromega

local function refused(address, pattern, headers, options)
  local results = { coromega:connect_to_websocket(address, headers, options) }
  T.eq(results[1], nil)
  T.match(results[2], pattern)
  return results[2]
end

T.test("S6_success_returns_the_connection_alone", function()
  local listener = T.server()
  local function count(...)
    for place = 1, select("#", ...) do T.keep((select(place, ...))) end
    return select("#", ...)
  end
  T.eq(count(coromega:connect_to_websocket(T.url(listener))), 1)
end)

T.test("S6_refused", function()
  local listener = T.server()
  local url = T.url(listener)
  listener:close()
  T.wait(function() return not listener:address() end)
  refused(url, "^connect to ws://127%.0%.0%.1.*refused")
end)

T.test("S6_no_such_name", function()
  refused("ws://no-such-host.invalid/", "^connect to ws://no%-such%-host%.invalid")
end)

T.test("S6_http_status", function()
  local peer = T.peer("http", "503 Service Unavailable")
  refused("ws://127.0.0.1:" .. peer.expect("^PORT (%d+)"), "503")
  peer.forget()
end)

T.test("S6_no_http_at_all", function()
  local peer = T.peer("garbage")
  refused("ws://127.0.0.1:" .. peer.expect("^PORT (%d+)"), "^connect to ")
  peer.forget()
end)

T.test("S6_wrong_accept_key", function()
  local peer = T.peer("wrong_key")
  refused("ws://127.0.0.1:" .. peer.expect("^PORT (%d+)"), "^connect to ")
  peer.forget()
end)

T.test("S7_addresses_that_are_none", function()
  for _, address in ipairs({
    "", "hello", "127.0.0.1:1042", "http://127.0.0.1/", "ws://", "ws:///path", "ws://[::1",
    "ws://127.0.0.1:99999/", "ws://127.0.0.1:x/", "ws://a b/", "ws://127.0.0.1\r\n/", "ftp://x",
  }) do
    refused(address, "connect to ")
  end
end)

T.test("S7_wss_where_there_is_no_tls", function()
  local listener = T.acceptor()
  refused("wss://127.0.0.1:" .. T.port(listener) .. "/", "^connect to wss://.*plain HTTP")
end)

T.test("S7_names_paths_and_queries", function()
  local listener, accept = T.acceptor()
  local port = T.port(listener)
  local client = T.keep(coromega:connect_to_websocket(
    "ws://localhost:" .. port .. "/path/to/ws_api?a=1&b=2"))
  T.ok(client)
  local request = accept():request()
  T.eq(request.path, "/path/to/ws_api")
  T.eq(request.query, "a=1&b=2")
  T.match(request.headers.host, "^localhost")
end)

T.test("S7_ipv6", function()
  local listener = coromega:create_websocket_server("::1", 0)
  local host, port = listener:address()
  if not host then
    -- A machine without IPv6 says so at once.
    T.match(port, "listen on")
    listener:when_dead(function() end)
    return
  end
  T.eq(host, "::1")
  local accepted
  listener:when_new_conn(function(conn) accepted = T.keep(conn) end)
  local client = T.keep(coromega:connect_to_websocket("ws://[::1]:" .. port))
  T.ok(client)
  T.wait(function() return accepted end)
  T.eq(accepted:request().peer.host, "::1")
  listener:close()
end)

T.test("S7_user_and_password", function()
  local listener, accept = T.acceptor()
  T.keep(coromega:connect_to_websocket("ws://Aladdin:open%20sesame@127.0.0.1:" .. T.port(listener)))
  T.eq(accept():request().headers.authorization, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
end)

T.test("S8_headers", function()
  local peer = T.peer("shows")
  local port = peer.expect("^PORT (%d+)")
  local conn, err = coromega:connect_to_websocket("ws://127.0.0.1:" .. port, {
    ["X-Text"] = "value",
    ["X-Number"] = 42,
    ["X-Half"] = 0.5,
    ["X-List"] = { "one", 2, "three" },
    Host = "elsewhere.example",
    ["Sec-WebSocket-Protocol"] = {},
  })
  T.ok(conn, err)
  conn:close()
  local seen = {}
  for _, line in ipairs(peer.lines()) do
    local name, value = line:match("^HEADER ([%w%-]+): (.-)\r?$")
    if name then
      name = name:lower()
      seen[name] = seen[name] and seen[name] .. "," .. value or value
    end
  end
  T.eq(seen["x-text"], "value")
  T.eq(seen["x-number"], "42")
  T.eq(seen["x-half"], "0.5")
  T.eq(seen["x-list"], "one,2,three")
  T.eq(seen.host, "elsewhere.example")
  peer.forget()
end)

T.test("S8_headers_that_may_not_be_sent", function()
  local url = T.url(T.server())
  for _, headers in ipairs({
    { ["X-A"] = "line\r\nbreak" }, { ["X-A"] = "line\nbreak" }, { ["X-A"] = "nul\0" },
    { ["X\nA"] = "x" }, { ["X A"] = "x" }, { [""] = "x" }, { ["X-A"] = { "fine", "not\r" } },
    { Connection = "close" }, { upgrade = "h2c" }, { ["Sec-WebSocket-Key"] = "x" },
    { ["sec-websocket-version"] = 12 }, { ["Sec-WebSocket-Extensions"] = "x" },
    { ["Sec-WebSocket-Accept"] = "x" },
  }) do
    refused(url, "header", headers)
  end
end)

T.test("S9_open_timeout", function()
  local peer = T.peer("silent")
  local port = peer.expect("^PORT (%d+)")
  local before = coromega:now()
  refused("ws://127.0.0.1:" .. port, "timed? ?out", nil, { open_timeout = 0.2 })
  local took = coromega:now() - before
  T.ok(took >= 0.15 and took < 5, took)
  peer.expect("^END")
  peer.forget()
end)

T.test("S9_options_that_are_none", function()
  local url = T.url(T.server())
  refused(url, "no_such_option", nil, { no_such_option = 1 })
  refused(url, "open_timeout", nil, { open_timeout = -1 })
  refused(url, "write_limit", nil, { write_limit = 0 / 0 })
end)

T.test("S13_request_on_both_ends", function()
  local listener, accept = T.acceptor()
  local client = T.keep(coromega:connect_to_websocket(T.url(listener, "/p?q"), { ["X-Twice"] = { "a", "b" } }))
  local server = accept()
  local request = server:request()
  T.eq(request.path, "/p")
  T.eq(request.query, "q")
  T.eq(request.subprotocol, nil)
  T.eq(request.headers["X-Twice"][1], "a")
  T.eq(request.headers["x-twice"][2], "b")
  T.eq(request.headers["no such header"], nil)
  T.eq(request.headers.Upgrade:lower(), "websocket")
  T.eq(request.peer.host, "127.0.0.1")
  T.ok(request.peer.port > 0)
  T.eq(client:request().peer.port, T.port(listener))
  T.eq(client:request().path, "/p")
  -- It can be asked when the connection has ended, too.
  client:close()
  T.eq(client:request().path, "/p")
end)

T.done()
