-- S8 to S10: options of every kind, and headers where they belong.
local T = require("harness")
local coromega = T.coromega

local NOWHERE = "ws://127.0.0.1:1/"

-- Why neither side takes the options.
local function refused(options, pattern)
  local conn, err = coromega:connect_to_websocket(NOWHERE, nil, options)
  T.eq(conn, nil)
  T.match(err, pattern)
  local reason
  coromega:create_websocket_server("127.0.0.1", 0, options):when_dead(function(text) reason = text end)
  T.match(T.wait(function() return reason end), pattern)
end

T.test("S9_options_that_the_library_refuses", function()
  refused({ no_such = "x" }, "no_such")
  refused({ no_such = { "x" } }, "no_such")
  refused({ no_such = true }, "no_such")
  refused({ open_timeout = "5" }, "open_timeout is a text")
  refused({ open_timeout = { "5" } }, "open_timeout is a text")
  refused({ compression = 2 }, "compression is 2")
  refused({ compression = 0.5 }, "compression is 0.5")
  refused({ window_bits = 8.5 }, "window_bits")
  refused({ ca_files = 5 }, "ca_files is 5")
  refused({ ca_files = true }, "ca_files is 1")
  refused({ subprotocols = { "fine", "" } }, "subprotocols is empty")
  refused({ key_file = "with\0nul" }, "key_file")
end)

-- At the script's own line, and with the name.
local function raises(pattern, ...)
  local options = { ... }
  local function misused(fn)
    T.match(T.raises(pattern, fn), "^[^\n]*test_options.lua:")
  end
  misused(function() coromega:create_websocket_server("127.0.0.1", 0, options[1]) end)
  misused(function() coromega:connect_to_websocket(NOWHERE, nil, options[1]) end)
end

T.test("S9_options_of_a_wrong_type_are_named", function()
  raises("options must be a table, not string", "open_timeout")
  raises("name must be a string, not number", { "open_timeout" })
  raises("option path must be .*, not function", { path = print })
  raises("option path must be .*, not thread", { path = coroutine.create(function() end) })
  raises("option path must be .*, not userdata", { path = io.stdout })
  raises("option origins must be a sequence of strings", { origins = { a = "b" } })
  raises("option origins must be a sequence of strings", { origins = { "a", b = "c" } })
  raises("option origins must be a sequence of strings", { origins = { [2] = "a" } })
  raises("option origins: element 2 must be a string, not number", { origins = { "a", 5 } })
  raises("option origins: element 1 must be a string, not table", { origins = { {} } })
  raises("response_headers: headers must be a table, not string", { response_headers = "X: y" })
  raises("response_headers: a header's name must be a string", { response_headers = { "X: y" } })
  raises("response_headers: header X must be a string", { response_headers = { X = true } })
  raises("response_headers: header X must be a string", { response_headers = { X = { {} } } })
end)

T.test("S9_an_option_belongs_to_its_side", function()
  for name, value in pairs({
    origins = { "http://a.example" }, path = "/ws", health_path = "/health",
    response_headers = { ["X-A"] = { "b", 5 } },
  }) do
    local _, err = coromega:connect_to_websocket(NOWHERE, nil, { [name] = value })
    T.match(err, "option " .. name .. " is a listener's")
  end
  for name, value in pairs({ proxy = "http://p:1", server_name = "a", insecure = true, max_redirects = 3 }) do
    local reason
    coromega:create_websocket_server("127.0.0.1", 0, { [name] = value })
      :when_dead(function(text) reason = text end)
    T.match(T.wait(function() return reason end), "option " .. name .. " is a connect's")
  end
end)

T.test("S9_flags_numbers_and_lists_are_taken", function()
  local client, server = T.pair(
    { compression = false, max_message_size = 1000, subprotocols = { "a", "b" }, origins = {} },
    { compression = false, insecure = false, max_callbacks = 3, open_timeout = 5.5 })
  T.eq(client:send_message("hello"), nil)
  T.eq(server:receive_message(), "hello")
end)

T.test("S9_every_element_of_a_list_is_set", function()
  local listener = T.server({
    path = "/ws",
    subprotocols = { "chat.v2", "chat.v1" },
    origins = { "http://a.example", "http://b.example" },
    response_headers = { ["X-Twice"] = { "one", 2 }, ["X-Once"] = "yes" },
  })
  listener:when_new_conn(T.keep)
  local function answer_to(path, ...)
    local peer = T.peer("asks", T.port(listener), path, ...)
    peer.expect("^END")
    local text = table.concat(peer.lines(), "\n")
    peer.forget()
    return text
  end
  for _, origin in ipairs({ "http://a.example", "http://b.example" }) do
    local text = answer_to("/ws", "Origin: " .. origin, "Sec-WebSocket-Protocol: chat.v1")
    T.match(text, "^HTTP/1.1 101 ")
    T.match(text, "\nSec%-WebSocket%-Protocol: chat.v1\n")
    T.match(text, "\nX%-Twice: one\n.*X%-Twice: 2\n")
    T.match(text, "\nX%-Once: yes\n")
  end
  T.match(answer_to("/ws", "Origin: http://c.example"), "^HTTP/1.1 403 ")
  T.match(answer_to("/elsewhere"), "^HTTP/1.1 404 ")
end)

T.test("S9_what_options_hold_is_given_back", function()
  local text = ("x"):rep(100000)
  local function rounds(count)
    for _ = 1, count do
      local _, err = coromega:connect_to_websocket(NOWHERE, nil, { health_path = text, no_such = 1 })
      T.match(err, "no_such")
      _, err = coromega:connect_to_websocket(NOWHERE, nil, { path = text })
      T.match(err, "listener's")
      coromega:create_websocket_server("127.0.0.1", 0, { proxy = text }):when_dead(function() end)
    end
    coromega:sleep(0)
    T.collect()
  end
  rounds(50)
  local before = T.memory()
  rounds(300) -- of 300,000 bytes each, if they stayed
  local more = T.memory() - before
  T.ok(more < 30e6, more)
end)

T.test("S8_options_are_not_sent_as_headers", function()
  for _, name in ipairs({ "open_timeout", "compression", "proxy", "subprotocols" }) do
    T.match(T.raises(name .. " is an option", function()
      coromega:connect_to_websocket(NOWHERE, { [name] = 1 })
    end), "^[^\n]*test_options.lua:")
  end
  local listener, accept = T.acceptor()
  T.keep(coromega:connect_to_websocket(T.url(listener), { Proxy = "x", no_such_option = 1 }))
  local request = accept():request()
  T.eq(request.headers.proxy, "x")
  T.eq(request.headers.no_such_option, "1")
end)

T.done()
