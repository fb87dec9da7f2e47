-- The loop: takes events from the library and runs what they are for (S3, S5).
local ws = ...

local raw = ws.raw
local raw_poll, next_event, next_message, has_events, clock =
  raw.poll, raw.next_event, raw.next_message, raw.has_events, raw.clock
local error, pcall = error, pcall
local ceil, min = math.ceil, math.min
local objects, direct, ready, turns, timers = ws.objects, ws.direct, ws.ready, ws.turns, ws.timers
local again, deliver, settle, store, wake = ws.again, ws.deliver, ws.settle, ws.store, ws.wake
local launch_many, own = ws.launch_many, ws.own

local DIRECT, OPEN, ACCEPTED, READABLE, WRITABLE, CLOSED, DEAD, REQUESTED, PONG, LOST, MOVED, LOG =
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
-- The standalone interpreters note Ctrl-C in a hook that runs when control is back in Lua, on the main
-- thread. The system wakes the wait for a signal, but not for one that came just before it.
local SLICE, SLICE_MS = 0.05, 50
-- How long flow() waits at most, and behind how many events it does no more: in both together, less
-- than a slice, the main thread has no control.
local BRIEF_MS, FLOW = 3, 16

local dispatching = false
local halted, looping = false, false
local fd_used = false
local flowing -- the record whose messages flow() took last

local function on_event(kind, handle, code, text)
  if kind == READABLE then
    local conn = objects[handle]
    if conn then deliver(conn, conn._record) end
  elseif kind == WRITABLE then
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
  elseif kind == LOG then
    ws.on_log_record(code, text)
  end
end

-- The path of most messages, as a task: gives those of the connections that have news to their
-- callbacks, without a coroutine for each, until one of these waits, or something else is to be done
-- first, which is left as it is. In run() it waits for news itself, for a while, where the loop would
-- do nothing else. No object is kept here while it does, or a callback waits (S27).
local function flow(task)
  local left = FLOW
  while not halted do
    local r, message, kind, count, more = next_message(direct, false)
    if not r then
      if not message or not looping or left <= 0 or ready.last > 0 or turns.last > 0 then return end
      local wait = BRIEF_MS
      if timers[1] then
        wait = min(wait, ceil((timers[1].at - clock()) * 1000))
        if wait <= 0 then return end
      end
      flowing = nil
      r, message, kind, count, more = next_message(direct, wait)
      if not r then return end
    end
    flowing = r
    left = left - 1
    if count then
      store(r, count)
      if more then again(objects[r.handle], r) end
    end
    local callback = r.callback
    if kind then callback(message, kind) else callback(message) end
    if task.special then return end
    if count then
      local queue, kinds = r.queue, r.kinds
      while true do
        local head, tail = r.head, r.tail
        if head > tail then break end
        callback = r.callback
        if not callback or r.holds ~= 1 then return end
        -- As take() does: the call would cost a tenth of all that a message does.
        message, kind = queue[head], kinds[head]
        queue[head] = nil
        if kind then kinds[head] = nil end
        r.head = head + 1
        if head == tail then settle(r) end
        if kind then callback(message, kind) else callback(message) end
        if task.special then return end
      end
    end
  end
end

local function run_flow()
  flowing = nil
  local waits = launch_many(flow)
  local r = flowing
  flowing = nil -- it may hold the object (S27)
  if not r then return end
  if waits then own(waits, r) end
  -- What it has left of the last one's messages.
  local conn = r.head <= r.tail and objects[r.handle]
  if conn then deliver(conn, r) end
end

-- Dispatches what the last poll brought. An error that leaves here (an interrupt) leaves the
-- other events for the next dispatch.
local function run_events()
  while not halted do
    local kind, handle, code, text = next_event(direct)
    if not kind then return end
    if kind == DIRECT then run_flow() else on_event(kind, handle, code, text) end
  end
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
  local wait = limit
  if ready.last > 0 or turns.last > 0 then
    wait = 0
  elseif timers[1] and wait > 0 then
    wait = min(wait, timers[1].at - clock())
    if wait < 0 then wait = 0 end
  end
  local count, err = raw_poll(wait == SLICE and SLICE_MS or ceil(wait * 1000))
  if err == "forked" and ws.renew() then return 0 end
  if not count then error("coromega: " .. err, 0) end
  -- Who gives way during this round has its turn in the next one.
  local last_turn = turns.last
  if count > 0 then run_events() end
  if timers[1] then count = count + run_timers() end
  if ready.last > 0 then count = count + ws.run_ready() end
  if last_turn > 0 then count = count + ws.run_turns(last_turn) end
  return count
end

-- S3: whether anything can still happen by itself.
local function alive()
  return ws.listeners() > 0 or ws.held() > 0 or ws.connects() > 0 or timers[1] ~= nil
    or ready.last > 0 or turns.last > 0 or has_events()
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

-- Dispatches with `fn`, which leaves `dispatching` false, so that no interrupt can leave it true. After an
-- error that ends it (an interrupt) the next dispatch goes on with what is left.
local function dispatch(fn, ...)
  local ok, result = pcall(fn, ...)
  looping, halted = false, false
  if not ok then
    ws.mend_timers()
    ws.take_up()
  end
  leave()
  if not ok then error(result, 0) end
  return result
end

-- For a host that waits on fd(): has it become readable when there is something to do.
function ws.nudge()
  if not fd_used or dispatching then return end
  if ready.last > 0 or turns.last > 0 or has_events() then return raw.set_deadline(0) end
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
  dispatching = false
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
  dispatching = false
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
-- interrupt is seen after each round. What flow() does more is bounded.
if type(jit) == "table" and jit.off then
  local loops = { run_flow, run_events, run_timers, round, run_until_idle, run, poll_until, poll, sleep }
  for _, fn in ipairs(loops) do jit.off(fn) end
end

ws.run, ws.poll, ws.sleep = run, poll, sleep

-- The descriptor is the parent's.
function ws.forget_fd() fd_used = false end

function ws.halt() if looping then halted = true end end

function ws.fd()
  local fd, err = raw.fd()
  if err == "forked" and ws.renew() then fd, err = raw.fd() end
  if not fd then return nil, err end
  fd_used = true
  ws.nudge()
  return fd
end
