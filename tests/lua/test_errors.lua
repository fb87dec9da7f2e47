-- S4, S33: what callbacks throw, whatever kind they are of.
local T = require("harness")
local coromega = T.coromega

-- What was reported, of errors with these words; each once.
local function reported(word)
  local found = {}
  T.wait(function()
    for _, report in ipairs(T.reports()) do found[#found + 1] = report end
    return #found > 0
  end, "a report of " .. word)
  T.eq(#found, 1)
  T.match(found[1], word)
end

local function thrower(word) return function() error(word) end end

T.test("S4_an_error_in_every_kind_of_callback_is_reported_and_harms_nothing_else", function()
  local steady, steady_server = T.pair()

  coromega:start_new(thrower("in start_new"))
  reported("in start_new")
  coromega:start_new(function()
    coromega:sleep(0.001)
    error("in sleep")
  end)
  reported("in sleep")

  local client, server = T.pair()
  server:when_new_msg(thrower("in when_new_msg"))
  client:send_message("x")
  reported("in when_new_msg")
  client:close()
  reported("in when_new_msg") -- the last call, with nil

  local listener = T.server({ when_request = thrower("in when_request") })
  local refused, why = coromega:connect_to_websocket(T.url(listener))
  T.eq(refused, nil)
  T.match(why, "500")
  reported("in when_request")

  listener = T.server()
  listener:when_new_conn(thrower("in when_new_conn"))
  local conn = T.keep(T.ok(coromega:connect_to_websocket(T.url(listener))))
  local _, _, code = conn:receive_message()
  T.eq(code, 1011)
  reported("in when_new_conn")
  listener:when_dead(thrower("in when_dead"))
  listener:close()
  reported("in when_dead")

  listener = T.server()
  local accepted
  listener:when_new_conn(function(new) accepted = new end)
  conn = T.keep(T.ok(coromega:connect_to_websocket(T.url(listener), nil, {
    reconnect = true,
    reconnect_delay = 0.01,
  })))
  conn:when_lost(thrower("in when_lost"))
  conn:when_back(thrower("in when_back"))
  T.wait(function() return accepted end)
  accepted:close(1011)
  reported("in when_lost")
  reported("in when_back")
  conn:close()

  coromega:on_log(thrower("in on_log"), "warning")
  coromega:connect_to_websocket("ws://127.0.0.1:1/")
  reported("in on_log")
  coromega:on_log(nil)

  T.eq(steady:send_message("still there"), nil)
  T.eq(steady_server:receive_message(), "still there")
end)

T.done()
