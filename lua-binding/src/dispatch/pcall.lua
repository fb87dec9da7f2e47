-- coromega.pcall: a pcall that can be waited in, also where Lua's own can't be yielded through.
local ws = ...

local error, pcall = error, pcall
local create, resume, yield = coroutine.create, coroutine.resume, coroutine.yield
local running, status = coroutine.running, coroutine.status

-- An interrupt ends the program, not only the call it happens to hit.
local function result(ok, err, ...)
  if not ok and ws.interrupted(err) then error(err, 0) end
  return ok, err, ...
end

local function native(fn, ...) return result(pcall(fn, ...)) end

local probe = create(function() pcall(yield, "yielded") end)
local _, yielded = resume(probe)
if yielded == "yielded" then
  ws.pcall = native
  return
end

-- Lua 5.1: the function runs in a coroutine of its own, whose waits are passed on to the one
-- outside. While it runs, it is the running task's coroutine.
local pass

local function enter(inner, outer, ...)
  ws.inside(inner)
  return pass(inner, outer, resume(inner, ...))
end

function pass(inner, outer, ok, ...)
  ws.inside(outer)
  if status(inner) == "suspended" then return enter(inner, outer, yield(...)) end
  return result(ok, ...)
end

function ws.pcall(fn, ...)
  if not ws.running_task() then return native(fn, ...) end
  local inner = create(function(...) return fn(...) end)
  return enter(inner, running(), ...)
end
