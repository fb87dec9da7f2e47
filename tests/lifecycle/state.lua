-- What lua_states runs in each of its states: a server, a client, messages flying between them, and
-- then nothing is closed: the host closes the state.
local coromega = require("coromega_ws")

local listener = coromega:create_websocket_server("127.0.0.1", 0)
local _, port = listener:address()
listener:when_new_conn(function(conn)
    conn:when_new_msg(function(msg)
        if msg then
            conn:send_message(msg)
        end
    end)
end)

local rounds = 0
coromega:start_new(function()
    local conn = assert(coromega:connect_to_websocket("ws://127.0.0.1:" .. port))
    conn:when_new_msg(function(msg)
        rounds = rounds + 1
        if rounds == 20 then
            coromega:halt()
        end
        if msg then
            conn:send_message(msg)
        end
    end)
    for _ = 1, 8 do
        conn:send_message("traffic")
    end
end)
coromega:run()
assert(rounds >= 20, rounds)
