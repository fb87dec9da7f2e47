-- The Lua side of a connection's inbox: who gets which message (S14 to S16, S22).
--
-- A record `r` belongs to each connection object and never refers to it, so that an object
-- nobody uses can be collected. Messages stay in the library's inbox until somebody takes them;
-- one batch at a time lies in r.queue, from r.head to r.tail.
local ws = ...

local raw_receive = ws.raw.receive
local status = coroutine.status
local wake, wake_taker, launch, launch_marked = ws.wake, ws.wake_taker, ws.launch, ws.launch_marked

local BUDGET = 64 -- messages of one connection before others have their turn

local objects = setmetatable({}, { __mode = "v" }) -- handle -> object, while it is referenced
local held = {} -- handle -> object: has a callback, a waiting coroutine, or a close under way
local held_count = 0
local turns = { first = 1, last = 0 } -- objects to look at again at the next dispatch

-- handle -> record of those whose next messages their callbacks get, and nothing else is to be looked
-- at: nobody waits for the object, so that nothing but the callback holds it, and none lie in r.queue.
local direct = {}

ws.objects, ws.turns, ws.direct = objects, turns, direct
function ws.held() return held_count end

-- Has to be called when what that depends on may have come to hold, or not any more.
local function settle(r)
  direct[r.handle] = r.callback and r.holds == 1 and r.head > r.tail and not r.slow
    and r.unfinished < r.max_callbacks and r or nil
end
ws.settle = settle

local function hold(conn, r)
  local holds = r.holds
  -- A finalizer that still has it finds its handle gone.
  if holds == 0 and objects[r.handle] ~= conn then return end
  r.holds = holds + 1
  if holds == 0 then
    held[r.handle] = conn
    held_count = held_count + 1
  end
  if r.callback then settle(r) end
end
ws.hold = hold

local function unhold(r)
  if r.holds == 0 then return end
  local holds = r.holds - 1
  r.holds = holds
  if holds == 0 then
    held[r.handle] = nil
    held_count = held_count - 1
  end
  if r.callback then settle(r) end
end
ws.unhold = unhold

function ws.set_callback(conn, r, callback)
  local before = r.callback
  r.callback = callback
  if callback and not before then
    hold(conn, r)
  elseif before and not callback then
    direct[r.handle] = nil
    unhold(r)
  end
end

-- Has an object looked at again at the next dispatch.
local function again(object, r)
  if r.queued then return end
  r.queued = true
  local last = turns.last + 1
  turns.last, turns[last] = last, object
  ws.nudge()
end
ws.again = again

-- Has those looked at again of whose messages something may be left.
function ws.take_up()
  for _, conn in pairs(held) do
    local r = conn._record
    r.queued = nil -- it may have lost its turn
    again(conn, r)
  end
end

function ws.callback_finished(r)
  local unfinished = r.unfinished - 1
  r.unfinished = unfinished
  if unfinished == r.max_callbacks - 1 then
    settle(r)
    local conn = objects[r.handle]
    if conn then again(conn, r) end
  end
end

-- A queue of tasks, in the fields first and last and from t[first] to t[last]. One that gave up
-- leaves false.
function ws.queue(r) return { first = 1, last = 0, record = r } end

local function first_of(tasks)
  local first, last = tasks.first, tasks.last
  while first <= last do
    local task = tasks[first]
    if task and status(task.co) ~= "dead" then return task end
    tasks[first] = nil
    first = first + 1
    tasks.first = first
    if task then unhold(tasks.record) end
  end
  tasks.first, tasks.last = 1, 0
end
ws.first_of = first_of

local function drop_first(tasks)
  local first = tasks.first
  tasks[first] = nil
  if first == tasks.last then
    tasks.first, tasks.last = 1, 0
  else
    tasks.first = first + 1
  end
  unhold(tasks.record)
end
ws.drop_first = drop_first

local function give_up(tasks, task)
  for place = tasks.first, tasks.last do
    if tasks[place] == task then
      tasks[place] = false
      unhold(tasks.record)
      first_of(tasks)
      return
    end
  end
