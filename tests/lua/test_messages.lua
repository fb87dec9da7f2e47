-- S14 to S18: who gets which message.
local T = require("harness")
local coromega = T.coromega

-- The place in a list is to be found after the wait, not before.
local function add(list, text) list[#list + 1] = text end

local function collector(list)
  return function(message, kind)
    list[#list + 1] = message or "end"
    if kind == "binary" then list[#list] = "binary:" .. message end
  end
end

T.test("S14_in_order_to_the_callback", function()
  local client, server = T.pair()
  local got = {}
  client:when_new_msg(collector(got))
  for n = 1, 500 do server:send_message(tostring(n)) end
  T.wait(function() return #got == 500 end)
  for n = 1, 500 do T.eq(got[n], tostring(n)) end
end)

T.test("S14_receive_message_comes_before_the_callback", function()
  local client, server = T.pair()
  local got = {}
  client:when_new_msg(collector(got))
  coromega:start_new(function()
    for n = 1, 4 do server:send_message(tostring(n)) end
  end)
  T.eq(client:receive_message(), "1")
  T.wait(function() return #got == 3 end)
  T.eq(table.concat(got, " "), "2 3 4")
end)

T.test("S14_the_longest_waiting_is_first", function()
  local client, server = T.pair()
  local log = {}
  for _, name in ipairs({ "a", "b", "c" }) do
    coromega:start_new(function()
      add(log, name .. client:receive_message())
    end)
  end
  for n = 1, 3 do server:send_message(tostring(n)) end
  T.wait(function() return #log == 3 end)
  T.eq(table.concat(log, " "), "a1 b2 c3")
end)

T.test("S14_a_taker_that_asks_again_is_again_the_first", function()
  local client, server = T.pair()
  local log = {}
  coromega:start_new(function()
    for _ = 1, 3 do add(log, "a" .. client:receive_message()) end
    coromega:sleep(0)
    add(log, "a" .. client:receive_message())
  end)
  coromega:start_new(function()
    add(log, "b" .. client:receive_message())
  end)
  -- One at a time: each comes when both are waiting.
  for n = 1, 3 do
    server:send_message(tostring(n))
    T.wait(function() return #log == n end)
  end
  coromega:sleep(0.01)
  -- Now a has given way, and b is the longest waiting.
  server:send_message("4")
  server:send_message("5")
  T.wait(function() return #log == 5 end)
  T.eq(table.concat(log, " "), "a1 a2 a3 b4 a5")
end)

T.test("S14_a_newcomer_waits_behind_the_others", function()
  local client, server = T.pair()
  local log = {}
  coromega:start_new(function()
    add(log, "b" .. client:receive_message())
  end)
  server:send_message("1")
  server:send_message("2")
  -- The messages may be in the inbox by now, but b waits for the first.
  local deadline = coromega:now() + 0.05
  while coromega:now() < deadline do end
  add(log, "c" .. client:receive_message())
  T.eq(table.concat(log, " "), "b1 c2")
end)

T.test("S14_nobody_there_it_waits_in_the_inbox", function()
  local client, server = T.pair()
  server:send_message("1")
  server:send_message("2")
  coromega:sleep(0.05)
  T.eq(client:receive_message(), "1")
  local got = {}
  client:when_new_msg(collector(got))
  T.wait(function() return #got == 1 end)
  T.eq(got[1], "2")
end)

T.test("S14_none_lost_none_twice_among_many_takers", function()
  local client, server = T.pair()
  local seen, count = {}, 0
  local function note(message)
    T.ok(not seen[message], "twice")
    seen[message] = true
    count = count + 1
  end
  for place = 1, 5 do
    coromega:start_new(function()
      while true do
        local message, why = client:receive_message(place % 2 == 0 and 0.001 or nil)
        if message then note(message) elseif why == "closed" then return end
        if place == 3 then coromega:sleep(0) end
      end
    end)
  end
  client:when_new_msg(function(message) if message then note(message) end end)
  for n = 1, 2000 do
    T.eq(server:send_message(tostring(n)), nil)
    if n % 100 == 0 then coromega:sleep(0) end
  end
  T.wait(function() return count == 2000 end)
end)

T.test("S15_a_receive_right_after_takes_the_oldest", function()
  local client, server = T.pair()
  server:send_message("1")
  server:send_message("2")
  coromega:sleep(0.05)
  local got = {}
  client:when_new_msg(collector(got))
  T.eq(client:receive_message(), "1")
  T.eq(#got, 0)
  T.wait(function() return #got == 1 end)
  T.eq(got[1], "2")
end)

T.test("S15_set_again_it_replaces_nil_removes", function()
  local client, server = T.pair()
  local first, second = {}, {}
  client:when_new_msg(collector(first))
  client:when_new_msg(collector(second))
  server:send_message("1")
  T.wait(function() return #second == 1 end)
  client:when_new_msg(nil)
  server:send_message("2")
  coromega:sleep(0.05)
  T.eq(client:receive_message(), "2")
  T.eq(#first, 0)
  T.eq(#second, 1)
  -- From inside the callback, in the middle of a batch.
  client:when_new_msg(function(message)
    first[#first + 1] = message
    if message == "4" then client:when_new_msg(nil) end
  end)
  for n = 3, 6 do server:send_message(tostring(n)) end
  T.wait(function() return #first == 2 end)
  coromega:sleep(0.02)
  T.eq(table.concat(first, " "), "3 4")
  T.eq(client:receive_message(), "5")
  T.eq(client:receive_message(), "6")
end)

T.test("S16_each_in_a_new_coroutine_started_in_order", function()
  local client, server = T.pair()
  local started, ended, threads = {}, {}, {}
  client:when_new_msg(function(message)
    if not message then return end
    started[#started + 1] = message
    local thread = coroutine.running()
    T.ok(not threads[thread], "a coroutine that has not ended")
    threads[thread] = true
    coromega:sleep((5 - tonumber(message)) / 100)
    ended[#ended + 1] = message
  end)
  for n = 1, 4 do server:send_message(tostring(n)) end
  T.wait(function() return #ended == 4 end)
  T.eq(table.concat(started, " "), "1 2 3 4")
  T.eq(table.concat(ended, " "), "4 3 2 1")
end)

T.test("S16_a_callback_may_receive", function()
  local client, server = T.pair()
  local log = {}
  client:when_new_msg(function(message)
    if message then add(log, message .. "+" .. client:receive_message()) end
  end)
  for n = 1, 6 do server:send_message(tostring(n)) end
  T.wait(function() return #log == 3 end)
  T.eq(table.concat(log, " "), "1+2 3+4 5+6")
end)

-- One turn brings messages of several connections, to callbacks that end, wait, fail and receive.
T.test("S16_callbacks_of_one_turn_that_wait_or_fail_hold_up_nobody", function()
  local logs, clients, servers, done = {}, {}, {}, 0
  for place = 1, 3 do
    local client, server = T.pair()
    local log, threads = {}, {}
    logs[place], clients[place], servers[place] = log, client, server
    client:when_new_msg(function(message)
      if not message then return end
      local thread = coroutine.running()
      T.ok(not threads[thread], "a coroutine that has not ended")
      log[#log + 1] = message
      if message == "2" then
        threads[thread] = true
        coromega:sleep(0.01)
        threads[thread] = nil
        done = done + 1
      elseif message == "4" then
        error("the fourth")
      elseif message == "6" then
        add(log, "+" .. client:receive_message())
      end
    end)
  end
  for _, server in ipairs(servers) do
    for n = 1, 8 do server:send_message(tostring(n)) end
  end
  T.wait(function() return done == 3 and #logs[1] + #logs[2] + #logs[3] == 24 end)
  for _, log in ipairs(logs) do T.eq(table.concat(log, " "), "1 2 3 4 5 6 +7 8") end
  local reports = T.reports()
  T.eq(#reports, 3)
  for _, text in ipairs(reports) do T.ok(text:find("the fourth", 1, true), text) end
end)

T.test("S16_max_callbacks", function()
  local client, server = T.pair(nil, { max_callbacks = 3 })
  local running, most, done = 0, 0, 0
  client:when_new_msg(function(message)
    if not message then return end
    running = running + 1
    most = math.max(most, running)
    coromega:sleep(0.001)
    running = running - 1
    done = done + 1
  end)
  for n = 1, 200 do server:send_message(tostring(n)) end
  T.wait(function() return done == 200 end)
  T.eq(most, 3)
end)

T.test("S16_max_callbacks_by_default", function()
  local client, server = T.pair()
  local started, resumes = 0, {}
  client:when_new_msg(function(message)
    if not message then return end
    started = started + 1
    resumes[started] = coromega:get_resume()
    coromega:pause()
  end)
  for n = 1, 1200 do server:send_message(tostring(n)) end
  T.wait(function() return started == 1024 end)
  coromega:sleep(0.05)
  T.eq(started, 1024)
  -- receive_message is not held up by that, and takes the oldest.
  T.eq(client:receive_message(), "1025")
  resumes[1]()
  T.wait(function() return started == 1025 end)
  coromega:sleep(0.02)
  T.eq(started, 1025)
  for n = 2, 1025 do resumes[n]() end
  T.wait(function() return started == 1199 end)
  for n = 1026, 1199 do resumes[n]() end
end)

T.test("S16_no_callback_starts_while_a_send_waits_for_room", function()
  local client, server = T.pair({ write_limit = 4096 })
  -- The client does not take its messages: the server's writes fill up everything on the way.
  local started, finished = 0, 0
  local big = ("x"):rep(300000)
  server:when_new_msg(function(message)
    if not message then return end
    started = started + 1
    server:send_message(big)
    finished = finished + 1
  end)
  for n = 1, 100 do client:send_message(tostring(n)) end
  -- When all buffers on the way are full, one send waits and nothing more starts.
  local before
  repeat
    before = started
    coromega:sleep(0.3)
  until started == before
  T.eq(started, finished + 1)
  T.ok(started < 100, "the peer reads nothing")
  for _ = 1, 100 do T.eq(client:receive_message(), big) end
  T.eq(started, 100)
  T.wait(function() return finished == 100 end)
end)

T.test("S17_text_alone_binary_with_a_second_value", function()
  local client, server = T.pair()
  local function count(...) return select("#", ...), ... end
  local bytes = "\0\1\2\255\254" .. ("\0"):rep(70000)
  server:send_message("text \0 with NUL, \195\188ml\195\164ut")
  server:send_binary(bytes)
  server:send_message("")
  server:send_binary("")
  local n, message, kind = count(client:receive_message())
  T.eq(n, 1)
  T.eq(message, "text \0 with NUL, \195\188ml\195\164ut")
  n, message, kind = count(client:receive_message())
  T.eq(n, 2)
  T.eq(kind, "binary")
  T.eq(message, bytes)
  n, message = count(client:receive_message())
  T.eq(n, 1)
  T.eq(message, "")
  n, message, kind = count(client:receive_message())
  T.eq(n, 2)
  T.eq(message, "")
  T.eq(kind, "binary")
  -- tonumber(conn:receive_message()) is what scripts write
  server:send_message("42")
  T.eq(tonumber(client:receive_message()), 42)

  local seen = {}
  client:when_new_msg(function(...) seen[#seen + 1] = { count(...) } end)
  server:send_message("t")
  server:send_binary("b")
  server:send_message("")
  T.wait(function() return #seen == 3 end)
  T.eq(seen[1][1], 1)
  T.eq(seen[1][2], "t")
  T.eq(seen[2][1], 2)
  T.eq(seen[2][2], "b")
  T.eq(seen[2][3], "binary")
  T.eq(seen[3][1], 1)
  T.eq(seen[3][2], "")
end)

T.test("S18_timeout", function()
  local client, server = T.pair()
  local before = coromega:now()
  local message, why = client:receive_message(0.05)
  T.eq(message, nil)
  T.eq(why, "timeout")
  T.ok(coromega:now() - before >= 0.04)
  T.eq(select("#", client:receive_message(0)), 2)
  -- It took nothing.
  server:send_message("later")
  T.eq(client:receive_message(10), "later")
  -- A large timeout leaves nothing behind.
  server:send_message("x")
  T.eq(client:receive_message(math.huge), "x")
  server:send_message("y")
  T.eq(client:receive_message(1e300), "y")
end)

T.test("S18_a_message_that_has_arrived_beats_the_timeout", function()
  local client, server = T.pair()
  -- It arrives while the script computes, and the timeout is over by then, too. What it takes to
  -- arrive depends on the machine.
  local function beats(seconds)
    local got, why
    coromega:start_new(function() got, why = client:receive_message(0.001) end)
    server:send_message("arrived")
    local deadline = coromega:now() + seconds
    while coromega:now() < deadline do end
    T.wait(function() return got or why end)
    if got then T.eq(got, "arrived") else T.eq(client:receive_message(), "arrived") end
    return got
  end
  for _ = 1, 20 do T.ok(beats(0.02) or beats(0.2) or beats(2)) end
  server:send_message("there")
  coromega:sleep(0.05)
  T.eq(client:receive_message(0), "there")
  T.eq(select(2, client:receive_message(0)), "timeout")
end)

T.test("S18_a_timeout_does_not_disturb_the_others", function()
  local client, server = T.pair()
  local log = {}
  for _, place in ipairs({ 1, 2, 3 }) do
    coromega:start_new(function()
      local message, why = client:receive_message(place == 2 and 0.01 or nil)
      log[#log + 1] = place .. (message or why)
    end)
  end
  T.wait(function() return #log == 1 end)
  server:send_message("a")
  server:send_message("b")
  T.wait(function() return #log == 3 end)
  T.eq(table.concat(log, " "), "2timeout 1a 3b")
end)

T.done()
