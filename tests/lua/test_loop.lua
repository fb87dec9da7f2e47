-- S3: when run() ends, halt(), poll() and fd().
local T = require("harness")
local coromega = T.coromega

T.plain("S3_run_ends_when_nothing_is_left", function()
  coromega:run()
  local slept = false
  coromega:start_new(function()
    coromega:sleep(0.02)
    slept = true
  end)
  coromega:run()
  T.eq(slept, true)
end)

T.plain("S3_a_coroutine_that_nobody_resumes_does_not_keep_run", function()
  coromega:start_new(function() coromega:pause() end)
  coromega:run()
end)

T.plain("S3_a_listener_keeps_run_until_it_is_closed", function()
  local listener = T.server()
  local reason
  listener:when_dead(function(text) reason = text end)
  coromega:start_new(function()
    coromega:sleep(0.05)
    listener:close("enough")
  end)
  coromega:run()
  T.eq(reason, "enough")
end)

T.plain("S3_connects_and_closes_keep_run", function()
  local err, closed
  coromega:start_new(function()
    local _, why = coromega:connect_to_websocket("ws://127.0.0.1:1")
    err = why
  end)
  coromega:run()
  T.match(err, "refused")

  local listener = T.server()
  listener:when_new_conn(function(conn)
    local _, why, code = conn:receive_message()
    closed = why == "closed" and code
    listener:close()
  end)
  coromega:start_new(function()
    local conn = coromega:connect_to_websocket(T.url(listener))
    -- Outside a coroutine, close starts the close and returns: run() sees it through.
    listener.client = conn
    coromega:halt()
  end)
  coromega:run()
  T.eq(listener.client:close(1000, "bye"), nil)
  coromega:run()
  T.eq(closed, 1000)
end)

T.plain("S3_a_callback_keeps_run_while_the_connection_is_open", function()
  local listener = T.server()
  local got, ended = 0, false
  listener:when_new_conn(function(conn)
    listener:close()
    for n = 1, 3 do
      coromega:sleep(0.01)
      conn:send_message(tostring(n))
    end
    conn:close()
  end)
  coromega:start_new(function()
    local conn = coromega:connect_to_websocket(T.url(listener))
    conn:when_new_msg(function(message)
      if message then got = got + 1 else ended = true end
    end)
  end)
  coromega:run()
  T.eq(got, 3)
  T.eq(ended, true)
end)

T.plain("S3_an_idle_connection_does_not_keep_run", function()
  local conn
  local listener = T.server()
  listener:when_new_conn(function(accepted) listener.accepted = accepted end)
  coromega:start_new(function()
    conn = coromega:connect_to_websocket(T.url(listener))
    T.wait(function() return listener.accepted end)
    listener:close()
  end)
  coromega:run()
  T.keep(conn)
  T.keep(listener.accepted)
end)

T.plain("S3_undelivered_events_keep_run", function()
  local listener = T.server()
  listener:close("closed before run")
  local reason
  listener:when_dead(function(text) reason = text end)
  coromega:run()
  T.eq(reason, "closed before run")
  reason = nil
  listener = T.server()
  listener:close("set later")
  coromega:run()
  listener:when_dead(function(text) reason = text end)
  coromega:run()
  T.eq(reason, "set later")
end)

T.plain("S3_halt", function()
  coromega:halt()
  local count = 0
  coromega:start_new(function()
    while count < 5 do
      coromega:sleep(0.001)
      count = count + 1
      if count == 2 then coromega:halt() end
    end
  end)
  coromega:run()
  T.eq(count, 2)
  coromega:halt()
  coromega:run()
  T.eq(count, 5)
end)

T.plain("S3_run_can_be_called_in_a_plain_coroutine", function()
  local done = false
  coroutine.wrap(function()
    coromega:start_new(function()
      coromega:sleep(0.001)
      done = true
    end)
    coromega:run()
  end)()
  T.eq(done, true)
end)

T.plain("S3_poll_returns_how_many_events_it_dispatched", function()
  T.eq(coromega:poll(0), 0)
  T.eq(coromega:poll(), 0)
  local before = coromega:now()
  T.eq(coromega:poll(0.06), 0)
  T.ok(coromega:now() - before > 0.05)
  local woken = 0
  for _ = 1, 3 do
    coromega:start_new(function()
      coromega:sleep(0.01)
      woken = woken + 1
    end)
  end
  local events = 0
  while woken < 3 do
    local count = coromega:poll(5)
    T.ok(count > 0, "poll returned early")
    events = events + count
  end
  T.eq(events, 3)
end)

T.plain("S3_a_host_can_drive_everything_with_poll", function()
  local listener = T.server()
  local got
  listener:when_new_conn(function(conn)
    conn:when_new_msg(function(message) if message then conn:send_message(message) end end)
  end)
  coromega:start_new(function()
    local conn = T.keep(coromega:connect_to_websocket(T.url(listener)))
    conn:send_message("polled")
    got = conn:receive_message()
  end)
  local rounds = 0
  while not got do
    coromega:poll(1)
    rounds = rounds + 1
    T.ok(rounds < 1000)
  end
  T.eq(got, "polled")
end)

T.plain("S3_fd_is_a_number", function()
  local fd = coromega:fd()
  T.ok(type(fd) == "number" and fd >= 0)
  T.eq(coromega:fd(), fd)
end)

-- Only LuaJIT can ask the system about a descriptor.
if T.jit then
  local ffi = require("ffi")
  ffi.cdef("struct cws_pollfd { int fd; short events, revents; };"
    .. "int poll(struct cws_pollfd *, unsigned long, int);")

  T.plain("S3_fd_is_readable_when_there_is_something_to_poll", function()
    local place = ffi.new("struct cws_pollfd[1]")
    place[0].fd, place[0].events = coromega:fd(), 1
    local function readable(ms) return ffi.C.poll(place, 1, ms) == 1 end

    while coromega:poll(0) > 0 do end
    T.eq(readable(0), false)

    local slept = false
    coromega:start_new(function()
      coromega:sleep(0.05)
      slept = true
    end)
    T.eq(readable(0), false)
    T.eq(readable(5000), true, "a sleeper")
    while not slept do coromega:poll(0) end
    T.eq(readable(0), false)

    local resume, resumed
    coromega:start_new(function()
      resume = coromega:get_resume()
      coromega:pause()
      resumed = true
    end)
    resume()
    T.eq(readable(5000), true, "a resume")
    while not resumed do coromega:poll(0) end

    local listener = T.server()
    local accepted, got
    listener:when_new_conn(function(conn)
      accepted = conn
      got = conn:receive_message()
    end)
    coromega:start_new(function()
      local conn = T.keep(coromega:connect_to_websocket(T.url(listener)))
      conn:send_message("by descriptor")
    end)
    while not got do
      T.eq(readable(5000), true, "traffic")
      coromega:poll(0)
    end
    T.keep(accepted)
    T.eq(got, "by descriptor")
  end)
end

T.done()