end
ws.give_up = give_up

local function append(tasks, task, conn)
  local last = tasks.last + 1
  tasks.last = last
  tasks[last] = task
  hold(conn, tasks.record)
end
ws.append = append

function ws.prepend(tasks, task, conn)
  if tasks.last == 0 then return append(tasks, task, conn) end
  local first = tasks.first - 1
  tasks.first = first
  tasks[first] = task
  hold(conn, tasks.record)
end

-- Notes that messages have been put into r.queue, behind one that was not.
local function store(r, count)
  if count > 1 then
    r.head, r.tail = 2, count
    direct[r.handle] = nil
  end
end
ws.store = store

-- Takes a batch from the library. Returns its oldest message, its kind as take() does, and whether
-- there may be more at once; the others of the batch lie in r.queue. Nil if there is nothing now;
-- r.ended if there will be nothing any more.
local function refill(r)
  local message, kind, count, more = raw_receive(r.handle, r.lent, r)
  if message then
    if count then store(r, count) end
    return message, kind, more
  end
  if message == false then return nil end
  r.ended = true
  local err = kind
  if err then
    r.code, r.reason, r.why = 1006, err, err
  elseif not r.code then
    local _, code, reason = ws.raw.info(r.handle)
    r.code, r.reason = code or 1006, reason or ""
  end
  return nil
end

-- The oldest message, and "binary" behind a binary one; nil if there is none. Behind a fragment that
-- others follow comes the number of its kind.
local function take(r)
  local head, tail = r.head, r.tail
  if head > tail then
    if r.ended then return nil end
    return refill(r)
  end
  local queue, kinds = r.queue, r.kinds
  local message, kind = queue[head], kinds[head]
  queue[head] = nil
  if kind then kinds[head] = nil end
  r.head = head + 1
  if head == tail and r.callback then settle(r) end
  return message, kind
end
ws.take = take

-- S22: the end, told once to each who waits and to the callback.
local function tell_end(r)
  local takers = r.takers
  while true do
    local task = first_of(takers)
    if not task then break end
    drop_first(takers)
    wake(task, nil, r.why or "closed", r.code, r.reason)
  end
  local callback = r.callback
  if callback and r.unfinished < r.max_callbacks then
    r.told = true
    ws.set_callback(nil, r, nil)
    launch_marked(callback, nil, r.code, r.reason, nil, true)
  end
end

-- Hands over what is there, as long as somebody takes it. Where a batch has left the inbox empty,
-- READABLE tells of what comes next, or CLOSED, unless that was before.
local function deliver(conn, r)
  local takers, senders = r.takers, r.senders
  local max_callbacks = r.max_callbacks
  local more = true
  for _ = 1, BUDGET do
    local task = takers.last ~= 0 and first_of(takers)
    local callback = r.callback
    if not task then
      if not callback or r.unfinished >= max_callbacks then return end
      if senders.last ~= 0 and first_of(senders) then return end
    end
    local message, kind
    if r.head <= r.tail then
      message, kind = take(r)
    elseif r.ended then
      return tell_end(r)
    elseif not more and not r.code then
      return
    else
      message, kind, more = refill(r)
      if message == nil then
        if r.ended then tell_end(r) end
        return
      end
    end
    if task then
      drop_first(takers)
      r.gave_way = false
      wake_taker(task, r, message, kind)
      if r.gave_way then return end
    else
      launch(callback, r, message, kind)
    end
  end
  again(conn, r)
end
ws.deliver = deliver

-- Gives objects that asked for it their turn, up to the place `last`. Returns how many.
function ws.run_turns(last)
  local count = 0
  while turns.first <= last do
    local first = turns.first
    local object = turns[first]
    turns.first, turns[first] = first + 1, nil
    count = count + 1
    local r = object and object._record -- none after an interrupt here
    if r then
      r.queued = false
      r.turn(object, r)
    end
  end
  if turns.first > turns.last then turns.first, turns.last = 1, 0 end
  return count
end
