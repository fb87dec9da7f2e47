-- The examples do what they say.
local T = require("harness")
local coromega = T.coromega
local examples = T.here .. "/../../examples/lua/"

local DIALOGUE = {
  "websocket client received (first message): \tserver hello",
  "websocket server received (first message): \tclient hello",
  "websocket server received (not intercepted): \tclient hello 1",
  "websocket client received (not intercepted): \tserver echo: client hello 1",
  "websocket server received (not intercepted): \tclient hello 2",
  "websocket client received (not intercepted): \tserver echo: client hello 2",
  "websocket server received (not intercepted): \tclient hello 3",
  "websocket client received: \tserver echo: client hello 3",
  "websocket server received (not intercepted): \tclient hello 4",
  "websocket client received: \tserver echo: client hello 4",
}

T.test("S14_the_dialogue_of_the_document", function()
  local run = T.spawn("sh", "-c", T.interpreter .. " " .. examples .. "dialogue.lua; echo status $?")
  T.eq(run.expect("^status (%d+)", 30), "0")
  local lines = run.lines()
  for place, line in ipairs(DIALOGUE) do T.eq(lines[place], line) end
  T.eq(#lines, #DIALOGUE + 1)
  run.forget()
end)

T.test("S17_the_echo_server_and_the_client", function()
  local server = T.spawn("sh", "-c", "echo PID $$; exec " .. T.interpreter .. " " .. examples
    .. "echo_server.lua --host 127.0.0.1 --port 0 --max-message-size 1000 --close-timeout 5")
  local port = server.expect("^LISTENING (%d+)", 30)
  local url = "ws://127.0.0.1:" .. port
  local conn = T.keep(assert(coromega:connect_to_websocket(url)))
  T.eq(select(2, conn:receive_message(0.1)), "timeout")
  conn:send_message("text")
  conn:send_binary("\0\255")
  T.eq(conn:receive_message(), "text")
  local message, kind = conn:receive_message()
  T.eq(message, "\0\255")
  T.eq(kind, "binary")
  conn:send_message(("x"):rep(1001))
  T.eq(select(3, conn:receive_message()), 1009)

  local client = T.spawn("sh", "-c", T.interpreter .. " " .. examples .. "client.lua " .. url
    .. " hello 'two words'; echo status $?")
  T.eq(client.expect("^status (%d+)", 30), "0")
  T.eq(table.concat(client.lines(), "|"), "hello|two words|status 0")
  client.forget()
  os.execute("kill " .. server.expect("^PID (%d+)"))
  server.forget()

  local taken = T.port(T.server())
  local failing = T.spawn("sh", "-c", T.interpreter .. " " .. examples .. "echo_server.lua --port "
    .. taken .. "; echo status $?")
  T.eq(failing.expect("^status (%d+)", 30), "1")
  T.match(table.concat(failing.lines(), "\n"), "in use")
  failing.forget()
end)

T.done()
