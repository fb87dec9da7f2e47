-- S27, S33: connections nobody uses, states that end.
local T = require("harness")
local coromega = T.coromega

-- Connects and forgets; returns a weak reference. The call is over when it is used.
local function forgotten(url, prepare)
  local weak = setmetatable({}, { __mode = "v" })
  local function make()
    local conn = coromega:connect_to_websocket(url)
    if prepare then prepare(conn) end
    weak.conn = conn
  end
  make()
  return weak
end

local function collected(weak)
  T.wait(function()
    collectgarbage()
    return weak.conn == nil
  end, "the collection")
end

T.test("S27_unreferenced_it_is_closed_with_1001", function()
  local listener, accept = T.acceptor()
  local weak = forgotten(T.url(listener))
  local server = accept()
  collected(weak)
  local message, why, code = server:receive_message()
  T.eq(message, nil)
  T.eq(why, "closed")
  T.eq(code, 1001)
end)

T.test("S27_a_callback_for_a_loss_holds_no_connection", function()
  local listener, accept = T.acceptor()
  local server
  local weak = forgotten(T.url(listener), function(conn)
    local got
    conn:when_lost(function() return conn end)
    conn:when_new_msg(function(message) got = message end)
    server = accept()
    server:send_message("to the callback")
    T.wait(function() return got end)
    conn:when_new_msg(nil)
  end)
  collected(weak)
  T.eq(select(3, server:receive_message()), 1001)
end)

T.test("S27_found_by_the_next_full_collection", function()
  local listener, accept = T.acceptor()
  local done = false
  coromega:start_new(function()
    local conn = coromega:connect_to_websocket(T.url(listener))
    conn:send_message("bye")
    done = true
  end)
  local server = accept()
  T.eq(server:receive_message(), "bye")
  T.ok(done)
  collectgarbage()
  local _, why, code = server:receive_message(10)
  T.eq(why, "closed")
  T.eq(code, 1001)
end)

T.test("S27_what_was_accepted_is_sent_before", function()
  local listener, accept = T.acceptor()
  local weak = forgotten(T.url(listener), function(conn)
    for n = 1, 100 do conn:send_message(tostring(n)) end
  end)
  collected(weak)
  local server = accept()
  for n = 1, 100 do T.eq(server:receive_message(), tostring(n)) end
  T.eq(select(3, server:receive_message()), 1001)
end)

T.test("S27_an_accepted_connection_that_nobody_keeps", function()
  local listener = T.server()
  listener:when_new_conn(function(conn) conn:send_message("hello and good-bye") end)
  local client = T.keep(coromega:connect_to_websocket(T.url(listener)))
  T.eq(client:receive_message(), "hello and good-bye")
  local code
  coromega:start_new(function() code = select(3, client:receive_message()) end)
  T.wait(function()
    collectgarbage()
    return code
  end)
  T.eq(code, 1001)
end)

T.test("S27_a_callback_keeps_it", function()
  local listener, accept = T.acceptor()
  local got
  local weak = forgotten(T.url(listener), function(conn)
    conn:when_new_msg(function(message) got = message end)
  end)
  local server = accept()
  T.collect()
  coromega:sleep(0.02)
  T.collect()
  T.ok(weak.conn)
  T.eq(server:send_message("kept"), nil)
  T.wait(function() return got == "kept" end)
  weak.conn:when_new_msg(nil)
  collected(weak)
  T.eq(select(3, server:receive_message()), 1001)
end)

T.test("S27_a_waiting_coroutine_keeps_it", function()
  local listener, accept = T.acceptor()
  local weak = setmetatable({}, { __mode = "v" })
  local got
  coromega:start_new(function()
    local conn = coromega:connect_to_websocket(T.url(listener))
    weak.conn = conn
    got = conn:receive_message()
  end)
  local server = accept()
  T.wait(function() return weak.conn ~= nil end)
  T.collect()
  coromega:sleep(0.02)
  T.collect()
  T.ok(weak.conn)
  server:send_message("woken")
  T.wait(function() return got == "woken" end)
  collected(weak)
end)

