-- Pings (S28): the round trips that scripts wait for.
local ws = ...

local raw, record, Connection = ws.raw, ws.connection_record, ws.Connection
local append, drop_first, first_of, give_up = ws.append, ws.drop_first, ws.first_of, ws.give_up
local queue, waiting, park, wake = ws.queue, ws.waiting, ws.park, ws.wake

ws.cancels.ping = function(task)
  give_up(task.on.pingers, task)
  task.on = nil
end

-- Ends the waits for a pong.
local function answer_pingers(r, resume, round_trip, err)
  local pingers = r.pingers
  local task = pingers and first_of(pingers)
  while task do
    drop_first(pingers)
    task.on = nil
    resume(task, round_trip, err)
    task = first_of(pingers)
  end
end

-- The round trip of a ping, in seconds; or nil and why there is none.
function Connection:ping()
  local r = record(self, "ping")
  local task = waiting("conn:ping")
  local asked, err = raw.ping(r.handle)
  if not asked then return nil, r.why or err end
  r.pingers = r.pingers or queue(r)
  task.wait, task.on = "ping", r
  append(r.pingers, task, self)
  return park(task)
end

ws.answer_pingers = answer_pingers

function ws.on_pong(handle)
  local conn = ws.objects[handle]
  if conn then answer_pingers(conn._record, wake, (conn:latency())) end
end
