"""A Lua script whose host forks: forked_lua.py LUA (a module of lupa)."""

import importlib
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))
from hosts import STAGE  # noqa: E402

SCRIPT = r"""
local fork, wait, exit = ...
local coromega = require("coromega_ws")

local function eq(got, wanted)
  if got ~= wanted then error(("%s, not %s"):format(tostring(got), tostring(wanted)), 2) end
end

local function open()
  local accepted
  local listener = coromega:create_websocket_server("127.0.0.1", 0)
  listener:when_new_conn(function(conn) accepted = conn end)
  local host, port = listener:address()
  local client = assert(coromega:connect_to_websocket(("ws://%s:%d/"):format(host, port)))
  while not accepted do coromega:sleep(0.001) end
  return listener, client, accepted
end

local function exchange(client, server, text)
  eq(client:send_message(text), nil)
  eq(server:receive_message(), text)
end

-- What the child sees of the parent's objects.
local function use_the_parents(listener, client, server, ended)
  eq(client:send_message("lost"), "forked")
  eq(select(2, server:receive_message(1)), "forked")
  eq(client:close(), "forked")
  eq(select(2, client:request()), "forked")
  eq(client:latency(), nil)
  eq(select(2, listener:address()), "forked")
  -- A new listener and connection, with a runtime of its own; the waits of before have ended.
  local another, one, two = open()
  exchange(one, two, "in the child")
  eq(ended.receive, "forked")
  eq(ended.callback, "forked")
  eq(ended.dead, "forked")
  eq(client:send_message("lost"), "forked")
  eq(select(2, listener:address()), "forked")
  eq(one:close(), nil)
  another:close()
end

local done
coromega:start_new(function()
  local listener, client, server = open()
  local ended = {}
  exchange(client, server, "before")
  -- Waits that the fork ends, in the child only.
  local third = {}
  third.listener, third.client, third.server = open()
  third.listener:when_dead(function(reason) ended.dead = reason end)
  coromega:start_new(function() ended.receive = select(2, third.client:receive_message()) end)
  third.server:when_new_msg(function(message, code, reason)
    if message == nil then ended.callback = reason end
  end)
  local pid = fork()
  if pid == 0 then
    local passed, why = coromega.pcall(use_the_parents, listener, client, server, ended)
    if not passed then print("child: " .. tostring(why)) end
    exit(passed and 0 or 1)
  end
  eq(wait(pid), 0)
  exchange(client, server, "after")
  eq(ended.receive, nil)
  eq(ended.dead, nil)
  -- A child that leaves its coroutine goes on in run(), which ends: nothing of the parent's is left.
  pid = fork()
  if pid == 0 then
    done = "child"
    return
  end
  eq(wait(pid), 7)
  exchange(client, server, "still here")
  done = "parent"
  coromega:halt()
end)
coromega:run()
if done == "child" then exit(7) end
return done
"""

lua = sys.argv[1]
sys.setdlopenflags(os.RTLD_NOW | os.RTLD_GLOBAL)
lupa = importlib.import_module(f"lupa.{lua}")
version = {"lua51": "5.1", "lua52": "5.2", "lua53": "5.3", "lua54": "5.4"}.get(lua, "5.1")
state = lupa.LuaRuntime()
state.globals().package.cpath = f"{STAGE}/lib/lua/{version}/?.so"
state.globals().package.path = f"{STAGE}/share/lua/{version}/?.lua"


def wait(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def leave(status):
    sys.stdout.flush()
    os._exit(status)


done = state.execute(SCRIPT, os.fork, wait, leave)
assert done == "parent", done
print("ok")
