-- S19 to S21: sending.
local T = require("harness")
local coromega = T.coromega
local json = require("json")

T.test("S19_send_sends_json_text", function()
  local client, server = T.pair()
  T.eq(client:send({ author = "somebody", age = 18 }), nil)
  local text, kind = server:receive_message()
  T.eq(text, '{"age":18,"author":"somebody"}')
  T.eq(kind, nil)
  client:send({ 1, "two", { three = true }, json.null, {} })
  T.eq(server:receive_message(), '[1,"two",{"three":true},null,{}]')
  client:send("text")
  T.eq(server:receive_message(), '"text"')
  client:send(json.null)
  T.eq(server:receive_message(), "null")
end)

T.test("S19_a_message_that_is_not_to_be_compressed", function()
  local listener, accept = T.acceptor({ compression = true })
  local peer = T.peer("compressed", T.port(listener), 6)
  local server = accept()
  local text = ("x"):rep(50000)
  T.eq(server:send_message(text), nil)
  T.eq(server:send_message(text, { compress = false }), nil)
  T.eq(server:send_binary(text, { compress = true }), nil)
  T.eq(server:send_binary(text, { compress = false }), nil)
  T.eq(server:send({ text }, {}), nil)
  T.eq(server:send({ text }, { compress = false }), nil)
  T.wait(function() return #peer.lines() >= 6 end)
  for place, line in ipairs(peer.lines()) do
    if place > 6 then break end
    local how, size = line:match("^FRAME (%a+) (%d+)$")
    T.eq(how, place % 2 == 1 and "compressed" or "plain", place)
    T.ok((tonumber(size) < 1000) == (place % 2 == 1), line)
  end
  peer.forget()
end)

T.test("S19_a_message_that_waits_for_room_keeps_its_options", function()
  local listener, accept = T.acceptor({ compression = true, write_limit = 1000 })
  local peer = T.peer("compressed", T.port(listener), 400, 0.5)
  local server = accept()
  local text = ("x"):rep(50000)
  for n = 1, 400 do
    T.eq(server:send_message(text, n % 2 == 0 and { compress = false } or nil), nil)
  end
  T.wait(function() return #peer.lines() >= 400 end)
  for place, line in ipairs(peer.lines()) do
    if place > 400 then break end
    T.match(line, place % 2 == 1 and "^FRAME compressed" or "^FRAME plain")
  end
  peer.forget()
end)

T.test("S19_what_else_is_passed_is_not_looked_at", function()
  local client, server = T.pair()
  T.eq(client:send_message(("aba"):gsub("a", "c")), nil)
  T.eq(server:receive_message(), "cbc")
  T.eq(client:send_binary("x", "binary"), nil)
  T.eq(server:send_binary(server:receive_message()), nil)
  T.eq(client:receive_message(), "x")
  T.eq(client:send_message("options", { compress = true }), nil)
  T.eq(server:receive_message(), "options")
end)

T.test("S19_what_json_can_not_hold_is_an_error_and_nothing_is_sent", function()
  local client, server = T.pair()
  local cycle = {}
  cycle.cycle = cycle
  local deep = {}
  for _ = 1, 200 do deep = { deep } end
  for _, value in ipairs({
    print, coroutine.create(function() end), 0 / 0, 1 / 0, cycle, deep, { print }, { [1] = 1, [3] = 3 },
    { 1, 2, a = 1 }, { [0.5] = 1 }, { [true] = 1 }, "\255", { "\237\160\128" },
  }) do
    T.match(client:send(value), "json%.encode: ")
  end
  client:send_message("next")
  T.eq(server:receive_message(), "next")
end)

T.test("S19_text_that_is_not_utf8_is_an_error_and_nothing_is_sent", function()
  local client, server = T.pair()
  for _, text in ipairs({ "\255", "a\192\128", "\237\160\128", "\244\144\128\128", "caf\233" }) do
    T.match(client:send_message(text), "UTF%-8")
  end
  T.eq(client:send_message("fine"), nil)
  T.eq(server:receive_message(), "fine")
  T.eq(client:send_binary("\255\0"), nil)
  T.eq(server:receive_message(), "\255\0")
end)

T.test("S20_a_send_returns_nothing_when_it_is_accepted", function()
  local client = T.pair()
  T.eq(select("#", client:send_message("x")), 0)
  T.eq(select("#", client:send_binary("x")), 0)
  T.eq(select("#", client:send({})), 0)
end)

-- Fills the way to a peer that takes nothing, without waiting. The system makes room for more
-- for a while: it is full when nothing more goes after a rest.
local function fill(conn)
  local chunk = ("f"):rep(60000)
  local sent, err
  local function send_all()
    sent = 0
    for _ = 1, 10000 do
      err = conn:send_message(chunk)
      if err then return end
      sent = sent + 1
    end
  end
  repeat
    coroutine.wrap(send_all)()
    T.eq(err, "would block")
    coromega:sleep(0.1)
  until sent == 0
end

local function drain(conn)
  local count = 0
  while true do
    local message = conn:receive_message(0.3)
    if not message then return count end
    count = count + 1
  end
end

T.test("S20_would_block_where_it_can_not_wait", function()
  local client, server = T.pair()
  fill(client)
  T.ok(drain(server) > 0)
  -- Nothing of what was refused has been sent, and there is room again.
  T.eq(client:send_message("after"), nil)
  T.eq(server:receive_message(), "after")
end)

T.test("S20_a_send_waits_first_come_first_served", function()
  local client, server = T.pair()
  fill(client)
  local log, done = {}, 0
  local big = ("b"):rep(60000)
  for n = 1, 10 do
    coromega:start_new(function()
      log[#log + 1] = n
      T.eq(client:send_message(n .. " " .. big), nil)
      done = done + 1
    end)
  end
  coromega:sleep(0.02)
  T.eq(done, 0)
  -- Who comes while others wait is behind them; where it can't wait it is refused.
  T.eq(coroutine.wrap(function() return client:send_message("pushing in") end)(), "would block")
  local order = {}
  while #order < 10 do
    local message = server:receive_message(10)
    T.ok(message, "no message")
    local n = message:match("^(%d+) ")
    if n then order[#order + 1] = n end
    T.ok(message ~= "pushing in")
  end
  T.eq(table.concat(order, " "), "1 2 3 4 5 6 7 8 9 10")
  T.wait(function() return done == 10 end)
end)

T.test("S21_one_coroutines_messages_in_the_order_of_its_calls", function()
  local client, server = T.pair()
  local chunk = ("c"):rep(20000)
  for _, name in ipairs({ "a", "b", "c" }) do
    coromega:start_new(function()
      for n = 1, 50 do T.eq(client:send_message(name .. n .. " " .. chunk), nil) end
    end)
  end
  local next_of = { a = 1, b = 1, c = 1 }
  for _ = 1, 150 do
    local message = server:receive_message(20)
    local name, n = message:match("^(%a)(%d+) ")
    T.eq(tonumber(n), next_of[name])
    next_of[name] = next_of[name] + 1
  end
end)

T.test("S20_a_waiting_send_ends_with_the_connection", function()
  local client, server = T.pair()
  fill(client)
  local results = {}
  for n = 1, 3 do
    coromega:start_new(function() results[n] = client:send_message("never sent") end)
  end
  coromega:start_new(function() client:close() end)
  T.wait(function() return results[1] and results[2] and results[3] end)
  T.eq(results[1], "closed")
  T.eq(results[3], "closed")
  while true do
    local message, why = server:receive_message(20)
    if not message then
      T.eq(why, "closed")
      break
    end
    T.ok(message ~= "never sent")
  end
end)

T.test("S20_a_waiting_send_ends_when_the_peer_resets", function()
  local listener, accept = T.acceptor()
  local peer = T.peer("flood", T.port(listener), 10, 0.3)
  local server = accept()
  server:when_new_msg(function() end)
  fill(server)
  local result
  coromega:start_new(function() result = server:send_message("never sent") end)
  T.wait(function() return result end)
  T.eq(result, "closed")
  peer.forget()
end)

T.test("S20_what_was_accepted_leaves_while_the_script_computes", function()
  for _ = 1, 5 do
    local listener, accept = T.acceptor()
    local peer = T.peer("times", T.port(listener))
    local server = accept()
    local computed = false
    -- In a callback, where sends are corked.
    coromega:start_new(function()
      coromega:sleep(0)
      server:send_message("one")
      server:send_message("two")
      local deadline = coromega:now() + 0.5
      while coromega:now() < deadline do end
      server:send_message("three")
      computed = true
    end)
    T.wait(function() return computed end)
    server:close()
    peer.expect("^END")
    local at = {}
    for _, line in ipairs(peer.lines()) do
      local ms, name = line:match("^AT (%d+) (%a+)")
      if ms then at[name] = tonumber(ms) end
    end
    T.eq(at.one, 0)
    T.ok(at.two < 250, at.two)
    T.ok(at.three >= 300, at.three)
    peer.forget()
  end
end)

T.done()
