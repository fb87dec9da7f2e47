-- What else there is to do comes in its turn while one message after the other comes, and nothing else.
-- The harness's waits would be something else: most of these tests have none.
local T = require("harness")
local coromega = T.coromega

-- Messages that go to and fro in run(), until the callback has returned true. It gets how often the
-- client has got one, and both ends.
local function flow(callback, text)
  local listener = T.server()
  local count, server = 0, nil
  listener:when_new_conn(function(conn)
    server = T.keep(conn)
    conn:when_new_msg(function(message) if message then conn:send_message(message) end end)
  end)
  coromega:start_new(function()
    local client = T.keep(coromega:connect_to_websocket(T.url(listener)))
    client:when_new_msg(function(message)
      if not message then return end
      count = count + 1
      if not callback(count, client, server, listener) then client:send_message(message) end
    end)
    client:send_message(text or "to and fro")
  end)
  coromega:run()
  return count
end

-- The most messages that go by while a coroutine waits, which is begun at each 37th: it goes on in the next
-- round, which may bring a message or two.
local function longest_wait(waits, behind)
  local longest, now = 0, 0
  flow(function(count)
    now = count
    if count == 2000 then
      coromega:halt()
      return true
    elseif count % 37 == 0 then
      coromega:start_new(function()
        waits()
        longest = math.max(longest, now - count)
      end)
      if behind then behind() end
    end
  end)
  return longest
end

T.plain("S3_halt_while_messages_flow", function()
  T.eq(flow(function(count)
    if count == 500 then
      coromega:halt()
      return true
    end
  end), 500)
end)

T.plain("S3_halt_leaves_the_other_connections_for_later", function()
  local listener = T.server()
  local count = 0
  listener:when_new_conn(function(conn)
    T.keep(conn):when_new_msg(function(message) if message then conn:send_message(message) end end)
  end)
  for _ = 1, 10 do
    coromega:start_new(function()
      local client = T.keep(coromega:connect_to_websocket(T.url(listener)))
      client:when_new_msg(function(message)
        if not message then return end
        count = count + 1
        client:send_message(message)
        if count % 500 == 0 then coromega:halt() end
      end)
      client:send_message("one of ten")
    end)
  end
  for n = 1, 10 do
    coromega:run()
    T.eq(count, n * 500)
  end
end)

T.plain("S3_the_main_thread_is_given_control_while_messages_flow", function()
  -- There the interpreter's hook for Ctrl-C waits.
  local seen, now, longest = 0, 0, 0
  debug.sethook(function()
    local co, main = coroutine.running()
    if co == nil or main then seen = now end
  end, "", 1)
  flow(function(count)
    now = count
    if now - seen > longest then longest = now - seen end
    if count == 1000 then
      coromega:halt()
      return true
    end
  end)
  debug.sethook()
  T.ok(longest <= 16, longest)
end)

T.plain("S3_run_ends_with_the_last_callback_while_messages_flow", function()
  T.eq(flow(function(count, client, server, listener)
    if count < 200 then return false end
    client:when_new_msg(nil)
    server:when_new_msg(nil)
    listener:close()
    return true
  end), 200)
end)

T.plain("S3_a_sleeper_wakes_in_time_while_messages_flow", function()
  T.ok(longest_wait(function() coromega:sleep(0) end) <= 3)
  local best
  -- A busy machine may delay one of them.
  for _ = 1, 5 do
    local late
    flow(function(count)
      if count == 100 then
        local before = coromega:now()
        coromega:start_new(function()
          coromega:sleep(0.05)
          late = coromega:now() - before - 0.05
        end)
      elseif late then
        coromega:halt()
        return true
      end
    end)
    if not best or late < best then best = late end
  end
  T.ok(best < 0.03, best)
end)

T.plain("S1_a_resume_comes_at_once_while_messages_flow", function()
  local resume
  T.ok(longest_wait(function()
    resume = coromega:get_resume()
    coromega:pause()
  end, function() resume() end) <= 3)
end)

T.plain("S15_what_waits_comes_at_once_while_messages_flow", function()
  local from, to, sent
  local longest, now, given = 0, 0, 0
  flow(function(count, _, _, listener)
    now = count
    if count == 10 then
      listener:when_new_conn(function(conn) to = T.keep(conn) end)
      coromega:start_new(function() from = T.keep(coromega:connect_to_websocket(T.url(listener))) end)
    elseif count >= 5000 and given > 10 or count > 100000 then
      coromega:halt()
      return true
    elseif from and to and count % 200 == 0 then
      from:send_message("for the inbox")
      sent = true
    elseif sent and count % 200 == 137 then
      to:when_new_msg(function(message)
        if not message then return end
        given = given + 1
        longest = math.max(longest, now - count)
        to:when_new_msg(nil)
      end)
    end
  end)
  T.ok(given > 10, given)
  T.ok(longest <= 3, longest)
end)

T.plain("S11_a_client_is_accepted_while_messages_flow", function()
  local accepted
  flow(function(count, client, _, listener)
    if count == 100 then
      listener:when_new_conn(function(conn) accepted = T.keep(conn) end)
      coromega:start_new(function() T.keep(coromega:connect_to_websocket(T.url(listener))) end)
    end
    if accepted then
      coromega:halt()
      return true
    end
  end)
  T.ok(accepted)
end)