T.test("S27_a_paused_coroutine_that_nobody_can_resume_keeps_nothing", function()
  local listener, accept = T.acceptor()
  local weak = setmetatable({}, { __mode = "v" })
  coromega:start_new(function()
    local conn = coromega:connect_to_websocket(T.url(listener))
    weak.conn = conn
    coromega:pause()
    conn:send_message("never")
  end)
  local server = accept()
  T.wait(function() return weak.conn ~= nil end)
  collected(weak)
  T.eq(select(3, server:receive_message()), 1001)
end)

T.test("S27_an_ended_connection_is_forgotten", function()
  local weak = setmetatable({}, { __mode = "v" })
  local function make()
    local client, server = T.pair()
    client:when_new_msg(function() return client end)
    server:close()
    weak.client = client
    T.wait(function() return select(2, server:receive_message(0)) == "closed" end)
  end
  make()
  -- The harness keeps the pair until the test ends; its own references do not count here.
  T.forget()
  T.wait(function()
    collectgarbage()
    return weak.client == nil
  end)
end)

T.test("S27_the_guard_can_not_be_taken_apart", function()
  local client, server = T.pair()
  for _, value in pairs(client) do
    if type(value) == "userdata" then T.eq(getmetatable(value), false) end
  end
  client:send_message("whole")
  T.eq(server:receive_message(), "whole")
end)

T.test("S27_descriptors_come_back", function()
  local function descriptors()
    local pipe = io.popen("ls /proc/$PPID/fd | wc -l")
    local count = tonumber(pipe:read("*l"))
    pipe:close()
    return count
  end
  local listener = T.server()
  listener:when_new_conn(function(conn) conn:when_new_msg(function() end) end)
  local url = T.url(listener)
  local before = descriptors()
  for _ = 1, 100 do
    local conn = coromega:connect_to_websocket(url)
    conn:send_message("x")
  end
  T.wait(function()
    collectgarbage()
    return descriptors() <= before + 5
  end, "the descriptors")
end)

-- A process of its own: its output, its status, and how long it took.
local function child(code, interpreter_options)
  local path = os.tmpname()
  local file = io.open(path, "w")
  file:write(code)
  file:close()
  local before = coromega:now()
  local output = T.spawn("sh", "-c",
    T.interpreter .. " " .. (interpreter_options or "") .. " " .. path .. "; echo status $?")
  local status = output.expect("^status (%d+)", 60)
  local took = coromega:now() - before
  local text = table.concat(output.lines(), "\n")
  output.forget()
  os.remove(path)
  return tonumber(status), text, took
end

local TRAFFIC = [[
local coromega = require("coromega_ws")
local listener = coromega:create_websocket_server("127.0.0.1", 0)
local _, port = listener:address()
listener:when_new_conn(function(conn)
  conn:when_new_msg(function(message) if message then conn:send_message(message) end end)
end)
local count = 0
for _ = 1, 10 do
  coromega:start_new(function()
    local conn = assert(coromega:connect_to_websocket("ws://127.0.0.1:" .. port))
    conn:when_new_msg(function(message)
      count = count + 1
      if count == 2000 then
        -- With a connect under way, too.
        coromega:start_new(function() coromega:connect_to_websocket("ws://127.0.0.1:" .. port) end)
        coromega:halt()
      end
      if message then conn:send_message(message) end
    end)
    for _ = 1, 16 do conn:send_message(("x"):rep(1000)) end
    conn:receive_message()
  end)
end
coromega:start_new(function() coromega:sleep(1000) end)
coromega:run()
]]

T.test("S33_the_state_ends_in_full_traffic", function()
  local status, text, took = child(TRAFFIC)
  T.eq(status, 0, text)
  T.ok(took < 20, took)
end)

T.test("S33_os_exit_in_full_traffic", function()
  local status, text = child(TRAFFIC .. "os.exit(0)")
  T.eq(status, 0, text)
  status, text = child(TRAFFIC .. "os.exit(7, true)")
  T.eq(status, 7, text)
end)

T.test("S33_an_error_in_the_main_chunk_in_full_traffic", function()
  local status, text = child(TRAFFIC .. "error('the end')")
  T.eq(status, 1)
  T.match(text, "the end")
end)

