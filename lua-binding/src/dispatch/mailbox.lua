-- The loop: takes events from the library and runs what they are for (S3, S5).
local ws = ...

local raw = ws.raw
local raw_poll, clock = raw.poll, raw.clock
local error, pcall = error, pcall
local ceil, min = math.ceil, math.min
local objects, ready, turns, timers = ws.objects, ws.ready, ws.turns, ws.timers
local again, deliver, take, wake = ws.again, ws.deliver, ws.take, ws.wake
local raw_receive, launch_many, own = raw.receive, ws.launch_many, ws.own

local OPEN, ACCEPTED, WRITABLE, CLOSED, DEAD, REQUESTED, PONG, LOST, MOVED, LOG =
  -1, -2, -4, -5, -6, -7, -8, -9, -10, -11
-- READABLE is told by the handle alone.
-- The standalone interpreters note Ctrl-C in a hook that runs when control is back in Lua. The
-- system wakes the wait for a signal, but not for one that came just before it.
local SLICE, SLICE_MS = 0.05, 50

local events, at, last = {}, 1, 0 -- what is left of the last poll
local dispatching = false
local halted, looping = false, false
local fd_used = false
local flowing -- the record whose messages flow() took last

local function on_event(kind, handle, code, text)
  if kind == WRITABLE then
    local conn = objects[handle]
    if conn then ws.on_writable(conn, conn._record) end
  elseif kind == PONG then
    ws.on_pong(handle)
  elseif kind == OPEN then
    ws.on_open(handle)
  elseif kind == ACCEPTED then
    ws.on_accepted(handle)
  elseif kind == REQUESTED then
    ws.on_requested(handle)
  elseif kind == CLOSED then
    ws.on_closed(handle, code, text)
  elseif kind == MOVED then
    ws.on_moved(handle)
  elseif kind == LOST then
    ws.on_lost(handle, code, text)
  elseif kind == DEAD then
    ws.on_dead(handle, text)
  end
end

-- The path of most messages, as a task: gives those of the connections that have news to their
-- callbacks, without a coroutine for each, until one of these waits, or something else is to be done
-- first, which is left as it is. No object is kept here while a callback waits (S27).
local function flow(task)
  while at <= last and not halted do
    local handle = events[at]
    local r = handle > 0 and objects[handle]
    r = r and r._record
    local callback = r and r.callback
    -- Where nothing but the callback holds the object, nobody waits for it.
    if not callback or r.holds ~= 1 or r.head <= r.tail or r.slow
      or r.unfinished >= r.max_callbacks then return end
    local count, message, kind, more = raw_receive(handle, r.queue, r.kinds)
    if not count then return end
    at, flowing = at + 1, r
    if count > 0 then
      if count > 1 then r.head, r.tail = 2, count end
      if more then again(objects[handle], r) end
      if kind then callback(message, kind) else callback(message) end
      if task.special then return end
      while r.head <= r.tail do
        callback = r.callback
        if not callback or r.holds ~= 1 then return end
        message, kind = take(r)
        if kind then callback(message, kind) else callback(message) end
        if task.special then return end
      end
    end
  end
end

-- Sees to connections that have news, one at least. Returns how many.
local function run_readable()
  local place = at
  local conn = objects[events[place]]
  local r = conn and conn._record
  if r and r.callback and r.holds == 1 then
    conn, flowing = nil, nil
    local waits = launch_many(flow)
    r, flowing = flowing, nil -- it may hold the object (S27)
    if r then
      if waits then own(waits, r) end
      -- What it has left of the last one's messages.
      conn = r.head <= r.tail and objects[r.handle]
      if conn then deliver(conn, r) end
      return at > place and at - place or 1 -- a fork forgets the others
    end
    conn = objects[events[place]]
  end
  at = place + 1
  if conn then deliver(conn, conn._record) end
  return 1
end

-- Dispatches what the last poll brought. An error that leaves here (an interrupt) leaves the
-- other events for the next dispatch.
local function run_events()
  local count = 0
  while at <= last do
    local place = at
    local kind, handle = events[place], events[place + 1]
    count = count + 1
    if kind > 0 then
      count = count + run_readable() - 1
    elseif kind == CLOSED or kind == DEAD or kind == LOST then
      local code, text = events[place + 3], events[place + 5]
      events[place + 5] = false
      at = place + 6
      on_event(kind, handle, code, text)
    elseif kind == LOG then
      local level, text = events[place + 2], events[place + 3]
      events[place + 3] = false
      at = place + 4
      ws.on_log_record(level, text)
    else
      at = place + 2
      on_event(kind, handle)
    end
    if halted then break end
  end
  return count
end

