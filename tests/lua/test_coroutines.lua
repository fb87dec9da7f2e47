-- S1, S2, S4, S5: coroutines, waits, errors.
local T = require("harness")
local coromega = T.coromega

T.plain("S1_start_new_runs_at_once_up_to_the_first_wait", function()
  local log = {}
  coromega:start_new(function()
    log[#log + 1] = "started"
    coromega:sleep(0)
    log[#log + 1] = "slept"
  end)
  log[#log + 1] = "returned"
  coromega:run()
  T.eq(table.concat(log, " "), "started returned slept")
end)

T.plain("S1_start_new_from_anywhere", function()
  local count = 0
  local function task()
    coromega:sleep(0.001)
    count = count + 1
  end
  -- from a call out of C
  ("abc"):gsub(".", function() coromega:start_new(task) end)
  table.sort({ 2, 1 }, function(a, b) coromega:start_new(task) return a < b end)
  -- from other coroutines, coromega's and plain ones
  coroutine.wrap(function() coromega:start_new(task) end)()
  coromega:start_new(function()
    coromega:start_new(task)
    ;("ab"):gsub(".", function() coromega:start_new(task) end)
    coroutine.wrap(function() coromega:start_new(task) end)()
    coromega:sleep(0)
  end)
  coromega:run()
  T.ok(count >= 9, count)
end)

T.plain("S1_starts_nest_deeply", function()
  local count = 0
  local function nest(depth)
    count = count + 1
    if depth > 0 then coromega:start_new(function() nest(depth - 1) end) end
  end
  coromega:start_new(function() nest(2000) end)
  coromega:run()
  T.eq(count, 2001)
end)

T.plain("S1_start_new_returns_nothing", function()
  T.eq(select("#", coromega:start_new(function() end)), 0)
end)

T.test("S1_resume_hands_its_arguments_to_pause", function()
  local resume = coromega:get_resume()
  coromega:start_new(function()
    coromega:sleep(0)
    resume(1, nil, "three", nil)
  end)
  local function count(...) return select("#", ...), ... end
  local n, a, b, c, d = count(coromega:pause())
  T.eq(n, 4)
  T.eq(a, 1)
  T.eq(b, nil)
  T.eq(c, "three")
  T.eq(d, nil)
end)

T.test("S1_resume_called_first", function()
  local one, two = coromega:get_resume(), coromega:get_resume()
  one("one")
  two("two")
  T.eq(coromega:pause(), "one")
  T.eq(coromega:pause(), "two")
  local three = coromega:get_resume()
  three()
  T.eq(select("#", coromega:pause()), 0)
end)

T.test("S1_resume_works_once_and_not_in_another_life", function()
  local stale
  coromega:start_new(function()
    stale = coromega:get_resume()
  end)
  stale("too late")
  -- This one gets the pooled coroutine that the one before had.
  local got
  coromega:start_new(function() got = coromega:pause() end)
  stale("again")
  coromega:sleep(0.01)
  T.eq(got, nil)

  local resume = coromega:get_resume()
  coromega:start_new(function()
    coromega:sleep(0)
    resume("first")
    resume("second")
  end)
  T.eq(coromega:pause(), "first")
  local later = coromega:get_resume()
  coromega:start_new(function()
    coromega:sleep(0.01)
    later("later")
  end)
  T.eq(coromega:pause(), "later")
end)

T.plain("S1_resume_outside_run", function()
  local resume, got
  coromega:start_new(function()
    resume = coromega:get_resume()
    got = coromega:pause()
  end)
  resume("yes")
  coromega:run()
  T.eq(got, "yes")
end)

T.plain("S1_now_and_print", function()
  T.ok(math.abs(coromega:now() - os.time()) < 3)
  local lines = {}
  local print_before = print
  -- print was looked up when the module was loaded: its output goes to a file here.
  local path = os.tmpname()
  os.execute(("%s -e 'local c = require(\"coromega_ws\") c:print(\"a\", 1, nil, {1, \"x\", b = {c = true}}) local t = {} t.t = t c:print(t)' > %s"):format(T.interpreter, path))
  for line in io.lines(path) do lines[#lines + 1] = line end
  os.remove(path)
  T.eq(lines[1], 'a\t1\tnil\t{1, "x", b = {c = true}}')
  T.eq(lines[2], "{t = <cycle>}")
  T.ok(print_before == print)
end)

T.plain("S2_waits_outside_coroutines_raise", function()
  T.raises("start_new", function() coromega:connect_to_websocket("ws://127.0.0.1:1") end)
  T.raises("start_new", function() coromega:pause() end)
  T.raises("start_new", function() coromega:get_resume() end)
end)

T.test("S2_waits_in_foreign_coroutines_raise", function()
  local client, server = T.pair()
  server:send_message("there")
  local function foreign(fn)
    local ok, err = coroutine.resume(coroutine.create(fn))
    T.ok(not ok, "it did not raise")
    T.match(err, "start_new")
  end
  foreign(function() client:receive_message() end)
  foreign(function() coromega:sleep(0) end)
  foreign(function() coromega:pause() end)
  foreign(function() coromega:connect_to_websocket("ws://127.0.0.1:1") end)
  foreign(function() client:close() end)
  -- A send that need not wait works everywhere.
  T.eq(coroutine.wrap(function() return client:send_message("from a coroutine") end)(), nil)
  T.eq(server:receive_message(), "from a coroutine")
  T.eq(client:receive_message(), "there")
end)

T.test("S2_a_wait_that_can_not_yield_raises_and_harms_nothing", function()
  local client, server = T.pair()
  local ok, err
  ok, err = pcall(table.sort, { 3, 2, 1 }, function() client:receive_message() end)
  T.ok(not ok)
  T.match(err, "yield")
  ok, err = pcall(table.sort, { 3, 2, 1 }, function() coromega:sleep(0.001) end)
  T.ok(not ok)
  T.match(err, "yield")
  -- The waits that failed take nothing.
  server:send_message("one")
  server:send_message("two")
  coromega:sleep(0.05)
  T.eq(client:receive_message(), "one")
  local function two() return client:receive_message() end
  T.eq(two(), "two")
end)

T.plain("S2_sleep_on_the_main_thread_blocks", function()
  local ran = false
  coromega:start_new(function()
    coromega:sleep(0)
    ran = true
  end)
  local before = coromega:now()
  coromega:sleep(0.12)
  T.ok(coromega:now() - before >= 0.11)
  T.eq(ran, false)
  coromega:run()
  T.eq(ran, true)
end)

T.plain("S2_sleepers_wake_in_order", function()
  local log = {}
  for _, ms in ipairs({ 60, 20, 40, 0, 20 }) do
    coromega:start_new(function()
      coromega:sleep(ms / 1000)
      log[#log + 1] = ms
    end)
  end
  coromega:run()
  T.eq(table.concat(log, " "), "0 20 20 40 60")
end)

T.test("S2_receive_gives_way_after_64_in_a_row", function()
  local client, server = T.pair()
  for n = 1, 200 do server:send_message(tostring(n)) end
  coromega:sleep(0.1)
  local other, most, streak = 0, 0, 0
  local over = false
  coromega:start_new(function()
    while not over do
      other, streak = other + 1, 0
      coromega:sleep(0)
    end
  end)
  for n = 1, 200 do
    T.eq(client:receive_message(), tostring(n))
    streak = streak + 1
    if streak > most then most = streak end
  end
  over = true
  T.ok(most <= 64, most)
  T.ok(other >= 3, other)
end)

T.test("S4_an_error_ends_one_coroutine_and_is_reported_with_traceback", function()
  local alive = false
  coromega:start_new(function()
    coromega:sleep(0.001)
    error("deliberate")
  end)
  coromega:start_new(function()
    coromega:sleep(0.01)
    alive = true
  end)
  coromega:sleep(0.02)
  T.wait(function() return alive end)
  local reports = T.reports()
  T.eq(#reports, 1)
  T.match(reports[1], "deliberate")
  T.match(reports[1], "test_coroutines.lua")
  T.match(reports[1], "stack traceback")
end)

T.test("S4_error_values_that_are_no_strings", function()
  coromega:start_new(function() error({ code = 5, text = "what happened", more = { { {} } } }) end)
  coromega:start_new(function() error(nil) end)
  coromega:start_new(function()
    error(setmetatable({}, { __tostring = function() return "described" end }))
  end)
  coromega:start_new(function()
    error(setmetatable({}, { __tostring = function() error("no") end }))
  end)
  coromega:start_new(function() error({ ("x"):rep(5000) }) end)
  coromega:start_new(function()
    error(setmetatable({}, { __index = function() error("no") end }))
  end)
  local reports = T.reports()
  T.eq(#reports, 6)
  T.match(reports[1], 'table: {code = 5, more = {{...}}, text = "what happened"}')
  T.match(reports[3], "described")
  T.match(reports[4], "error object is a table")
  T.ok(#reports[5] < 2000 and reports[5]:find("x%.%.%."))
  T.match(reports[6], "error object is a table")
end)

T.plain("S4_by_default_to_standard_error", function()
  local path = os.tmpname()
  os.execute(([[%s -e 'local c = require("coromega_ws")
    c:start_new(function() c:sleep(0) error("by default") end)
    c:start_new(function() c:sleep(0.01) print("goes on") end)
    c:run()
    c:on_error(function() error("in the handler") end)
    c:start_new(function() error("the first") end)' > %s 2>&1]]):format(T.interpreter, path))
  local file = io.open(path)
  local text = file:read("*a")
  file:close()
  os.remove(path)
  T.match(text, "by default.*stack traceback.*the first.*in the handler")
  T.match(text, "goes on")
end)

T.test("S4_an_error_in_when_new_conn_closes_with_1011", function()
  local listener = T.server()
  listener:when_new_conn(function(conn)
    conn.name = "fields may be set"
    coromega:sleep(0)
    error("refused")
  end)
  local conn = coromega:connect_to_websocket(T.url(listener))
  local message, why, code = conn:receive_message()
  T.eq(message, nil)
  T.eq(why, "closed")
  T.eq(code, 1011)
  T.match(T.reports()[1], "refused")
end)

T.test("S4_pcall_can_be_waited_in", function()
  local function results(...) return select("#", ...), ... end
  local n, ok, a, b = results(coromega.pcall(function(x, y)
    coromega:sleep(0.001)
    return x + y, nil
  end, 1, 2))
  T.eq(n, 3)
  T.eq(ok, true)
  T.eq(a, 3)
  T.eq(b, nil)
  local failed, err = coromega.pcall(function()
    local inner_ok, inner_err = coromega.pcall(function()
      coromega:sleep(0)
      error("inner")
    end)
    T.eq(inner_ok, false)
    coromega:sleep(0)
    error("outer after " .. inner_err:match("%a+$"))
  end)
  T.eq(failed, false)
  T.match(err, "outer after inner$")
  local value = {}
  T.ok(select(2, coromega.pcall(error, value)) == value)
  T.ok(select(2, coromega:pcall(function() coromega:sleep(0) return value end)) == value)
  local resume = coromega:get_resume()
  coromega:start_new(function() coromega:sleep(0) resume("in pcall") end)
  T.eq(select(2, coromega.pcall(function() return coromega:pause() end)), "in pcall")
end)

T.plain("S4_pcall_outside_coroutines", function()
  T.eq(select(2, coromega.pcall(function() return 5 end)), 5)
  T.eq(coromega.pcall(error), false)
end)

T.test("S5_callbacks_never_run_inside_the_call_that_registers_them", function()
  local client, server, listener = T.pair()
  server:send_message("waiting")
  coromega:sleep(0.05)
  local called = 0
  client:when_new_msg(function() called = called + 1 end)
  T.eq(called, 0)
  coromega:sleep(0.01)
  T.eq(called, 1)
  listener:close("over")
  local dead = 0
  listener:when_dead(function() dead = dead + 1 end)
  T.eq(dead, 0)
  T.wait(function() return dead == 1 end)
  local late = 0
  listener:when_dead(function() late = late + 1 end)
  coromega:sleep(0.01)
  T.eq(late, 0)
end)

T.test("S5_run_and_poll_inside_a_callback_are_busy", function()
  T.raises("busy", function() coromega:run() end)
  coromega:sleep(0)
  T.raises("busy", function() coromega:run() end)
  T.raises("busy", function() coromega:poll(0) end)
  local ok, err = coroutine.resume(coroutine.create(function() coromega:poll(0) end))
  T.eq(ok, false)
  T.match(err, "busy")
end)

T.test("S27_pooled_coroutines_keep_nothing_alive", function()
  local weak = setmetatable({}, { __mode = "v" })
  for place = 1, 20 do
    coromega:start_new(function()
      local thing = {}
      weak[place] = thing
      if place % 2 == 0 then coromega:sleep(0.001) end
      return thing
    end)
  end
  coromega:sleep(0.02)
  coromega:start_new(function()
    local dropped = {}
    weak[100] = dropped
    coromega:pause() -- nobody can resume this one
    return dropped
  end)
  coromega:sleep(0.01)
  T.collect()
  T.eq(next(weak), nil)
end)

T.test("S1_an_ended_coroutine_that_the_script_closed_is_not_used_again", function()
  local ended
  coromega:start_new(function() ended = coroutine.running() end)
  if coroutine.close then coroutine.close(ended) else coroutine.resume(ended) end
  local count = 0
  for _ = 1, 3 do coromega:start_new(function() count = count + 1 end) end
  T.eq(count, 3)
end)

T.test("S5_a_finalizer_can_not_poll_in_the_middle_of_a_dispatch", function()
  local err
  local function finalizer() err = select(2, pcall(coromega.poll, coromega, 0)) end
  if newproxy then
    getmetatable(newproxy(true)).__gc = finalizer
  else
    setmetatable({}, { __gc = finalizer })
  end
  T.collect()
  T.match(err, "busy")
end)

T.done()
