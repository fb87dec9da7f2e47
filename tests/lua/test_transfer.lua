-- S31, S35: a connection's number, and the connection behind it in another state.
local T = require("harness")
local coromega = T.coromega

-- How connections move between states and languages, tests/lifecycle/one_process.py shows.
T.test("S31_a_number_is_ones_own_object", function()
  local client, server = T.pair()
  T.ok(coromega:from_handle(client:handle()) == client)
  for n = 1, 100 do T.eq(server:send_message(tostring(n)), nil) end
  T.eq(client:receive_message(), "1")
  -- What had been taken in a batch is put back, and comes in its order.
  client:handle()
  for n = 2, 100 do
    T.eq(client:receive_message(), tostring(n))
    if n % 10 == 0 then client:handle() end
  end
  T.eq(server:send_binary("\0"), nil)
  T.eq(server:send_message("text"), nil)
  T.eq(server:send_binary("\1"), nil)
  client:handle()
  local message, kind = client:receive_message()
  T.eq(message, "\0")
  T.eq(kind, "binary")
  client:handle()
  message, kind = client:receive_message()
  T.eq(message, "text")
  T.eq(kind, nil)
  T.eq(client:receive_message(), "\1")
end)

T.done()
