-- Tasks: the coroutines that coromega starts (S1, S2). They are pooled; a task is the record of
-- one, and lives as long as its coroutine.
--
-- `task.wait` names what a task waits for. Who wakes it clears that first: a wait that was
-- registered and could not yield, or was resumed by the script itself, is known by it.
local ws = ...

local error, select = error, select
local create, resume, yield = coroutine.create, coroutine.resume, coroutine.yield
local running, isyieldable = coroutine.running, coroutine.isyieldable
local close, status = coroutine.close, coroutine.status
local unpack = table.unpack or unpack
local remove = table.remove

local DONE = {} -- what a worker yields when its function has returned
local POOL = 256 -- idle coroutines kept
local DEPTH = 50 -- nested starts; Lua allows 200 C calls, and each takes a few

local pool, pooled = {}, 0
local current -- the task that runs; task.active is its coroutine, or the one inside its pcall
local slice = 0 -- counts resumes: the same number means "has not given way since"
local depth = 0
local ready = { first = 1, last = 0 } -- tasks that run at the next dispatch
ws.ready = ready

-- How to take back a registered wait, by what is waited for.
local cancels = { pause = function() end }
ws.cancels = cancels

local function cancel(task)
  local kind = task.wait
  task.wait = nil
  if task.index then ws.clear_timer(task) end
  cancels[kind](task)
end

-- Everything is set to nil before the worker rests: a pooled coroutine keeps nothing alive.
local function worker(fn, a, b, c)
  while true do
    if c ~= nil then fn(a, b, c) elseif b ~= nil then fn(a, b) elseif a ~= nil then fn(a) else fn() end
    fn, a, b, c = nil, nil, nil, nil
    fn, a, b, c = yield(DONE)
  end
end

local function fresh()
  while pooled > 0 do
    local task = pool[pooled]
    pool[pooled] = nil
    pooled = pooled - 1
    -- A script that kept an ended coroutine may have closed or resumed it; an interrupt here leaves none.
    if task and status(task.co) == "suspended" then return task end
  end
  local co = create(worker)
  return { co = co, active = co, life = 0, slice = 0, streak = 0 }
end

-- What the task's function leaves behind when it ends. task.special says that there is any of it.
local function clear(task)
  if task.wait then cancel(task) end
  if not task.special then return end
  task.life = task.life + 1
  local owner = task.owner
  task.special, task.owner, task.early = nil, nil, nil
  task.accepted, task.brief, task.reporting = nil, nil, nil
  if owner then ws.callback_finished(owner) end
end

local report

local function fail(task, err)
  local accepted, brief, reporting = task.accepted, task.brief, task.reporting
  clear(task)
  if ws.interrupted(err) then error(err, 0) end
  local text = ws.describe(task.co, err, brief)
  if close then close(task.co) end
  if accepted then ws.refuse(accepted) end
  if reporting then
    ws.write_error(reporting)
    ws.write_error("error in the function given to coromega:on_error: " .. text)
  else
    report(text)
  end
end

-- Runs a task up to its next wait. True if its function has ended.
local function step(task, a, b, c, d)
  local outer = current
  slice = slice + 1
  task.slice = slice
  current = task
  local ok, what = resume(task.co, a, b, c, d)
  current = outer
  if not ok then
    fail(task, what)
    return true
  end
  if what == DONE then
    if task.special then clear(task) end
    if pooled < POOL then
      pooled = pooled + 1
      pool[pooled] = task
    end
    return true
  end
  if what ~= task and task.wait then cancel(task) end
  return false
end

-- S4: one error reaches one handler; what fails in there reaches standard error.
function report(text)
  local handler = ws.handler
  if not handler then return ws.write_error(text) end
  local task = fresh()
  task.special, task.reporting = true, text
  depth = depth + 1
  step(task, handler, text)
  depth = depth - 1
end
ws.report = report

-- Runs a task that waits, now.
local function wake(task, a, b, c, d)
  task.wait = nil
  if task.index then ws.clear_timer(task) end
  return step(task, a, b, c, d)
end
ws.wake = wake

-- Runs a task that waits for a message of the record `r`; until it gives way it is the first
-- of r's takers (S14).
function ws.wake_taker(task, r, a, b)
  r.first = slice + 1
  return wake(task, a, b)
end

-- For a task whose time has come: runs it, unless the script has closed its coroutine.
function ws.wake_if_alive(task)
  if status(task.co) ~= "dead" then return wake(task) end
  clear(task)
