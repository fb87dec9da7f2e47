-- The runner that each test file loads: T.test for tests that wait, T.plain for those that call
-- run() themselves. A line per test; the exit status tells whether all of them held.
local coromega = require("coromega_ws")

local T = {
  coromega = coromega,
  interpreter = arg[-1],
  here = arg[0]:match("^(.*)/") or ".",
  jit = type(jit) == "table",
}

local only = os.getenv("TEST_ONLY")
local failures = 0
local reports, listeners, conns = {}, {}, {}

coromega:on_error(function(text) reports[#reports + 1] = text end)

-- What S4 has reported since the last call.
function T.reports()
  local list = reports
  reports = {}
  return list
end

local function finish(name, ok, err)
  if ok and #reports > 0 then ok, err = false, "reported: " .. reports[1] end
  T.reports()
  for _, listener in ipairs(listeners) do listener:close() end
  for _, conn in ipairs(conns) do
    conn:when_new_msg(nil)
    conn:close()
  end
  listeners, conns = {}, {}
  if ok then
    print("ok " .. name)
  else
    failures = failures + 1
    print("not ok " .. name .. ": " .. tostring(err):gsub("\n", " | "))
  end
  io.stdout:flush()
end

local function trace(err)
  return debug.traceback(tostring(err), 2)
end

-- Runs `fn` in a coroutine that coromega started, and dispatches until it has ended.
function T.test(name, fn)
  if only and not name:find(only) then return end
  local ended, ok, err = false, nil, nil
  coromega:start_new(function()
    ok, err = coromega.pcall(fn)
    ended = true
    coromega:halt()
  end)
  if not ended then coromega:run() end
  if not ended then ok, err = false, "run() ended before the test had" end
  finish(name, ok, err)
end

-- Runs `fn` on the main thread.
function T.plain(name, fn)
  if only and not name:find(only) then return end
  finish(name, xpcall(fn, trace))
end

function T.done()
  os.exit(failures == 0 and 0 or 1)
end

local function show(value)
  if type(value) == "string" then
    return #value > 200 and ("a string of %d bytes"):format(#value) or ("%q"):format(value)
  end
  return tostring(value)
end

function T.ok(value, what)
  if not value then error(what or "not true", 2) end
  return value
end

function T.eq(found, wanted, what)
  if found ~= wanted then
    error(("%sfound %s, wanted %s"):format(what and what .. ": " or "", show(found), show(wanted)), 2)
  end
end

function T.match(found, pattern)
  if type(found) ~= "string" or not found:find(pattern) then
    error(("found %s, which does not match %s"):format(show(found), show(pattern)), 2)
  end
end

-- `fn` must raise a string that matches.
function T.raises(pattern, fn, ...)
  local ok, err = pcall(fn, ...)
  if ok then error("no error was raised", 2) end
  if type(err) ~= "string" or not err:find(pattern) then
    error(("raised %s, which does not match %s"):format(show(err), show(pattern)), 2)
  end
  return err
end

-- Waits for a condition, with other coroutines running.
function T.wait(condition, what, seconds)
  local deadline = coromega:now() + (seconds or 20)
  while true do
    local value = condition()
    if value then return value end
    if coromega:now() > deadline then error("waited in vain for " .. (what or "a condition"), 2) end
    coromega:sleep(0.002)
  end
end

function T.server(options)
  local listener = coromega:create_websocket_server("127.0.0.1", 0, options)
  listeners[#listeners + 1] = listener
  return listener
end

function T.url(listener, path)
  local host, port = listener:address()
  return ("ws://%s:%d%s"):format(host, port, path or "")
end

function T.keep(conn)
  conns[#conns + 1] = conn
  return conn
end

-- Lets go of what T.keep holds.
function T.forget() conns = {} end

-- A client and a server connected to each other.
function T.pair(server_options, client_options)
  local listener = T.server(server_options)
  local accepted
  listener:when_new_conn(function(conn) accepted = conn end)
  local client, err = coromega:connect_to_websocket(T.url(listener), nil, client_options)
  T.ok(client, err)
  T.wait(function() return accepted end, "the server's connection")
  return T.keep(client), T.keep(accepted), listener
end

-- A listener whose next client is handed to a coroutine that waits for it.
function T.acceptor(options)
  local listener = T.server(options)
  local waiting = {}
  listener:when_new_conn(function(conn) waiting[#waiting + 1] = T.keep(conn) end)
  return listener, function()
    T.wait(function() return waiting[1] end, "a client")
    return table.remove(waiting, 1)
  end
end

local function quote(text) return "'" .. tostring(text):gsub("'", "'\\''") .. "'" end

-- Starts a program beside this one. Its output is read line by line, as it comes.
function T.spawn(...)
  local words = {}
  for place = 1, select("#", ...) do words[place] = quote((select(place, ...))) end
  local path = os.tmpname()
  os.execute(("%s >%s 2>&1 </dev/null &"):format(table.concat(words, " "), path))
  local spawned = { path = path }

  function spawned.lines()
    local file = assert(io.open(path, "rb"))
    local text = file:read("*a")
    file:close()
    local list = {}
    for line in text:gmatch("([^\n]*)\n") do list[#list + 1] = line end
    return list
  end

  -- The first line that matches; its captures.
  function spawned.expect(pattern, seconds)
    local found = T.wait(function()
      for _, line in ipairs(spawned.lines()) do
        if line:find(pattern) then return line end
      end
    end, "the peer's line " .. pattern .. " in: " .. table.concat(spawned.lines(), " / "), seconds)
    return found:match(pattern)
  end

  function spawned.forget() os.remove(path) end
  return spawned
end

-- A peer over a raw socket (peer.py).
function T.peer(...)
  return T.spawn(os.getenv("PYTHON") or "python3", T.here .. "/peer.py", ...)
end

function T.port(listener)
  local _, port = listener:address()
  return port
end

function T.collect()
  collectgarbage()
  collectgarbage()
end

-- Resident memory in bytes.
function T.memory()
  local file = assert(io.open("/proc/self/statm"))
  local _, pages = file:read("*n", "*n")
  file:close()
  return pages * 4096
end

-- The names of this process's threads.
function T.threads()
  local pipe = io.popen("cat /proc/$PPID/task/*/comm")
  local names = {}
  for line in pipe:lines() do names[#names + 1] = line end
  pipe:close()
  return names
end

return T