T.plain("S4_an_error_while_messages_flow_ends_one_callback", function()
  T.eq(flow(function(count, client)
    if count == 300 then
      coromega:halt()
      return true
    elseif count % 50 == 0 then
      client:send_message("behind an error")
      error("fifty more")
    end
  end), 300)
  T.eq(#T.reports(), 5)
end)

T.plain("S16_a_callback_that_waits_while_messages_flow", function()
  local ended = 0
  flow(function(count, client)
    if count % 20 == 0 then
      client:send_message("before a wait")
      coromega:sleep(0.001)
      ended = ended + 1
      return true
    end
    if ended == 10 then
      coromega:halt()
      return true
    end
  end)
  T.eq(ended, 10)
end)

T.plain("S27_what_nobody_uses_is_collected_while_messages_flow", function()
  local weak = setmetatable({}, { __mode = "v" })
  local other, code
  flow(function(count, _, _, listener)
    if count == 10 then
      listener:when_new_conn(function(conn)
        other = conn
        conn:when_new_msg(function(message, _, ended) if message == nil then code = ended or "ended" end end)
      end)
      coromega:start_new(function()
        local conn = coromega:connect_to_websocket(T.url(listener))
        -- It holds its object, until it is gone.
        conn:when_new_msg(function() conn:when_new_msg(nil) end)
        weak.conn = conn
      end)
    elseif other and weak.conn and count == 1000 then
      other:send_message("the only one")
    elseif count > 1000 then
      if count % 20 == 0 then collectgarbage() end
      if code or count > 100000 then
        coromega:halt()
        return true
      end
    end
  end)
  T.ok(code, "not collected")
  T.eq(weak.conn, nil)
end)

local function send_while_a_send_waits(in_a_batch)
  local listener = T.server()
  local started, waiting, wrong, got = 0, 0, 0, 0
  local large = ("x"):rep(100000)
  listener:when_new_conn(function(conn)
    T.keep(conn)
    conn:when_new_msg(function(message)
      if not message then return end
      started = started + 1
      if waiting > 0 then wrong = wrong + 1 end
      coromega:start_new(function()
        waiting = waiting + 1
        conn:send_message(large)
        waiting = waiting - 1
      end)
    end)
  end)
  coromega:start_new(function()
    local client = T.keep(coromega:connect_to_websocket(T.url(listener), nil, { read_limit = 1000 }))
    for _ = 1, 200 do
      client:send_message("a small one")
      if not in_a_batch then coromega:sleep(0.001) end
    end
    T.wait(function() return waiting > 0 end)
    coromega:sleep(0.05)
    T.ok(started < 200, started)
    while got < 200 do
      T.eq(#client:receive_message(), #large)
      got = got + 1
    end
    coromega:halt()
  end)
  coromega:run()
  T.eq(got, 200)
  T.eq(wrong, 0)
end

T.plain("S16_none_of_a_batch_starts_while_a_send_waits", function() send_while_a_send_waits(true) end)
T.plain("S16_none_that_comes_starts_while_a_send_waits", function() send_while_a_send_waits(false) end)

T.plain("S14_what_lies_here_comes_before_what_comes", function()
  local listener = T.server({ max_callbacks = 1 })
  local client
  local got = {}
  listener:when_new_conn(function(conn)
    T.keep(conn):when_new_msg(function(message)
      if not message then return end
      got[#got + 1] = message
      if message == "1" then
        coromega:sleep(0.01)
        client:send_message("3")
        -- It has come when this callback ends.
        local before = coromega:now()
        while coromega:now() < before + 0.05 do end
      elseif #got == 3 then
        coromega:halt()
      end
    end)
  end)
  coromega:start_new(function()
    client = T.keep(coromega:connect_to_websocket(T.url(listener)))
    client:send_message("1")
    client:send_message("2")
  end)
  coromega:run()
  T.eq(table.concat(got, " "), "1 2 3")
end)

-- Messages in bursts to callbacks that do all that changes who gets the next one.
T.plain("S14_in_order_whoever_takes_them", function()
  local COUNT = 20000
  local listener = T.server({ max_callbacks = 3 })
  local seed, got, unfinished, wrong = 1, 0, 0, nil
  local function random(n)
    seed = (seed * 16807) % 2147483647
    return seed % n
  end
  local function take(message)
    got = got + 1
    if tonumber(message) ~= got then wrong = wrong or ("%s is number %d"):format(message, got) end
    if got == COUNT then coromega:halt() end
  end
  listener:when_new_conn(function(conn)
    T.keep(conn)
    local callback
    local function other(message)
      if not message then return end
      take(message)
      conn:when_new_msg(callback)
    end
    function callback(message)
      if not message then return end
      take(message)
      if unfinished >= 3 then wrong = wrong or "too many callbacks" end
      local what = random(40)
      if what > 35 then
        unfinished = unfinished + 1
        coromega:sleep(random(3) / 1000)
        unfinished = unfinished - 1
      elseif what == 0 then
        coromega:start_new(function()
          for _ = 1, random(5) do take((conn:receive_message())) end
        end)
      elseif what == 1 then
        conn:when_new_msg(other)
      elseif what == 2 then
        conn:when_new_msg(nil)
        coromega:start_new(function()
          if random(2) == 0 then coromega:sleep(0) end
          if random(2) == 0 then take((conn:receive_message())) end
          conn:when_new_msg(callback)
        end)
      elseif what == 3 then
        unfinished = unfinished + 1
        take((conn:receive_message()))
        unfinished = unfinished - 1
      elseif what == 5 then
        error("as planned")
      end
    end
    conn:when_new_msg(callback)
  end)
  coromega:start_new(function()
    local client = T.keep(coromega:connect_to_websocket(T.url(listener)))
    for n = 1, COUNT do
      client:send_message(tostring(n))
      if random(20) == 0 then coromega:sleep(random(2) / 1000) end
    end
    coromega:sleep(20)
    coromega:halt()
  end)
  coromega:run()
  T.reports()
  T.eq(wrong, nil)
  T.eq(got, COUNT)
end)

T.done()