-- Before Lua 5.4 a finalizer's error ends what made a string, of a message or of an event.
T.plain("S4_finalizers_that_fail_within_the_loop_end_no_connection", function()
  local failures, ended, last, done = 0, 0, nil, false
  local function finalizer()
    local trace = debug.traceback("", 2)
    if failures < 3 and trace:find("^%s*stack traceback:%s*%[C%][^\n]*\n[^\n]*coromega_ws/mailbox.lua") then
      failures = failures + 1
      error("the finalizer fails")
    end
  end
  local function burden()
    for _ = 1, 100 do
      if newproxy then
        getmetatable(newproxy(true)).__gc = finalizer
      else
        setmetatable({}, { __gc = finalizer })
      end
    end
    collectgarbage("restart")
  end
  coromega:start_new(function()
    local client, server = T.pair()
    client:when_new_msg(function(message) last = message and message:sub(1, 6) end)
    for n = 1, 300 do
      if n % 10 == 0 then
        local brief, other = T.pair()
        brief:when_new_msg(function(message) ended = message and ended or ended + 1 end)
        coromega:start_new(function() other:close(3000, ("r"):rep(100)) end)
      end
      collectgarbage("stop")
      server:send_message(("%06d"):format(n) .. ("x"):rep(30000))
      burden()
      if n % 10 == 0 then coromega:sleep(0.002) end
    end
    failures = 3
    server:send_message("behind all")
    T.wait(function() return last == "behind" and ended == 30 end, "the last message and the ends")
    done = true
    coromega:halt()
  end)
  local runs = 0
  while not done and runs < 10 do
    runs = runs + 1
    pcall(coromega.run, coromega)
  end
  T.reports()
  T.ok(done)
end)

T.test("S33_finalizers_that_use_the_library_while_the_state_closes", function()
  local status, text = child([[
local coromega = require("coromega_ws")
local function finalizer(fn)
  if newproxy then
    local proxy = newproxy(true)
    getmetatable(proxy).__gc = fn
    return proxy
  end
  return setmetatable({}, { __gc = fn })
end
local listener = coromega:create_websocket_server("127.0.0.1", 0)
local _, port = listener:address()
local server, client
listener:when_new_conn(function(conn) server = conn end)
coromega:start_new(function()
  client = coromega:connect_to_websocket("ws://127.0.0.1:" .. port)
  while not server do coromega:sleep(0.001) end
  coromega:halt()
end)
coromega:run()
local function use()
  client:send_message("from the grave")
  client:close()
  client:request()
  listener:close()
  pcall(coromega.poll, coromega, 0)
  pcall(coromega.fd, coromega)
  pcall(coromega.create_websocket_server, coromega, "127.0.0.1", 0)
  io.write("finalized\n")
end
first = finalizer(use)
local last = finalizer(use)
client:send_message("x")
]])
  T.eq(status, 0, text)
  T.match(text, "finalized\nfinalized")
end)

T.test("S27_the_peer_sees_1001_when_the_state_ends", function()
  local listener, accept = T.acceptor()
  local port = T.port(listener)
  local status
  coromega:start_new(function()
    status = child(([[
local coromega = require("coromega_ws")
coromega:start_new(function()
  conn = coromega:connect_to_websocket("ws://127.0.0.1:%d")
  for n = 1, 50 do conn:send_message(tostring(n)) end
  coromega:halt()
end)
coromega:run()
]]):format(port))
  end)
  local server = accept()
  for n = 1, 50 do T.eq(server:receive_message(20), tostring(n)) end
  T.eq(select(3, server:receive_message()), 1001)
  T.wait(function() return status end)
  T.eq(status, 0)
end)

T.test("S33_an_unread_end_takes_at_most_a_second", function()
  local listener, accept = T.acceptor({ read_limit = 1000 })
  local port = T.port(listener)
  local status, text, took
  coromega:start_new(function()
    status, text, took = child(([[
local coromega = require("coromega_ws")
coromega:start_new(function()
  conn = coromega:connect_to_websocket("ws://127.0.0.1:%d")
  coroutine.wrap(function()
    while not conn:send_message(("x"):rep(60000)) do end
  end)()
  coromega:halt()
end)
coromega:run()
]]):format(port))
  end)
  local server = accept()
  T.wait(function() return status end)
  T.eq(status, 0, text)
  T.ok(took < 10, took)
  T.keep(server)
end)

T.done()