end

-- Lets a task run at the next dispatch: for those who are woken from inside another.
local function schedule(task, a, b, c, d)
  task.wait = nil
  if task.index then ws.clear_timer(task) end
  task.a, task.b, task.c, task.d = a, b, c, d
  local last = ready.last + 1
  ready.last, ready[last] = last, task
  ws.nudge()
end
ws.schedule = schedule

-- Runs those that were scheduled before the call. Returns how many.
function ws.run_ready()
  local last, count = ready.last, 0
  while ready.first <= last do
    local first = ready.first
    local task = ready[first]
    ready.first, ready[first] = first + 1, nil
    count = count + 1
    if task then -- none after an interrupt here
      local a, b, c, d = task.a, task.b, task.c, task.d
      task.a, task.b, task.c, task.d = nil, nil, nil, nil
      step(task, a, b, c, d)
    end
  end
  if ready.first > ready.last then ready.first, ready.last = 1, 0 end
  return count
end

-- A callback waits. `r` is the record of the connection whose message it got.
local function own(task, r)
  task.special, task.owner = true, r
  r.unfinished = r.unfinished + 1
  if r.unfinished == r.max_callbacks then ws.settle(r) end
end
ws.own = own

-- Starts a callback for a message of the record `r`.
function ws.launch(fn, r, a, b, c)
  local task = fresh()
  if not step(task, fn, a, b, c) then own(task, r) end
end

-- Starts a function of ours that calls callbacks, one after the other, and gets its task. Once one
-- has left something behind, which task.special says, the function has to return. Returns the task
-- if a callback waits.
function ws.launch_many(fn)
  local task = fresh()
  if not step(task, fn, task) then return task end
end

-- Starts a callback whose errors are treated in their own way (S4, S22): `accepted` is the
-- record of the connection that an error closes, `brief` reports it in one line.
function ws.launch_marked(fn, a, b, c, accepted, brief)
  local task = fresh()
  task.special, task.accepted, task.brief = true, accepted, brief
  step(task, fn, a, b, c)
end

function ws.start(fn)
  local task = fresh()
  if depth >= DEPTH then return schedule(task, fn) end
  depth = depth + 1
  step(task, fn)
  depth = depth - 1
end

-- The running task, or nil where a wait is not possible.
local function try_waiting()
  if current == nil or running() ~= current.active then return nil end
  if isyieldable and not isyieldable() then return nil end
  if current.wait then cancel(current) end
  current.special = true
  return current
end
ws.try_waiting = try_waiting

-- The running task, or an error at the line that called `name`.
local function waiting(name, level)
  local task = try_waiting()
  if task then return task end
  if ws.running_task() then
    error(name .. " has to wait, which is not possible inside a call that Lua can't yield from "
      .. "(a metamethod, an iterator, table.sort, string.gsub)", level or 3)
  end
  error(name .. " waits: call it in a coroutine that coromega:start_new or a callback of "
    .. "coromega's has started", level or 3)
end
ws.waiting = waiting

-- Gives way until someone wakes the task; returns what it was woken with.
local function park(task)
  local a, b, c, d = yield(task)
  while task.wait do a, b, c, d = yield(task) end
  return a, b, c, d
end
ws.park = park

-- True on the main thread: outside any coroutine.
function ws.outside()
  local co, main = running()
  return co == nil or main == true
end

-- coromega.pcall moves the running task into a coroutine of its own, and back.
function ws.inside(co) current.active = co end
function ws.running_task() return current ~= nil and running() == current.active end

-- For run() and poll(): forgets what an interrupt has left behind.
function ws.reset() current, depth = nil, 0 end

function ws.get_resume()
  if not ws.running_task() then
    error("coromega:get_resume: call it in a coroutine that coromega:start_new or a callback of "
      .. "coromega's has started", 3)
  end
  local task, life = current, current.life
  task.special = true
  return function(...)
    local target = task
    if not target then return end
    task = nil
    if target.life ~= life then return end
    local results = { n = select("#", ...), ... }
    if target.wait == "pause" then return schedule(target, results) end
    target.early = target.early or {}
    target.early[#target.early + 1] = results
  end
end

function ws.pause()
  local task = waiting("coromega:pause", 4)
  local results
  if task.early and task.early[1] then
    results = remove(task.early, 1)
  else
    task.wait = "pause"
    results = park(task)
  end
  return unpack(results, 1, results.n)
end
