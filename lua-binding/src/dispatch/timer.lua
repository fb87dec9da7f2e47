-- Deadlines: a binary heap of tasks by `task.at`; `task.index` is its place, nil outside. The
-- first one is due first.
-- One that is not needed any more is taken out at once, so that long timeouts cost nothing.
local ws = ...

local heap, count, serial = {}, 0, 0
ws.timers = heap

local function before(a, b)
  return a.at < b.at or (a.at == b.at and a.serial < b.serial)
end

local function up(index)
  local task = heap[index]
  while index > 1 do
    local parent = (index - index % 2) / 2
    local other = heap[parent]
    if not before(task, other) then break end
    heap[index], other.index = other, index
    index = parent
  end
  heap[index], task.index = task, index
end

local function down(index)
  local task = heap[index]
  while true do
    local child = index * 2
    if child > count then break end
    if child < count and before(heap[child + 1], heap[child]) then child = child + 1 end
    local other = heap[child]
    if not before(other, task) then break end
    heap[index], other.index = other, index
    index = child
  end
  heap[index], task.index = task, index
end

function ws.set_timer(task, at)
  serial = serial + 1
  task.at, task.serial = at, serial
  count = count + 1
  heap[count] = task
  up(count)
  if heap[1] == task then ws.nudge() end
end

function ws.clear_timer(task)
  local index = task.index
  if not index then return end
  task.index = nil
  local last = heap[count]
  heap[count] = nil
  count = count - 1
  if last ~= task then
    heap[index], last.index = last, index
    up(index)
    down(last.index)
  end
end

-- After an interrupt, which may have come in the middle of all that: makes the heap anew, of those who still
-- wait.
function ws.mend_timers()
  local seen, kept = {}, {}
  for _, task in pairs(heap) do
    if not seen[task] and task.wait and coroutine.status(task.co) ~= "dead" then
      seen[task] = true
      kept[#kept + 1] = task
    else
      task.index = nil
    end
  end
  for place in pairs(heap) do heap[place] = nil end
  for place, task in ipairs(kept) do
    heap[place] = task
    up(place)
  end
  count = #kept
end