local function run_timers()
  local now, count = clock(), 0
  for _ = 1, #timers do
    local task = timers[1]
    if not task or task.at > now then break end
    ws.clear_timer(task)
    count = count + 1
    if task.wait == "receive" then
      ws.on_receive_timeout(task)
    else
      ws.wake_if_alive(task)
    end
  end
  return count
end

-- One round: waits for at most `limit` seconds if there is nothing to do. Returns how many
-- events it dispatched.
local function round(limit)
  if at > last then
    local wait = limit
    if ready.last > 0 or turns.last > 0 then
      wait = 0
    elseif timers[1] and wait > 0 then
      wait = min(wait, timers[1].at - clock())
      if wait < 0 then wait = 0 end
    end
    local slots, err = raw_poll(wait == SLICE and SLICE_MS or ceil(wait * 1000), events)
    if err == "forked" and ws.renew() then return 0 end
    if not slots then error("coromega: " .. err, 0) end
    at, last = 1, slots
  end
  -- Who gives way during this round has its turn in the next one.
  local last_turn = turns.last
  local count = run_events()
  if timers[1] then count = count + run_timers() end
  if ready.last > 0 then count = count + ws.run_ready() end
  if last_turn > 0 then count = count + ws.run_turns(last_turn) end
  return count
end

-- S3: whether anything can still happen by itself.
local function alive()
  return ws.listeners() > 0 or ws.held() > 0 or ws.connects() > 0 or timers[1] ~= nil
    or ready.last > 0 or turns.last > 0 or at <= last
end

local function enter(name)
  -- Also from a finalizer that runs in the middle of a dispatch.
  if dispatching or ws.running_task() then
    error(name .. " is busy: it can't be called from a callback or coroutine that it runs", 4)
  end
  ws.reset()
end

local function leave()
  dispatching = false
  raw.flush()
  ws.nudge()
end

-- Dispatches with `fn`. An error that ends it (an interrupt) leaves nothing behind.
local function dispatch(fn, ...)
  local ok, result = pcall(fn, ...)
  looping, halted = false, false
  leave()
  if not ok then error(result, 0) end
  return result
end

-- For a host that waits on fd(): has it become readable when there is something to do.
function ws.nudge()
  if not fd_used or dispatching then return end
  if ready.last > 0 or turns.last > 0 or at <= last then return raw.set_deadline(0) end
  if not timers[1] then return raw.set_deadline(-1) end
  local after = timers[1].at - clock()
  raw.set_deadline(after > 0 and min(ceil(after * 1000), 2 ^ 31) or 0)
end

local function run_until_idle()
  dispatching, halted, looping = true, false, true
  while not halted do
    if alive() then
      round(SLICE)
    else
      round(0)
      if not alive() then break end
    end
  end
end

local function run()
  enter("coromega:run")
  dispatch(run_until_idle)
end

local function poll_until(timeout)
  dispatching, looping = true, false
  local deadline = clock() + timeout
  local left, count = timeout, nil
  repeat
    count = round(left > SLICE and SLICE or left > 0 and left or 0)
    left = deadline - clock()
  until count > 0 or left <= 0
  return count
end

local function poll(timeout)
  if timeout == nil then timeout = 0 end
  ws.expect_seconds(timeout, "coromega:poll", "the timeout", 4)
  enter("coromega:poll")
  return (dispatch(poll_until, timeout))
end

local function sleep(seconds)
  ws.expect_seconds(seconds, "coromega:sleep", "the time", 4)
  if ws.outside() then
    local deadline = clock() + seconds
    local left = seconds
    while left > 0 do
      raw.block(min(left, SLICE))
      left = deadline - clock()
    end
    return
  end
  local task = ws.waiting("coromega:sleep", 4)
  task.wait = "sleep"
  ws.set_timer(task, clock() + (seconds > 0 and seconds or 0))
  ws.park(task)
end
ws.cancels.sleep = function() end

-- LuaJIT's compiled traces don't look at hooks: the loops above stay interpreted, so that an
-- interrupt is seen after each round.
if type(jit) == "table" and jit.off then
  local loops = { run_readable, run_events, run_timers, round, run_until_idle, run, poll_until, poll, sleep }
  for _, fn in ipairs(loops) do jit.off(fn) end
end

ws.run, ws.poll, ws.sleep = run, poll, sleep

-- What the last poll brought, and the descriptor, are the parent's.
function ws.forget_events()
  at, last, fd_used = 1, 0, false
end

function ws.halt() if looping then halted = true end end

function ws.fd()
  local fd, err = raw.fd()
  if err == "forked" and ws.renew() then fd, err = raw.fd() end
  if not fd then return nil, err end
  fd_used = true
  ws.nudge()
  return fd
end
