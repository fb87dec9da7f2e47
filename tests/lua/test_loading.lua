-- Loading, the modules, and what is raised for calls of the wrong shape.
local function threads()
  local pipe = io.popen("cat /proc/$PPID/task/*/comm | wc -l")
  local count = tonumber(pipe:read("*l"))
  pipe:close()
  return count
end

local before = threads()
local coromega = require("coromega_ws")
local after_require = threads()
coromega:poll(0)
local after_poll = threads()

local T = require("harness")

T.plain("S32_require_starts_no_thread", function()
  T.eq(after_require, before)
  T.eq(after_poll, before)
end)

T.plain("S31_one_thread_however_many_connections", function()
  local function count()
    local found = 0
    for _, name in ipairs(T.threads()) do
      if name == "coromega-ws" then found = found + 1 end
    end
    return found
  end
  T.eq(count(), 0)
  T.server()
  -- A thread takes its name after it has started.
  for _ = 1, 1000 do
    if count() > 0 then break end
    coromega:sleep(0.01)
  end
  T.eq(count(), 1)
  T.server()
  coromega:sleep(0.1)
  T.eq(count(), 1)
end)

T.plain("S1_the_modules_of_the_document", function()
  local omega = require("omega")
  T.ok(require("coromega").from(omega) == coromega)
  T.ok(require("coromega").from(omega) == require("coromega").from(omega))
  local root = os.getenv("COROMEGA_ROOT") or "."
  T.eq(omega.storage_path.get_code_path("LuaLoader", "?.lua"), root .. "/LuaLoader/?.lua")
  T.eq(omega.storage_path.get_code_path(), root)
  T.raises("get_code_path", omega.storage_path.get_code_path, {})
  local json = require("json")
  T.ok(json == coromega.json)
  T.eq(json.encode({ author = "somebody", age = 18 }), '{"age":18,"author":"somebody"}')
  T.match(coromega._VERSION, "^%d+%.%d+%.%d+$")
end)

T.plain("S31_loaded_again_it_is_the_same_object", function()
  package.loaded.coromega_ws = nil
  T.ok(require("coromega_ws") == coromega)
end)

T.plain("S1_wrong_shapes_raise_at_the_callers_line", function()
  local listener = T.server()
  local here = "test_loading.lua:"
  local function raises(pattern, fn) T.match(T.raises(pattern, fn), here) end
  raises("must be a function", function() coromega:start_new(5) end)
  raises("call it with a colon", function() coromega.start_new(print) end)
  raises("call it with a colon", function() coromega.run() end)
  raises("must be a number", function() coromega:sleep("1s") end)
  raises("must be a number", function() coromega:sleep(0 / 0) end)
  raises("must be a number", function() coromega:poll("now") end)
  raises("host must be a string", function() coromega:create_websocket_server(1042, 0) end)
  raises("port must be a number", function() coromega:create_websocket_server("127.0.0.1", "x") end)
  raises("options must be a table", function()
    coromega:create_websocket_server("127.0.0.1", 0, 5)
  end)
  raises("option read_limit must be a number", function()
    coromega:create_websocket_server("127.0.0.1", 0, { read_limit = print })
  end)
  raises("name must be a string", function()
    coromega:create_websocket_server("127.0.0.1", 0, { 5 })
  end)
  raises("must be a function", function() listener:when_new_conn("f") end)
  raises("must be a function", function() listener:when_dead(5) end)
  raises("not a listener", function() listener.close("bye") end)
  raises("reason must be a string", function() listener:close(5) end)
  raises("must be a function", function() coromega:on_error("f") end)
end)

T.test("S1_wrong_shapes_of_connections_raise", function()
  local client = T.pair()
  local here = "test_loading.lua:"
  local function raises(pattern, fn) T.match(T.raises(pattern, fn), here) end
  raises("must be a string, not nil", function() client:send_message() end)
  raises("must be a string, not number", function() client:send_message(5) end)
  raises("must be a string, not table", function() client:send_binary({}) end)
  raises("no option compres$", function() client:send_message("text", { compres = false }) end)
  raises("compress must be a boolean", function() client:send({}, { compress = 0 }) end)
  raises("not a connection", function() client.send_message("text") end)
  raises("not a connection", function() client.receive_message() end)
  raises("not a connection", function() client.close(1000) end)
  raises("must be a function", function() client:when_new_msg("f") end)
  raises("must be a number", function() client:receive_message("soon") end)
  raises("code must be a number", function() client:close("bye") end)
  raises("reason must be a string", function() client:close(1000, {}) end)
  raises("address must be a string", function() coromega:connect_to_websocket(5) end)
  raises("headers must be a table", function() coromega:connect_to_websocket("ws://x", 5) end)
  raises("options must be a table", function() coromega:connect_to_websocket("ws://x", nil, 5) end)
  raises("header X must be", function()
    coromega:connect_to_websocket("ws://x", { X = true })
  end)
  raises("header X must be", function()
    coromega:connect_to_websocket("ws://x", { X = { "a", {} } })
  end)
  raises("name must be a string", function()
    coromega:connect_to_websocket("ws://x", { "a" })
  end)
  -- Nothing of that has hurt the connection.
  T.eq(client:send_message("still there"), nil)
end)

T.test("S35_handles_that_are_none_raise", function()
  local client = T.pair()
  T.ok(coromega:from_handle(client:handle()) == client, "one handle is one object")
  T.raises("from_handle", function() coromega:from_handle(12345678) end)
  T.raises("from_handle", function() coromega:from_handle(0) end)
  T.raises("from_handle", function() coromega:from_handle(-1) end)
  T.raises("from_handle", function() coromega:from_handle(0 / 0) end)
  T.raises("from_handle", function() coromega:from_handle(2 ^ 60) end)
  T.raises("must be a number", function() coromega:from_handle("1") end)
  local handle
  do
    local other = coromega:connect_to_websocket("ws://127.0.0.1:" .. T.port(T.server()))
    handle = other:handle()
  end
  coromega:sleep(0)
  T.collect()
  T.raises("from_handle", function() coromega:from_handle(handle) end)
end)

T.done()
