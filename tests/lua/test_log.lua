-- S38: the log, silent unless asked for.
local T = require("harness")
local coromega = T.coromega

local records = {}
local function keep(level, text) records[#records + 1] = level .. " " .. text end

local function said(pattern)
  for place, record in ipairs(records) do
    if record:find(pattern) then
      table.remove(records, place)
      return record
    end
  end
end

T.test("S38_the_log_is_silent_unless_asked", function()
  local client, server = T.pair()
  client:close()
  T.eq(server:receive_message(), nil)
  T.eq(#records, 0)
  T.raises("level must be", function() coromega:on_log(keep, "loud") end)
  T.raises("must be a function or nil", function() coromega:on_log("loud") end)
end)

T.test("S38_a_log_says_what_happens", function()
  coromega:on_log(keep)
  local client, server = T.pair()
  T.wait(function() return said("^info listener %d+: listens on 127%.0%.0%.1") end)
  T.wait(function() return said("^info connection %d+: open, from 127") end)
  T.wait(function() return said("^info connection %d+: open, to 127") end)
  client:send_message("sesame")
  T.eq(server:receive_message(), "sesame")
  client:close(4000, "sesame")
  T.eq(server:receive_message(), nil)
  T.wait(function() return said("closed with 4000, first by the peer") end)
  T.wait(function() return said("closed with 4000, first by us") end)
  T.eq(coromega:connect_to_websocket("ws://127.0.0.1:1/?sesame"), nil)
  T.wait(function() return said("^warning connection %d+: ended: connect to ws://127") end)
  T.eq(said("sesame"), nil)
  coromega:on_log(keep, "debug")
  local listener = T.server()
  local headers = { ["X-Api-Key"] = "sesame", Authorization = "Bearer sesame" }
  T.keep(T.ok(coromega:connect_to_websocket(T.url(listener, "/?sesame"), headers)))
  T.wait(function() return said("^debug .*X%-Api%-Key: %(not shown%)") end)
  T.wait(function() return said("^debug .*connecting over TCP, for ws://127") end)
  T.eq(said("sesame"), nil)
  coromega:on_log(nil)
  records = {}
  T.pair()
  coromega:sleep(0.02)
  T.eq(#records, 0)
end)

T.test("S38_an_error_in_the_log_is_reported_like_any_other", function()
  coromega:on_log(function() error("in the log") end, "warning")
  coromega:connect_to_websocket("ws://127.0.0.1:1/")
  coromega:on_log(nil)
  local reports = {}
  T.wait(function()
    for _, report in ipairs(T.reports()) do reports[#reports + 1] = report end
    return #reports > 0
  end)
  T.match(reports[1], "in the log")
end)

T.done()
