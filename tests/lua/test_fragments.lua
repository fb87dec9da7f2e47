-- S37: messages that are sent, and received, in fragments.
local T = require("harness")
local coromega = T.coromega

T.test("S37_a_message_is_written_in_fragments", function()
  local client, server = T.pair()
  local writer = T.ok(client:begin_message())
  T.match(tostring(writer), "^writer of connection")
  T.eq(writer:write("one "), nil)
  T.eq(writer:write(""), nil)
  T.eq(writer:write("\195"), nil)
  T.match(writer:write("x"), "UTF%-8")
  T.match(writer:finish(), "ends within a character")
  T.eq(writer:write("\188 two"), nil)
  -- What is sent meanwhile waits for its end, in its order.
  local order = {}
  for n = 1, 2 do
    coromega:start_new(function()
      T.eq(client:send_message("after " .. n), nil)
      order[#order + 1] = n
    end)
  end
  coromega:start_new(function()
    local second = T.ok(client:begin_binary({ compress = false }))
    T.eq(second:write("\0"), nil)
    T.eq(second:finish(), nil)
    order[#order + 1] = 3
  end)
  coromega:sleep(0.05)
  T.eq(#order, 0)
  T.eq(writer:finish(), nil)
  T.eq(server:receive_message(), "one \195\188 two")
  T.eq(server:receive_message(), "after 1")
  T.eq(server:receive_message(), "after 2")
  local data, kind = server:receive_message()
  T.eq(data, "\0")
  T.eq(kind, "binary")
  T.eq(table.concat(order), "123")
  T.raises("the message is finished", function() writer:write("x") end)
  T.raises("with a colon", function() writer.write({}, "x") end)
  local another = client:begin_binary()
  T.raises("must be a string, not number", function() another:write(1) end)
  -- What a script has put into a writer is no message, and no crash.
  for _, forged in ipairs({ true, "x", io.stdout }) do
    another._message = forged
    T.eq(another:write("x"), "invalid handle")
    T.eq(another:finish(), "invalid handle")
  end
  T.raises("no option level", function() client:begin_binary({ level = 1 }) end)
  -- Nothing of it was sent: it costs nothing.
  another = nil
  collectgarbage()
  collectgarbage()
  T.eq(client:send_message("still there"), nil)
  T.eq(server:receive_message(), "still there")
end)

T.test("S37_fragments_come_as_they_are_sent", function()
  local client, server = T.pair({ fragments = true })
  T.eq(client:send_message("whole"), nil)
  local data, kind, fin = server:receive_fragment(10)
  T.eq(data, "whole")
  T.eq(kind, "text")
  T.eq(fin, true)
  local writer = client:begin_binary()
  T.eq(writer:write("one"), nil)
  data, kind, fin = server:receive_fragment()
  T.eq(data, "one")
  T.eq(kind, "binary")
  T.eq(fin, false)
  data, kind = server:receive_fragment(0.01)
  T.eq(data, nil)
  T.eq(kind, "timeout")
  -- In a waiting coroutine, too, and across a hand-over.
  server:handle()
  coromega:start_new(function() data, kind, fin = server:receive_fragment() end)
  T.eq(writer:write("two"), nil)
  T.wait(function() return data end)
  T.eq(data, "two")
  T.eq(fin, false)
  T.eq(writer:finish(), nil)
  data, kind, fin = server:receive_fragment()
  T.eq(data, "")
  T.eq(kind, "binary")
  T.eq(fin, true)
  writer = client:begin_message()
  writer:write("half")
  T.eq(server:receive_fragment(), "half")
  client:close()
  data, kind, fin = server:receive_fragment()
  T.eq(data, nil)
  T.eq(kind, "closed")
  T.eq(fin, 1000)
  T.eq(writer:write("late"), "closed")
  T.raises("use receive_fragment", function() server:receive_message() end)
  T.raises("use receive_fragment", function() server:when_new_msg(print) end)
  -- Where the option is not set, every message is one.
  client, server = T.pair()
  server:send_binary("x")
  data, kind, fin = client:receive_fragment()
  T.eq(data, "x")
  T.eq(kind, "binary")
  T.eq(fin, true)
  local refused, err = coromega:connect_to_websocket("ws://127.0.0.1:1/", nil,
    { fragments = true, reconnect = true })
  T.eq(refused, nil)
  T.match(err, "fragments does not go with reconnect")
end)

T.test("S37_a_message_that_is_not_finished_closes_the_connection", function()
  local client, server = T.pair()
  do
    local writer = client:begin_message()
    writer:write("half")
  end
  collectgarbage()
  collectgarbage()
  local message, why, code, reason = server:receive_message()
  T.eq(message, nil)
  T.eq(why, "closed")
  T.eq(code, 1011)
  T.eq(reason, "a message was not finished")
end)

T.test("S37_a_message_may_be_larger_than_memory_should_hold", function()
  local parts, part = 512, ("0123456789abcdef"):rep(4096)
  local limits = { fragments = true, read_limit = 65536, max_message_size = parts * #part }
  local client, server = T.pair(limits)
  local failed
  coromega:start_new(function()
    local writer = client:begin_binary()
    for _ = 1, parts do failed = failed or writer:write(part) end
    failed = failed or writer:finish()
  end)
  local got, most, fin = 0, 0, false
  while not fin do
    local data, _
    data, _, fin = server:receive_fragment()
    T.ok(data == part:sub(got % #part + 1, got % #part + #data)
      or (part .. part):sub(got % #part + 1, got % #part + #data) == data)
    got = got + #data
    most = math.max(most, collectgarbage("count"))
  end
  T.eq(failed, nil)
  T.eq(got, parts * #part)
  T.ok(most < 16 * 1024, ("%.0f KiB of Lua's memory"):format(most))
end)

T.done()
